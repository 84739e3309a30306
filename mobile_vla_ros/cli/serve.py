"""``mobile_vla serve``: the policy behind a websocket, for robots that cannot hold it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

import typer

from mobile_vla_ros import bundled
from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.output import check_target
from mobile_vla_ros.errors import InputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(
    checkpoint: Path = typer.Argument(..., help="Anything `mobile_vla inspect` reads."),
    backbone: Path | None = typer.Option(
        None, help="The Kosmos-2 directory; by default the one the run file names."
    ),
    config: Path | None = typer.Option(
        None, help="A run JSON; by default the one inside the checkpoint or beside it."
    ),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:1 ..."),
    dtype: str = typer.Option("auto", help="auto, float32, bfloat16, float16 or int8."),
    runtime: options.Runtime = "auto",
    host: str = typer.Option(
        "127.0.0.1", help="Address to listen on; another than this machine's needs a token."
    ),
    port: int = typer.Option(8765, min=0, max=65535, help="TCP port; 0 takes a free one."),
    token_file: Path | None = typer.Option(
        None, help="A file with the token that robots must show."
    ),
    certificate: Path | None = typer.Option(
        None, help="PEM file of the certificate (TLS); robots then use wss://."
    ),
    key: Path | None = typer.Option(
        None, help="PEM file of its private key, if the certificate's file does not hold it."
    ),
    max_robots: int = typer.Option(4, help="How many robots are served at most, 1 to 256."),
    json_file: Path | None = typer.Option(
        None, "--json", help="Append a line of figures to this file every second."
    ),
) -> None:
    """Holds the policy and answers the frames of robots that have none.

    The robot needs neither torch nor the checkpoint; its node drives with
    `-p server:=wss://THIS-MACHINE:8765 -p token_file:=FILE`, and keeps every watchdog to itself.
    Several robots share the one model, each with a stream and an instruction of its own.

    Example: mobile_vla serve policies/left_v3 --host 0.0.0.0 --token-file token.txt
    """
    from mobile_vla_ros.serving import access
    from mobile_vla_ros.serving.server import PolicyServer, ServerSettings

    check_target(json_file)
    found = bundled.find(checkpoint)
    if not found.exists():
        raise InputError(f"checkpoint '{checkpoint}' does not exist{bundled.places(checkpoint)}")
    settings = ServerSettings(
        host=host,
        port=port,
        token=access.read_token(token_file),
        tls=access.server_context(certificate, key),
        max_robots=max_robots,
        figures=json_file,
    )
    model = {
        "checkpoint": str(found),
        "backbone": str(backbone or ""),
        "config": str(config or ""),
        "device": device,
        "dtype": dtype,
        "runtime": runtime,
    }
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    server = PolicyServer(settings, model)
    asyncio.run(_serve(server))


async def _serve(server) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, stop.set)
    typer.echo(f"loading {server.checkpoint}", err=True)
    await server.run(stop, ready=_say_ready)


def _say_ready(address: str, welcome) -> None:
    policy = welcome.policy
    typer.echo(
        f"ready on {address}: {policy['checkpoint']} on {policy['device']} ({policy['dtype']}),"
        f" {welcome.step_seconds * 1000:.0f} ms per frame"
    )
    sys.stdout.flush()
