"""The ``mobile_vla`` command: finds a subcommand by name and imports only that one's file."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import typer
import typer.main

from mobile_vla_ros import __version__
from mobile_vla_ros.cli import INTERRUPTED
from mobile_vla_ros.cli.complaint import complain
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.interruption import hand_back

# name -> (module under mobile_vla_ros.cli, one line of help). The module's `app` is a typer.Typer.
COMMANDS: dict[str, tuple[str, str]] = {
    "inspect": ("inspect", "Show what a checkpoint holds and whether it is whole."),
    "convert": ("convert", "Write a checkpoint as a directory that loads fast and stands alone."),
    "serve": ("serve", "Hold a policy for robots elsewhere, behind a websocket."),
    "doctor": ("doctor", "Check robot, camera, clocks, disk and checkpoint before going out."),
    "sim": ("sim", "The simulated field: collect episodes, evaluate a policy."),
    "episodes": ("episodes", "List, check, mend, show, merge, import and export episodes."),
    "verify": ("verify", "Measure predicted against recorded velocities on held-out episodes."),
    "gate": ("gate", "Decide whether a checkpoint may go on the robot: promote or hold."),
    "context": ("context", "Extract, compare, probe, ablate and draw what the policy sees."),
    "latent": ("latent", "Compare what two policies' LSTMs hold."),
    "report": ("report", "Put the results of runs side by side in one HTML file."),
    "benchmark": ("benchmark", "Measure latency of a policy, of the nodes, of the recorder."),
    "train": ("train", "Train a policy on episodes: frozen, LoRA or full."),
    "augment": ("augment", "Write changed and mirrored copies of episodes."),
    "experiment": ("experiment", "List, run and tabulate the lab's experiments."),
    "trials": ("trials", "Plan a field trial, and evaluate its log."),
    "replay-incident": (
        "replay_incident",
        "Ask another checkpoint what it would have commanded in an incident.",
    ),
    "push": ("push", "Send a policy or a data set to a hub, with its card."),
    "pull": ("pull", "Fetch a policy or a data set from a hub."),
    "watch": ("watch", "Show what a running robot sees, intends and does, live."),
    "demo": ("demo", "Drive, record, check and draw one run in the simulated field."),
}

# What an hf:// address is where it does not say: options and commands of data sets.
_DATA_OPTIONS = ("--data", "-d")
_TRAINING_COMMANDS = ("train", "experiment")
_DATA_COMMANDS = ("episodes", "augment")
_OF_A_HUB = ("push", "pull")

# Options that name a file to be written; checked before the work, which may take hours.
_RESULTS = ("--json", "--plot", "--html", "--raw")
_PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", "")
_FULL = (errno.ENOSPC, errno.EDQUOT)

# The base of what the parser raises for a wrong command line. Which library it comes from depends
# on typer's version (click until 0.2x, its own copy later), so it is read off a public subclass.
_ParserError: Any = [
    cls for cls in typer.BadParameter.__mro__ if "format_message" in vars(cls) or cls is object
][-2]


def help_text() -> str:
    """What ``mobile_vla --help`` prints."""
    width = max(map(len, COMMANDS), default=0)
    lines = "\n".join(f"  {name:<{width}}  {line}" for name, (_, line) in COMMANDS.items())
    return (
        "Usage: mobile_vla COMMAND [ARGUMENTS]\n\n"
        "Inspect, measure, train and trial a Kosmos-2 + LSTM policy for a mobile robot.\n"
        "`mobile_vla COMMAND --help` explains a command.\n\n"
        f"Commands:\n{lines}\n\n"
        "Exit status: 0 done, 1 the result falls short of a stated threshold, 2 unusable input.\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Runs the command and exits: 0 done, 1 below a stated threshold, 2 unusable input."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        # A file name need not be UTF-8, nor a terminal; what cannot be shown is escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_text(), end="")
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"mobile_vla_ros {__version__}")
        sys.exit(0)
    if arguments[0] not in COMMANDS:
        near = difflib.get_close_matches(arguments[0], COMMANDS, 1)
        meant = f": did you mean {near[0]!r}?" if near else "; see mobile_vla --help"
        complain(f"there is no command {arguments[0]!r}{meant}")
        sys.exit(2)
    # As in the driving node's worker: threads that wait must not spin, or a small model takes many
    # times as long on a busy machine. It has to be said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if arguments[0] in _TRAINING_COMMANDS:
        # A step is a thousand short products, after each of which a thread that sleeps at once
        # wakes too late; to spin for microseconds first costs a busy machine little.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    sys.exit(_run(arguments[0], arguments[1:]))


def command(name: str):
    """The parser of one subcommand, with its help as it is printed."""
    from mobile_vla_ros.cli.help_examples import copyable

    app = importlib.import_module(f"mobile_vla_ros.cli.{COMMANDS[name][0]}").app
    found = typer.main.get_command(app)
    found.context_settings["help_option_names"] = ["-h", "--help"]
    found.help = copyable(found.help or "")
    for below in getattr(found, "commands", {}).values():
        below.help = copyable(below.help or "")
        # Their first sentence in full; the parser would cut it to fit one line.
        below.short_help = " ".join(below.help.split("\n\n")[0].split())
    return found


def _run(name: str, arguments: list[str]) -> int:
    from mobile_vla_ros.cli.output import check_target

    parser = command(name)
    if not arguments and hasattr(parser, "commands") and not parser.invoke_without_command:
        arguments = ["--help"]
    # From here on an interruption is this function's to report.
    hand_back()
    try:
        if name not in _OF_A_HUB:
            arguments = _fetched(name, arguments)
        for option, target in _targets(arguments):
            check_target(target)
            if option == "--plot" and Path(target).suffix not in _PICTURES:
                raise InputError(f"--plot {target}: give a name that ends in .png or .pdf")
        status = parser.main(arguments, prog_name=f"mobile_vla {name}", standalone_mode=False)
    except _ParserError as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else f"mobile_vla {name}"
        complain(f"{error.format_message()} (see {path} --help)")
        return 2
    except InputError as error:
        complain(str(error))
        return 2
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) went away; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # A file that is not there, or a full disk. What names no file is a fault of ours.
        if error.filename is None and error.errno not in _FULL:
            raise
        complain(f"{error.filename or 'the result'}: {error.strerror}")
        return 2
    return status if isinstance(status, int) else 0


def _fetched(name: str, arguments: list[str]) -> list[str]:
    """The arguments, with every hf:// address replaced by where it lies in the hub's cache."""
    from mobile_vla_ros import hub

    found = []
    for index, argument in enumerate(arguments):
        option, mark, value = argument.partition("=")
        if not (option.startswith("-") and mark):
            option, mark, value = "", "", argument
        if hub.is_uri(value):
            hub.quiet_progress()
            before = option or (arguments[index - 1] if index else "")
            data = before in _DATA_OPTIONS or (
                name in _DATA_COMMANDS and before not in ("--checkpoint", "-c")
            )
            value = str(hub.resolve(value, hub.DATASET if data else hub.MODEL))
        found.append(f"{option}{mark}{value}")
    return found


def _targets(arguments: list[str]) -> list[tuple[str, str]]:
    """The options in `_RESULTS` that are given, with the files that they name."""
    found = []
    for index, argument in enumerate(arguments):
        option, mark, value = argument.partition("=")
        if option in _RESULTS and mark:
            found.append((option, value))
        elif option in _RESULTS and index + 1 < len(arguments):
            found.append((option, arguments[index + 1]))
    return found


if __name__ == "__main__":
    main()
