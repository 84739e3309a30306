"""``mobile_vla demo``: a robot drives to the bottle, over ROS 2, with the bundled policy."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.bundled import DEMO, for_field
from mobile_vla_ros.cli import INTERRUPTED
from mobile_vla_ros.cli.demo_pictures import draw, film
from mobile_vla_ros.cli.output import check_target, write_json
from mobile_vla_ros.errors import InputError

# A person at the page takes his time.
PERSON_SECONDS = 600.0
# In the open field the way is longer, and somebody may walk across it.
OPEN_SECONDS = 75.0

app = typer.Typer(add_completion=False, rich_markup_mode=None)
# Programs that want to run, for each core, from where on nothing keeps its time.
BUSY = 1.5
# s: a chunk is played for 0.8 s from its frame's capture, and velocities come every 0.05 s.
LATE_CHUNK, LATE_COMMAND = 0.6, 0.3


@app.command()
def demo(
    scenario: str = typer.Option(
        "1box_left",
        help="1box_left, 1box_right, 2box_left, 2box_right, or one of the open field, such as "
        "open_easy_change, where the instruction changes on the way.",
    ),
    seed: int = typer.Option(7, help="Decides where things stand and how they look.", min=0),
    instruction: str = typer.Option("", help="In place of the scenario's own."),
    checkpoint: str = typer.Option(
        DEMO,
        "--checkpoint",
        "-c",
        help="The policy that drives; demo is the bundled one of the scenario's field.",
    ),
    page: bool = typer.Option(
        False, "--page", help="You drive it from the operator's page: instruction, STOP, stick."
    ),
    page_port: int = typer.Option(8080, help="TCP port of the page.", min=1, max=65535),
    out: Path = typer.Option(Path("demo_output"), help="Folder for the episode and the picture."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
    plot: Path | None = typer.Option(None, "--plot", help="The picture (default: in OUT)."),
    video: Path | None = typer.Option(
        None, help="A film of the drive (.mp4): what the robot saw, and its path from above."
    ),
) -> None:
    """Drives, records, checks and draws one run in the simulated field, in about a minute.

    The field, the inference node and the recorder run as processes and talk over ROS 2, as on a
    robot. Exit status 1 when the bottle was not reached or the episode has a fault.

    With --page nothing is told to the robot: open the address that is printed, and say it there.

    Example: mobile_vla demo --scenario 2box_right --seed 11
    """
    _require(scenario, video, out)
    cores = len(os.sched_getaffinity(0))
    if os.getloadavg()[0] > BUSY * cores:
        _say(f"this machine is busy (load {os.getloadavg()[0]:.1f} on {cores} cores): it may fail")
    if page:
        _check_port(page_port)
    checkpoint = _of_its_field(checkpoint or DEMO, scenario)
    trace = _run(scenario, seed, instruction, checkpoint, out, page_port if page else None)
    episodes = [_saved(said) for said in trace["saved"]]
    episode = episodes[-1]
    measured = _measure(trace)
    picture = plot or out / "demo.png"
    draw(trace, scenario, seed, episodes, picture)
    _tell(trace, measured)
    late = [] if trace["success"] else signs_of_load(measured, os.getloadavg()[0] / cores)
    if late:
        print(
            f"this machine is too busy for the demo ({', '.join(late)}): try again when it is not"
        )
    reports = [_checked(one) for one in episodes]
    faultless = all(reports)
    print(f"picture {picture}")
    if video is not None:
        film(trace, scenario, seed, episodes, video)
        print(f"film {video}")
    write_json(
        json_file,
        {
            "scenario": scenario,
            "seed": seed,
            "success": trace["success"],
            "outcome": trace["outcome"],
            "episode": episode,
            "episodes": episodes,
            "episode_ok": faultless,
            "picture": picture,
            "video": video,
            **measured,
        },
    )
    if not (trace["success"] and faultless):
        raise typer.Exit(1)


def _of_its_field(checkpoint: str, scenario: str) -> str:
    from mobile_vla_ros.sim.fields import is_open

    return str(for_field(checkpoint, open_field=is_open(scenario)))


def _require(scenario: str, video: Path | None, out: Path) -> None:
    """Raises InputError for what would end the drive later."""
    for module, advice in (
        ("rclpy", "source your ROS 2 setup file, or run `make demo`"),
        ("mujoco", "pip install mujoco"),
    ):
        if importlib.util.find_spec(module) is None:
            raise InputError(f"{module} cannot be imported: {advice}")
    from mobile_vla_ros.sim.drivefilm import require_encoder
    from mobile_vla_ros.sim.engine import require_mujoco
    from mobile_vla_ros.sim.fields import parse_field_scenario

    parse_field_scenario(scenario)
    if video is not None:
        check_target(video)
        require_encoder(video)
    require_mujoco()
    try:
        (out / "episodes").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from error


def _checked(episode: Path) -> bool:
    """Says what `check` finds in the recorded episode; whether it is nothing."""
    from mobile_vla_ros.episodes.checks import check_episode

    report = check_episode(episode)
    fault = "; ".join(report.problems) or "no fault found"
    print(f"episode {episode}: {report.frames} frames, {fault}")
    return report.ok


def _check_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"port {port}: {error.strerror}; give another --page-port") from error


def _run(
    scenario: str, seed: int, instruction: str, checkpoint: str, out: Path, page_port: int | None
) -> dict[str, Any]:
    from mobile_vla_ros.benchmark.processes import NodeProcesses
    from mobile_vla_ros.sim.fields import LAB, OPEN, is_open
    from mobile_vla_ros.sim.open_field.measures import OPEN_PILOT

    os.environ.setdefault("MUJOCO_GL", "egl")
    with NodeProcesses(f"/demo_{os.getpid()}") as nodes:
        by_page = page_port is not None
        patience: dict[str, Any] = {"time_limit": PERSON_SECONDS} if by_page else {}
        policy: dict[str, Any] = {"checkpoint": checkpoint}
        limit: dict[str, Any] = {}
        if is_open(scenario):
            # Waiting for a person to pass is no arrival.
            policy["arrival_hold"] = OPEN_PILOT.arrival_hold
            limit["time_limit"] = OPEN_SECONDS
        nodes.start(
            "sim_node",
            *("-r", "state:=mobile_vla/state"),
            field=OPEN if is_open(scenario) else LAB,
            scenario=scenario,
            seed=seed,
            **patience,
        )
        if by_page:
            nodes.start("inference_node", "-r", "cmd_vel:=policy_cmd_vel", **policy)
            nodes.start("cmd_vel_guard")
            nodes.start("operator_node", port=page_port)
            _say(f"the operator's page: http://127.0.0.1:{page_port}/")
        else:
            nodes.start("inference_node", **policy)
        nodes.start(
            "recorder_node", directory=str((out / "episodes").absolute()), image_format="jpeg"
        )
        director = nodes.start(
            "tools.director_node",
            listen=True,
            scenario=scenario,
            instruction=instruction,
            by_page=by_page,
            **limit | patience,
        )
        ended = threading.Event()
        telling = threading.Thread(target=_pass_on, args=(director.stderr, ended), daemon=True)
        telling.start()
        assert director.stdout is not None
        try:
            output = director.stdout.read()
            director.wait()
        except KeyboardInterrupt:
            # What the others say while they end is nobody's fault.
            ended.set()
            raise
        telling.join(1.0)
        if director.returncode == INTERRUPTED:
            raise KeyboardInterrupt
        if director.returncode != 0:
            nodes.check()
            load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
            if load > BUSY * cores:
                raise InputError(f"this machine is too busy (load {load:.1f} on {cores} cores)")
            raise InputError("the demo did not come to its end; see above")
    return json.loads(output.splitlines()[-1])


def _pass_on(stream, ended: threading.Event) -> None:
    for line in stream:
        if not line.startswith("[") and not ended.is_set():
            _say(line.rstrip())


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def signs_of_load(measured: dict[str, Any], load: float) -> list[str]:
    """What says that the machine was too busy for a drive; empty when nothing does.

    Args:
        measured: the drive's pace, as `_measure` gives it.
        load: programs that want to run, for each core.
    """
    signs = []
    if load > BUSY:
        signs.append(f"{load:.1f} programs want to run on each core")
    if measured["latency"]["p99"] > LATE_CHUNK:
        signs.append(f"answers of the policy came {measured['latency']['p99']:.1f} s late")
    if measured["longest_pause"] > LATE_COMMAND:
        signs.append(f"{measured['longest_pause']:.1f} s passed between two velocities")
    return signs


def _saved(message: str) -> Path:
    _, _, rest = message.partition("saved ")
    return Path(rest.split(".h5", 1)[0] + ".h5")


def _measure(trace: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from mobile_vla_ros.stats.percentiles import percentiles

    commands = np.array(trace["commands"]).reshape(-1, 4)
    chunks = np.array(trace["chunks"]).reshape(-1, 2)
    if len(commands) < 2 or len(chunks) < 2:
        raise InputError("the policy sent no velocities; see the states above")
    return {
        "command_rate": float((len(commands) - 1) / (commands[-1, 0] - commands[0, 0])),
        "chunk_rate": float((len(chunks) - 1) / (chunks[-1, 0] - chunks[0, 0])),
        "latency": percentiles(chunks[:, 1], (50, 99)),
        "longest_pause": float(np.diff(commands[:, 0]).max()),
        "seconds": trace["seconds"],
    }


def _tell(trace: dict[str, Any], measured: dict[str, Any]) -> None:
    for when, state in trace["states"]:
        print(f"{max(when, 0):6.1f} s  {state}")
    latency = measured["latency"]
    outcome = trace["outcome"]
    print(
        f"velocities {measured['command_rate']:.1f}/s, chunks {measured['chunk_rate']:.1f}/s; "
        f"age of a frame when its chunk comes: p50 {1e3 * latency['p50']:.0f} ms, "
        f"p99 {1e3 * latency['p99']:.0f} ms"
    )
    print(
        f"{'SUCCESS' if trace['success'] else 'FAILURE'}: {outcome['reason']}, "
        f"{outcome['distance']:.2f} m from the {outcome['goal']} after "
        f"{outcome['driving_time']:.1f} s and {outcome['path_length']:.2f} m"
    )
