"""The pages' parts that are made from the code: parameters of the nodes, help of the commands.

A page says where by a comment of its own line, such as `<!-- written from code: parameters -->`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent
# rosdoc2 builds a copy of this folder; the rest of the repository lies beside the package.
PACKAGE = Path(importlib.util.find_spec("mobile_vla_ros").origin).parent
ROOT = PACKAGE.parent

_MARK = re.compile(r"^<!-- written from code: (\w+) -->$", re.MULTILINE)


def fill(app, name: str, source: list[str]) -> None:
    """Sphinx's `source-read`: puts the parts in the place of their comments."""
    source[0] = _MARK.sub(lambda mark: PARTS[mark[1]](), source[0])


def parameters() -> str:
    """One section a node: what it is, and a table of its declared parameters."""
    from write_config import PROGRAMS

    lines = []
    for program, node in PROGRAMS.items():
        module = importlib.import_module(f"mobile_vla_ros.nodes.{program}")
        sentence = inspect.getdoc(module).split("\n\n")[0].replace("\n", " ")
        lines += [f"## {program} (node `{node}`)", "", sentence, ""]
        lines += ["| parameter | default | range | live | meaning |", "|---|---|---|---|---|"]
        for declared in module.PARAMETERS:
            live = "live" if declared.live else ""
            cells = (f"`{declared.name}`", _value(declared.default), _range(declared))
            lines.append(f"| {' | '.join(cells)} | {live} | {_cell(declared.description)} |")
        lines.append("")
    return "\n".join(lines)


def _value(default) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str):
        return f"`{default}`" if default else '`""`'
    return f"`{default}`" if isinstance(default, list) else _number(default)


def _range(declared) -> str:
    if declared.options:
        return ", ".join(f"`{option}`" for option in declared.options)
    if declared.low is None:
        return ""
    return f"{_number(declared.low)} to {_number(declared.high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _cell(text: str) -> str:
    """The text as a cell of a table; what stands between backticks stays as it is."""
    parts = text.replace("|", "\\|").split("`")
    parts[::2] = [re.sub(r"([<>*_])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def commands() -> str:
    """One section a subcommand, with what its --help prints."""
    os.environ |= {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    from mobile_vla_ros.cli import main

    lines = ["```text", main.help_text().rstrip(), "```", ""]
    for name in main.COMMANDS:
        lines += _help(main.command(name), f"mobile_vla {name}", None, "##")
    return "\n".join(lines)


def _help(command, path: str, parent, level: str) -> list[str]:
    context = command.make_context(path.split()[-1], [], parent=parent, resilient_parsing=True)
    context.info_name = path if parent is None else path.split()[-1]
    lines = [f"{level} {path}", "", "```text", _printed(command, context), "```", ""]
    for name, below in getattr(command, "commands", {}).items():
        lines += _help(below, f"{path} {name}", context, level + "#")
    return lines


def _printed(command, context) -> str:
    return command.get_help(context).rstrip()


def imports() -> str:
    """Which room may import which, as the layering test says."""
    import test_layering

    lines = ["| room | may import |", "|---|---|"]
    lines += [
        f"| `{room}/` | {_named(allowed)} |" for room, allowed in test_layering.ROOMS.items()
    ]
    lines += ["", "Against the table, each with its reason in the test:", ""]
    for place, allowed in test_layering.EXCEPTIONS.items():
        lines.append(f"- `{place}` may import {_named(allowed)}")
    lines += ["", "Inside `nodes/`:", "", "| | may import |", "|---|---|"]
    for floor, allowed in test_layering.FLOORS.items():
        lines.append(f"| {floor} | {_named(allowed) or 'none of these'} |")
    return "\n".join(lines)


def _named(rooms) -> str:
    return ", ".join(f"`{room}`" for room in sorted(rooms))


def files() -> str:
    """Every file of the package with the first sentence that it says of itself."""
    lines = []
    for room in (PACKAGE, *sorted(PACKAGE.rglob("__init__.py"))):
        folder = room if room.is_dir() else room.parent
        if room is not PACKAGE and folder == PACKAGE:
            continue
        name = "/".join(folder.relative_to(PACKAGE).parts)
        title = f"### {name}/" if name else "### Beside the rooms"
        lines += [title, "", "| file | |", "|---|---|"]
        for file in sorted(folder.glob("*.py")):
            sentence = _sentence(file)
            if sentence:
                lines.append(f"| `{file.name}` | {_cell(sentence)} |")
        lines.append("")
    return "\n".join(lines)


def launch_arguments() -> str:
    """One section a launch file: what it starts, and its arguments as they are declared there."""
    lines = []
    for file in sorted((ROOT / "launch").glob("*.launch.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        lines += [f"## {file.name}", "", _cell(_sentence(file)), ""]
        lines += ["| argument | default | meaning |", "|---|---|---|"]
        lines += [_argument(*row) for row in _declared_arguments(tree)]
        if file.name != "inference.launch.py" and "inference.launch.py" in file.read_text():
            left_out = [
                f"`{name}`"
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DECIDED"
                for name in ast.literal_eval(node.value)
            ]
            but = f", but {', '.join(left_out)}" if left_out else ""
            lines += ["", f"Beside these it takes the arguments of `inference.launch.py`{but}."]
        lines.append("")
    empty = "| argument | default | meaning |\n|---|---|---|\n\nBeside these it takes"
    return "\n".join(lines).replace(empty, "It takes")


def _declared_arguments(tree: ast.Module):
    """(name, default, meaning) of each argument, from the tables at the top of a launch file."""
    tables = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and node.targets[0].id in ("ARGUMENTS", "PARAMETERS", "TRIAL", "RIG")
    ]
    for table in tables:
        if isinstance(table, ast.Tuple):
            for row in table.elts:
                yield row.elts
        elif isinstance(table, ast.Dict):
            for name, row in zip(table.keys, table.values, strict=True):
                if isinstance(row, ast.Tuple):
                    yield name, *row.elts[1:]


def _argument(name, default, meaning) -> str:
    return f"| `{name.value}` | {_default(default)} | {_cell(meaning.value)} |"


def _default(node) -> str:
    if isinstance(node, ast.Constant):
        return "required" if node.value is None else f"`{node.value or chr(34) * 2}`"
    if isinstance(node, ast.Name):
        return "as in `params_file`"
    names = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return f"`{'/'.join(reversed(names))}`"


def _sentence(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def further_guides() -> str:
    """The guides that the first page does not name, as a list of its own."""
    named = (DOCS / "index.md").read_text(encoding="utf-8")
    names = [file.stem for file in sorted((DOCS / "guides").glob("*.md"))]
    entries = [f"guides/{name}" for name in names if f"guides/{name}\n" not in named]
    if not entries:
        return ""
    return "\n".join(["```{toctree}", ":caption: Further", ":maxdepth: 1", "", *entries, "```"])


def json_keys() -> str:
    """One table a command: what other programs may read in its JSON."""
    from mobile_vla_ros.cli.json_keys import KEYS

    lines = []
    for command, keys in KEYS.items():
        lines += [f"## mobile_vla {command}", "", "| key | |", "|---|---|"]
        lines += [f"| `{key}` | {_cell(meaning)} |" for key, meaning in keys.items()]
        lines.append("")
    return "\n".join(lines)


PARTS = {
    "launch_arguments": launch_arguments,
    "json_keys": json_keys,
    "parameters": parameters,
    "commands": commands,
    "imports": imports,
    "files": files,
    "further_guides": further_guides,
}
