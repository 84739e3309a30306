#!/usr/bin/env bash
# The CPU benchmarks of docs/BENCHMARKS.md, in under ten minutes on two cores; results to DIR.
#   scripts/bench.sh [DIR]     needs about 9 GB of free memory for the full-size random model
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/bench}
run=${RUN:-.venv/bin/python}
mkdir -p "$out"
mobile_vla() { "$run" -m mobile_vla_ros.cli.main "$@"; }

echo "== small model, float32"
mobile_vla benchmark --random small --dtype float32 --runs 50 --lean-pairs 30 \
    --json "$out/small.json" --plot "$out/small.png"
echo "== full-size random Kosmos-2, bfloat16"
mobile_vla benchmark --random full --dtype bfloat16 --runs 5 --warm-up 1 --lean-pairs 15 \
    --json "$out/full.json" --plot "$out/full.png"
if "$run" -c 'import rclpy' 2>/dev/null; then
    # A measurement that falls short says so and exits with 1; the others are still wanted.
    echo "== driving node, 10 frames/s of 1280x720"
    mobile_vla benchmark node --seconds 30 --json "$out/node.json" || [ $? = 1 ]
    echo "== driving node, one core busy"
    mobile_vla benchmark node --seconds 30 --busy --json "$out/node-busy.json" || [ $? = 1 ]
    echo "== recorder, JPEG, 30 frames/s of 1280x720"
    mobile_vla benchmark recorder --seconds 30 --json "$out/recorder.json" || [ $? = 1 ]
fi
echo "results are in $out"
