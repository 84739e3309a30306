"""``mobile_vla benchmark``: how fast things are on this machine."""

from __future__ import annotations

import typer

from mobile_vla_ros.cli.benchmark_latency import compare, latency
from mobile_vla_ros.cli.benchmark_node import node
from mobile_vla_ros.cli.benchmark_recorder import recorder

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)
app.callback()(latency)
app.command("compare")(compare)
app.command("node")(node)
app.command("recorder")(recorder)
