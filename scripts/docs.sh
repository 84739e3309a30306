#!/usr/bin/env bash
# Builds the site of docs/ into build/docs, with no network but for the first time, when Sphinx is installed into .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${VENV:-.venv}/bin/python
if ! "$python" -c 'import sphinx, myst_parser, furo' 2>/dev/null; then
    "$python" -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
fi
[ -f docs/pictures/drive.webp ] || "$python" scripts/draw_drive.py docs/pictures/drive.webp
# All pages anew each time: Sphinx does not see when the code that a page is made from has changed.
"$python" -m sphinx -q -E -a -W --keep-going -b html docs build/docs
echo "build/docs/index.html"
