"""A policy server as a command sees it: its options, and what is measured of the link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.cli.output import write_json

SERVER = typer.Option("", help="A policy elsewhere: wss://gpu-box:8765.")
TOKEN_FILE = typer.Option(None, help="File with the server's token.")
CERTIFICATE = typer.Option(None, help="CA file that the server's certificate is checked by.")


def measure(server: str, token_file: Path | None, certificate: Path | None, frames: int) -> Any:
    """A ``serving.probe.LinkReport`` of a server.

    Raises:
        InputError: an option that cannot be used, or a server that cannot be.
    """
    from mobile_vla_ros.serving import access
    from mobile_vla_ros.serving.link import LinkSettings
    from mobile_vla_ros.serving.probe import probe

    url = access.check_url(server)
    settings = LinkSettings(
        url=url,
        robot="0" * 32,
        token=access.read_token(token_file),
        tls=access.client_context(url, certificate),
    )
    return probe(settings, frames)


def figures(report: Any) -> dict[str, Any]:
    """The report as plain values, seconds where not said otherwise."""
    from mobile_vla_ros.stats.percentiles import percentiles

    stages = {
        "frame_to_chunk": report.frame_to_chunk,
        "policy": report.policy_seconds,
        "wait": report.wait_seconds,
        "round_trip": report.round_trips,
    }
    return {
        "policy": report.policy,
        "frames": report.frames,
        "answers": report.answers,
        "megabits_per_second": report.megabits_per_second,
        "stages": {name: percentiles(values) for name, values in stages.items()},
    }


def benchmark(
    server: str,
    token_file: Path | None,
    certificate: Path | None,
    frames: int,
    json_file: Path | None,
) -> None:
    """Measures a link and prints what a robot would see of it."""
    result = figures(measure(server, token_file, certificate, frames))
    policy = result["policy"]
    typer.echo(f"{server}: {policy['checkpoint']} on {policy['device']} ({policy['dtype']})")
    typer.echo(
        f"{result['answers']} of {result['frames']} frames answered,"
        f" {result['megabits_per_second']:.2f} Mbit/s up"
    )
    for name, values in result["stages"].items():
        times = "  ".join(f"{label} {1000 * value:7.1f} ms" for label, value in values.items())
        typer.echo(f"  {name:<15} {times}")
    write_json(json_file, result)
