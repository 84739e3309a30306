import importlib

import pytest

from mobile_vla_ros.cli.main import COMMANDS, main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return int(exit_.value.code or 0)


def test_help_lists_every_command(capsys) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_the_version_is_printed(capsys) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("mobile_vla_ros ")


def test_an_unknown_command_is_one_sentence(capsys) -> None:
    assert run("fly") == 2
    assert capsys.readouterr().err == (
        "mobile_vla: there is no command 'fly'; see mobile_vla --help\n"
    )


@pytest.mark.parametrize("typed", [("inspct",), ("episodes", "lst")])
def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(typed, capsys) -> None:
    assert run(*typed) == 2
    answer = capsys.readouterr().err.lower()
    assert "did you mean" in answer
    assert answer.count("\n") == 1


def test_replaying_without_ros_is_a_sentence(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr("mobile_vla_ros.episodes.reader.open_episode", lambda _path: _Closed())
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert run("episodes", "replay", str(tmp_path / "a.h5")) == 2
    assert "replay needs ROS 2" in capsys.readouterr().err


class _Closed:
    def close(self) -> None: ...


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_teaches_itself(name: str, capsys) -> None:
    assert run(name, "--help") == 0
    assert "Usage" in capsys.readouterr().out


def test_a_group_says_in_full_what_its_commands_do(capsys) -> None:
    assert run("episodes", "-h") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "Turns interrupted recordings into episodes marked incomplete, and says what was" in text
    )
    assert "..." not in text.partition("Commands:")[2]
    assert "completion" not in text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_wrong_option_is_one_sentence_and_status_two(name: str, capsys) -> None:
    assert run(name, "--no-such-option") == 2
    error = capsys.readouterr().err
    assert error.startswith("mobile_vla: ")
    assert error.count("\n") == 1


def test_every_command_file_is_reachable() -> None:
    for module, line in COMMANDS.values():
        assert importlib.import_module(f"mobile_vla_ros.cli.{module}").app is not None
        assert line.endswith(".")
