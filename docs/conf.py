"""Builds the site of docs/ (`make docs`), offline. rosdoc2.yaml names this folder to rosdoc2."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import written_from_code  # noqa: E402

from mobile_vla_ros import __version__  # noqa: E402

sys.path += [str(written_from_code.ROOT / name) for name in ("scripts", "test")]

project = "mobile_vla_ros"
author = "mobile_vla_ros maintainers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_mock_imports = [
    name
    for name in ("torch", "transformers", "tokenizers", "peft", "safetensors", "lightning")
    if importlib.util.find_spec(name) is None
]
default_role = "code"  # as docstrings here use single backquotes
napoleon_use_rtype = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"mobile_vla_ros {__version__}"
html_static_path = ["site"]
html_css_files = ["site.css"]
smartquotes = False
pygments_style = "friendly"


def setup(app) -> None:
    """Lets pages ask for what is written from the code: a comment with a section's name."""
    app.connect("source-read", written_from_code.fill)
