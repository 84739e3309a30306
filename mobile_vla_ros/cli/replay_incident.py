"""``mobile_vla replay-incident``: what another checkpoint would have commanded."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.cli.output import write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def replay_incident(
    file: Path = typer.Argument(..., help="An incident capsule (incident_*.h5)."),
    checkpoint: str = typer.Option(..., "--checkpoint", "-c", help="The checkpoint to ask."),
    backbone: str = typer.Option("", help="Its Kosmos-2 directory, if it needs one."),
    config: str = typer.Option("", help="Its run file, if it needs one."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    dtype: str = typer.Option("auto", help="auto, float32, bfloat16 or int8."),
    instruction: str = typer.Option("", help="In place of the recorded instruction."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
    plot: Path | None = typer.Option(None, "--plot", help="Both commands over time, as PNG."),
) -> None:
    """Shows the frames of an incident to another checkpoint and compares the commands.

    The frames that the policy on the robot looked at are streamed once more, each under the
    instruction of its time, and the memory is emptied where the robot's was: at each reset, stop,
    disable and new instruction. A capsule begins ten seconds before its trigger: frames whose
    window on the robot reached back beyond that are left out of the numbers.

    Example: mobile_vla replay-incident incident_20260801_101500.h5 -c epoch=12.ckpt --plot i.png
    """
    from mobile_vla_ros.analysis.incident import replay_incident as replay
    from mobile_vla_ros.episodes.incident import read_incident
    from mobile_vla_ros.policy import load_policy

    incident = read_incident(file)
    policy = load_policy(
        checkpoint, backbone=backbone or None, config=config or None, device=device, dtype=dtype
    )
    result = replay(incident, policy, instruction or None)
    summary, use = result.summary(), result.compared
    print(f"{file}: {incident.reason}, {summary['compared']} of {summary['frames']} frames")
    if not summary["full_window"]:
        print("the robot remembered more than the capsule holds: the numbers are of less memory")
    for axis, values in summary["difference"].items():  # type: ignore[attr-defined]
        unit = "rad/s" if axis.startswith("angular") else "m/s"
        print(f"  {axis}: differs by {values['mean']:.3f} {unit}, at most {values['max']:.3f}")
    gap = summary["path_gap"]
    print(f"  ends of the chunks' paths: {gap['mean']:.2f} m apart, at most {gap['max']:.2f}")  # type: ignore[index]
    write_json(
        json_file,
        {
            "file": str(file),
            "reason": incident.reason,
            "driven_by": incident.attributes.get("checkpoint"),
            "checkpoint": checkpoint,
            "checkpoint_sha256": policy.provenance.sha256,
            **summary,
            "axes": result.axes,
            "stamps": result.stamps[use],
            "recorded": result.recorded[use],
            "replayed": result.replayed[use],
        },
    )
    if plot:
        from mobile_vla_ros.plots.incident import draw_incident_traces
        from mobile_vla_ros.plots.style import save_figure

        save_figure(
            draw_incident_traces(
                result.axes,
                incident.time,
                result.stamps[use],
                result.recorded[use],
                result.replayed[use],
                incident.commands,
                incident.events,
                begins=result.begins[use],
            ),
            plot,
        )
