"""The ``mobile_vla`` command: finds a subcommand by name and imports only that one's file."""

from __future__ import annotations

import importlib
import sys

import click
import typer.main
from typer.core import TyperGroup

from mobile_vla_ros import __version__
from mobile_vla_ros.errors import InputError

# name -> (module under mobile_vla_ros.cli, one line of help). The module's `app` is a typer.Typer.
COMMANDS: dict[str, tuple[str, str]] = {}


class LazyGroup(TyperGroup):
    """A command group whose subcommands are imported when they are named, so help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        app = importlib.import_module(f"mobile_vla_ros.cli.{module}").app
        command = typer.main.get_command(app)
        command.name = name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group.format_help(self, ctx, formatter)


def build_command() -> click.Command:
    """The whole command tree (subcommand modules are imported on first use)."""
    return LazyGroup(
        name="mobile_vla",
        help=(
            "Inspect, measure, train and trial a Kosmos-2 + LSTM policy for a mobile robot. "
            "`mobile_vla COMMAND --help` explains a command."
        ),
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                help="Print the version and exit.",
                callback=_print_version,
            )
        ],
        no_args_is_help=True,
    )


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"mobile_vla_ros {__version__}")
        ctx.exit()


def main(arguments: list[str] | None = None) -> None:
    """Runs the command and exits: 0 done, 1 below a stated threshold, 2 unusable input."""
    try:
        status = build_command().main(arguments, prog_name="mobile_vla", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else error.format_message())
        status = 2
    except click.ClickException as error:
        _complain(error.format_message())
        status = 2
    except (InputError, FileNotFoundError, PermissionError) as error:
        _complain(str(error))
        status = 2
    except click.exceptions.Exit as error:
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _complain(sentence: str) -> None:
    print(f"mobile_vla: {' '.join(sentence.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
