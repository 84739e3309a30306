#!/usr/bin/env bash
# Makes .venv-lerobot: lerobot in an environment of its own, for the test that opens our data sets
# with lerobot's loader. It needs Python 3.12 and another torch than ours: about 6 GB with CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv-lerobot}
python=${PYTHON:-python3.12}
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'torch==2.10.0' 'lerobot[dataset]==0.6.1'
"$venv/bin/python" -c 'import lerobot; print("lerobot", lerobot.__version__)'
