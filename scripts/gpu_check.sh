#!/usr/bin/env bash
# Everything that is owed on a GPU, in under six minutes, on a bare machine with torch and no ROS 2.
#   scripts/gpu_check.sh [--dry] [DIR]    writes DIR/gpu_check.json and DIR/gpu_check.md
# --dry does the same steps at the smallest size on the CPU, to see that the script itself works.
# RUN names the interpreter (by default .venv's, else python3).
set -euo pipefail
cd "$(dirname "$0")/.."
run=${RUN:-.venv/bin/python}
command -v "$run" >/dev/null || run=python3
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} HF_HUB_OFFLINE=1
exec timeout --signal=INT 360 "$run" scripts/gpu_check.py "$@"
