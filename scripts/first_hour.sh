#!/usr/bin/env bash
# Plays the guides' first hour from a fresh clone in an empty folder, unattended: install, first
# drive, recording by keyboard, checking, training small, driving the result, a trial plan. Fails
# where a command does not do what its sentence says. The log is one line a step.
#
#   scripts/first_hour.sh [FOLDER]      an empty or new folder; by default a temporary one
#
# VENV=PATH takes a virtual environment that is there already instead of making one.
# EPISODES=10 is how many episodes are driven by keyboard.
set -euo pipefail
source_=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d /tmp/first_hour.XXXXXX)}
episodes=${EPISODES:-10}
mkdir -p "$work"
if [ -n "$(ls -A "$work")" ]; then
    echo "$work is not empty" >&2
    exit 2
fi
work=$(cd "$work" && pwd)
mkdir "$work/logs"
begin=$SECONDS
number=0
# Away from whatever else drives on this network.
export ROS_DOMAIN_ID=${ROS_DOMAIN_ID:-$((100 + $$ % 100))}

# step NAME COMMAND...: runs it, and tells how long it took; the output goes to logs/NAME.log
step() {
    local name=$1 from=$SECONDS status=0
    shift
    number=$((number + 1))
    "$@" >"$work/logs/$name.log" 2>&1 </dev/null || status=$?
    if [ "$status" != 0 ]; then
        printf '%2d  FAILED (status %d)  %s: %s\n' "$number" "$status" "$name" "$*"
        tail -n 15 "$work/logs/$name.log"
        exit 1
    fi
    printf '%2d  %4d s  %s\n' "$number" $((SECONDS - from)) "$name"
    grep -m 1 "this machine is \(too \)\?busy" "$work/logs/$name.log" | sed 's/^/          /' || true
}

# says NAME WORDS: the log of that step has to hold these words
says() {
    grep -q -- "$2" "$work/logs/$1.log" && return
    printf '    FAILED: %s does not say "%s"\n' "$1" "$2"
    tail -n 15 "$work/logs/$1.log"
    exit 1
}

step clone git clone -q "$source_" "$work/mobile_vla_ros"
cd "$work/mobile_vla_ros"
if [ -n "${VENV:-}" ]; then
    ln -s "$(cd "$VENV" && pwd)" .venv
    export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
else
    step setup make setup
fi
python=.venv/bin/python
vla() { "$python" -m mobile_vla_ros.cli.main "$@"; }
# Only with & behind it: the shell in the background becomes the node.
node() { exec "$python" -m "mobile_vla_ros.nodes.$1" --ros-args "${@:2}"; }

# -- install
step version vla --version
step inspect vla inspect demo --list-instructions
says inspect "on the left"

# -- first drive
step demo vla demo --out "$work/demo" --video "$work/demo.mp4" --json "$work/demo.json"
says demo "reached, 0"
says demo "no fault found"

# -- recording: the simulated robot is driven by the keyboard
pids=()
end_nodes() {
    [ ${#pids[@]} = 0 ] || kill -TERM "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
    pids=()
}
trap end_nodes EXIT
MUJOCO_GL=${MUJOCO_GL:-egl} node sim_node -p seed:=7 >"$work/logs/field.log" 2>&1 &
pids+=($!)
node recorder_node -p directory:="$work/episodes" -p image_format:=jpeg -p scenario:=1box_left \
    -p instruction:="go to the bottle on the left" >"$work/logs/recorder.log" 2>&1 &
pids+=($!)
step keyboard "$python" scripts/drive_by_keyboard.py --episodes "$episodes"
end_nodes
step list vla episodes list "$work/episodes" --files --json "$work/list.json"
# A machine that is busy with something else loses frames: `check` says so, and nothing else.
check_recorded() {
    local status=0
    vla episodes check "$work/episodes" --json "$work/check.json" || status=$?
    [ "$status" = 0 ] || "$python" - "$work/check.json" <<'END'
import json, os, sys

if os.getloadavg()[1] < 2 * os.cpu_count():
    sys.exit("check finds faults, and this machine was not busy")
files = json.load(open(sys.argv[1]))["files"]
found = [words for file in files for words in file["problems"]]
others = [words for words in found if not ("lost between" in words or "in the stamps" in words)]
sys.exit(1 if others else print(f"this machine is too busy: {len(found)} times frames are lost"))
END
}
step check check_recorded
says check "are in order\|is in order"
step show vla episodes show "$(ls "$work"/episodes/*.h5 | head -n 1)" --plot "$work/sheet.png"

# -- training small: on what has just been recorded
step train vla experiment run "case 3" --small --data "$work/episodes" --runs "$work/runs"
checkpoint=$work/runs/small/case_3/last.ckpt
step inspect_trained vla inspect "$checkpoint"
says inspect_trained "go to the bottle on the left"
step convert vla convert "$checkpoint" "$work/policy"

# -- the result drives: ten short episodes teach no policy to reach a bottle, but velocities come
drive_trained() {
    local status=0
    vla demo -c "$work/policy" --out "$work/trained" --json "$work/trained.json" || status=$?
    [ "$status" -le 1 ]
}
step drive_trained drive_trained
says drive_trained "velocities"

# -- a trial: planned, refused where it must be
step plan vla trials plan "$work/plan.json" -c bundled=demo -c mine="$work/policy" \
    -s 1box_left -s 1box_right --repeats 2 --blind
says plan "8 trials"
overwrites() { ! vla trials plan "$work/plan.json" -c bundled=demo -s 1box_left --repeats 2; }
step plan_is_kept overwrites
says plan_is_kept "never overwritten"
step evaluate vla sim evaluate -c demo --scenario 1box_left --scenario 1box_right --episodes 4 \
    --json "$work/evaluation.json" --plot "$work/paths.png"
says evaluate "[34] of 4"
echo "the first hour holds: $number steps in $(((SECONDS - begin) / 60)) min $(((SECONDS - begin) % 60)) s; see $work"
