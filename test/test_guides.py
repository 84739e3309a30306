"""Every command that README and guides show exists: subcommand, options, arguments, parameters."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from mobile_vla_ros import nodes
from mobile_vla_ros.cli import main

REPOSITORY = Path(__file__).parents[1]
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]
NODES = Path(nodes.__file__).parent
GLOBAL_PARAMETERS = {"use_sim_time"}


def commands(page: Path) -> list[str]:
    """The command lines of a page's bash blocks, continued lines joined, comments left out."""
    found = []
    for block in re.findall(r"^```(?:bash|console)\n(.*?)^```", page.read_text(), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.split(r"\s#\s", f" {line}")[0].strip().removeprefix("$ ")
            found += [part.strip() for part in line.split("&&") if part.strip()]
    return found


def shown(*beginnings: str) -> list:
    """The words of every shown command that begins so, once each."""
    found = {
        line: page for page in PAGES for line in commands(page) if line.startswith(beginnings)
    }
    return [
        pytest.param(shlex.split(line), id=f"{page.stem}: {line[:60]}")
        for line, page in found.items()
    ]


@pytest.mark.parametrize("words", shown("mobile_vla "))
def test_a_command_that_is_shown_can_be_parsed(words) -> None:
    parser, path, words = main.command(words[1]), words[:2], words[2:]
    while hasattr(parser, "commands") and words and words[0] in parser.commands:
        path.append(words[0])
        parser, words = parser.commands[words[0]], words[1:]
    assert (
        not getattr(parser, "commands", None)
        or words[:1] in ([], ["--help"])
        or (parser.invoke_without_command)
    ), f"{' '.join(path)} has no subcommand {words[0]}"
    context = parser.make_context(" ".join(path), [], resilient_parsing=True)
    parser.make_parser(context).parse_args(args=list(words))


@pytest.mark.parametrize("words", shown("ros2 launch mobile_vla_ros "))
def test_a_launch_argument_that_is_shown_is_declared(words) -> None:
    file = REPOSITORY / "launch" / words[3]
    text = file.read_text()
    if "inference.launch.py" in text:
        text += (REPOSITORY / "launch" / "inference.launch.py").read_text()
    named = {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)}
    for word in words[4:]:
        name, mark, _ = word.partition(":=")
        assert word in ("--show-args", "...") or (mark and name in named), word


@pytest.mark.parametrize(
    "words", shown("ros2 run mobile_vla_ros ", "python -m mobile_vla_ros.nodes.")
)
def test_a_parameter_that_is_shown_is_declared(words) -> None:
    program = words[3] if words[0] == "ros2" else words[2].rpartition(".")[2]
    assert (NODES / f"{program}.py").is_file()
    declared = importlib.import_module(f"{nodes.__name__}.{program}").PARAMETERS
    names = {parameter.name for parameter in declared} | GLOBAL_PARAMETERS
    given = [words[i + 1].partition(":=")[0] for i, word in enumerate(words) if word == "-p"]
    assert set(given) <= names


@pytest.mark.parametrize("words", shown("make "))
def test_a_make_target_that_is_shown_exists(words) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert "://" in target or (page.parent / target).exists(), target
    for script in re.findall(r"\bscripts/\w+\.\w+", page.read_text()):
        assert (REPOSITORY / script).is_file(), script


def test_commands_in_running_text_name_a_subcommand_and_options_that_exist() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for quoted in re.findall(r"`mobile_vla ([a-z][^`]*)`", text):
            first, *others = shlex.split(quoted)
            parser = main.command(first)
            while others and others[0] in (getattr(parser, "commands", None) or {}):
                parser, others = parser.commands[others[0]], others[1:]
            known = {name for p in parser.params for name in p.opts} | {"--help"}
            given = {word.partition("=")[0] for word in others if word.startswith("--")}
            assert given <= known, f"{page.name}: mobile_vla {quoted}"


def test_every_file_that_the_architecture_names_is_there() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    for name in re.findall(r"`([a-z_/]+\.py)`", text):
        assert (NODES.parent / name).is_file() or (REPOSITORY / name).is_file(), name
