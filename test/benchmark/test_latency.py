import json
import mmap
import time

import numpy as np
import pytest
import torch

from mobile_vla_ros.benchmark.compare import compare_results, differences, read_result
from mobile_vla_ros.benchmark.frames import BenchmarkError, drawn_frames
from mobile_vla_ros.benchmark.latency import INSTRUCTION, measure_latency, summary
from mobile_vla_ros.benchmark.memory import PeakMemory, anonymous_bytes
from mobile_vla_ros.benchmark.plain import PlainPasses, PlainProcess
from mobile_vla_ros.benchmark.samples import Samples
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.pictures import decode_compressed
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.random_policies import random_policy


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["benchmark", *map(str, arguments)])
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def result():
    policy = random_policy("tiny", device="cpu", dtype="float32")
    return measure_latency(policy, drawn_frames(4, (90, 160)), runs=4, warm_up=1, lean_pairs=3)


def test_every_stage_is_timed_in_both_modes(result) -> None:
    assert {
        "decode",
        "preprocess",
        "vision",
        "text",
        "head",
        "total",
        "first_call",
        "warm_up",
    } == set(result.modes["stream"]["stages"])
    assert {"preprocess", "vision", "text", "head", "total"} == set(
        result.modes["window"]["stages"]
    )
    for mode in result.modes.values():
        assert all({"p50", "p90", "p99", "max"} <= set(s) for s in mode["stages"].values())
        assert mode["stages"]["total"]["count"] == 4


def test_both_modes_give_the_same_actions(result) -> None:
    assert result.max_action_difference < 1e-4


def test_the_window_costs_more_than_the_stream(result) -> None:
    assert result.stream_over_window > 1.0
    assert result.lean_over_plain is not None
    assert len(result.samples["frame"]["lean"]) == result.lean_pairs == 3


def test_the_floor_is_below_what_was_measured(result) -> None:
    floor = result.floor
    assert floor.operations > 0
    assert 0 < floor.seconds == max(floor.memory_seconds, floor.compute_seconds)
    assert floor.measured_over_floor > 1.0


def test_operations_are_counted_as_by_hand() -> None:
    policy = random_policy("tiny", device="cpu", dtype="float32")
    text = policy.model.backbone.text_model.model.layers[0]
    linear = sum(p.numel() for p in text.parameters() if p.dim() == 2)
    # The whole frame has two text layers, two vision layers and the projection: more than one
    # text layer over its 64 image tokens, less than a hundred of them.
    floor = measure_latency(
        policy, drawn_frames(1, (90, 160)), mode="stream", runs=1, warm_up=0, lean_pairs=0
    ).floor
    assert 2 * linear * 64 < floor.operations < 200 * linear * 64


def test_one_mode_leaves_the_ratio_out() -> None:
    policy = random_policy("tiny", device="cpu", dtype="float32")
    frames = drawn_frames(1, (90, 160))
    only = measure_latency(policy, frames, mode="stream", runs=1, warm_up=0, lean_pairs=0)
    assert (only.stream_over_window, only.lean_over_plain) == (None, None)
    assert set(only.modes) == {"stream"}


def test_a_summary_equals_numpy() -> None:
    seconds = np.random.default_rng(0).exponential(size=200)
    values = summary(list(seconds))
    assert values["p99"] == pytest.approx(np.percentile(seconds, 99))
    assert (values["max"], values["count"]) == (seconds.max(), 200)


def test_a_stage_takes_as_long_as_its_block() -> None:
    samples = Samples(torch.device("cpu"))
    with samples.stage("a", "b"):
        time.sleep(0.05)
    samples.recording = False
    with samples.stage("a", "b"):
        pass
    assert len(samples.seconds["a"]["b"]) == 1
    assert samples.seconds["a"]["b"][0] >= 0.05


def test_peak_memory_sees_what_was_given_back() -> None:
    before = anonymous_bytes()
    # Straight from the system: a freed block of the heap could serve otherwise.
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with PeakMemory() as peak, mmap.mmap(-1, 40_000_000, flags=kind) as block:
        block.write(bytes(40_000_000))
        time.sleep(0.1)
    assert peak.bytes - before > 30_000_000


def test_drawn_frames_are_pictures() -> None:
    frames = [decode_compressed(jpeg) for jpeg in drawn_frames(3, (90, 160))]
    assert all(frame.shape == (90, 160, 3) and frame.std() > 10 for frame in frames)
    assert not np.array_equal(frames[0], frames[1])


def test_the_command_writes_result_samples_and_figure(tmp_path, capsys) -> None:
    out, figure = tmp_path / "r.json", tmp_path / "r.png"
    options = ["--runs", 2, "--warm-up", 0, "--lean-pairs", 1, "--json", out, "--plot", figure]
    assert run("--random", "tiny", *options) == 0
    values = json.loads(out.read_text())
    keys = {"machine", "model", "modes", "stream_over_window", "max_action_difference"}
    assert keys | {"floor", "memory"} <= set(values)
    assert values["modes"]["stream"]["stages"]["load"]["p50"] > 0
    assert "stream_total" in np.load(tmp_path / "r.samples.npz").files
    assert figure.stat().st_size > 10_000
    assert "the window takes" in capsys.readouterr().out
    assert run("compare", out, out) == 0
    rows = compare_results(read_result(out), read_result(out))
    assert all(row["ratio"] == 1.0 for row in rows)
    assert differences(values, values) == []


def test_the_cost_of_a_number_format_is_printed_and_bounded(tmp_path, golden, capsys) -> None:
    checkpoint = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
    out = tmp_path / "r.json"
    options = ["--dtype", "int8", "--error", "--mode", "stream", "--runs", 1, "--lean-pairs", 0]
    assert run("--checkpoint", checkpoint, *options, "--json", out) == 0
    assert "against float32" in capsys.readouterr().out
    found = json.loads(out.read_text())["velocity_error"]
    assert 0 < found["max_normalised"] < 0.03
    assert set(found["axes"]) == {"linear.x", "angular.z"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --checkpoint"),
        (["--random", "huge"], "--random is"),
        (["--random", "tiny", "--mode", "fast"], "--mode is"),
        (["--random", "tiny", "--device", "tpu"], "device"),
        (["--random", "tiny", "--dtype", "int3"], "int3"),
        (["--random", "tiny", "--data", "."], "no readable episode"),
        (["--checkpoint", "nowhere.ckpt"], "nowhere.ckpt"),
        (["compare", "nowhere.json", "nowhere.json"], "cannot read"),
    ],
)
def test_wrong_input_is_one_sentence(arguments, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_a_policy_that_cannot_drive_is_refused(golden, capsys) -> None:
    arm = golden / "robovlms_oxe_7dof" / "kosmos_ph_oxe-pretrain.pt"
    assert run("--checkpoint", arm, "--runs", 1) == 2
    assert "cannot drive" in capsys.readouterr().err


def test_unknown_modes_are_refused_before_anything_runs() -> None:
    with pytest.raises(BenchmarkError, match="--mode"):
        measure_latency(None, [], mode="x")  # type: ignore[arg-type]


def _tiny():
    return random_policy("tiny", device="cpu", dtype="bfloat16")


def _none_such():
    raise PolicyError("device tpu is not supported")


def test_plain_passes_in_their_own_process_are_those_of_this_one() -> None:
    frames = [decode_compressed(jpeg) for jpeg in drawn_frames(3, (90, 160))]
    here = PlainPasses(_tiny(), "go left")
    with PlainProcess(_tiny, "go left", threads=1) as there:
        for image in frames:
            here.remember(image)
            there.remember(image)
        expected, _ = here.window()
        actions, seconds = there.window()
        alone = there.frame()
    np.testing.assert_allclose(actions, expected, atol=0.02, rtol=0)
    assert set(seconds) == {"preprocess", "vision", "text", "head", "total"}
    assert seconds["total"] >= seconds["vision"] + seconds["text"] > 0
    assert alone > 0


def test_what_the_other_process_complains_of_is_said_here() -> None:
    with (
        pytest.raises(BenchmarkError, match="tpu is not supported"),
        PlainProcess(_none_such, "go left", threads=1),
    ):
        pass


def test_the_end_of_the_other_process_is_noticed() -> None:
    with PlainProcess(_tiny, "go left", threads=1) as there:
        there._process.kill()
        with pytest.raises(BenchmarkError, match="has ended with -9"):
            there.frame()


def test_a_packed_policy_is_compared_with_one_that_is_not() -> None:
    policy = _tiny()
    if not policy.packs:
        pytest.skip("this processor does not multiply bfloat16 in hardware")
    frames = drawn_frames(2, (90, 160))
    with pytest.raises(BenchmarkError, match="plain passes"):
        measure_latency(policy, frames, runs=1)
    with PlainProcess(_tiny, INSTRUCTION, threads=2) as plain:
        found = measure_latency(policy, frames, runs=2, warm_up=0, lean_pairs=1, plain=plain)
    assert found.max_action_difference < 0.02
    assert found.lean_over_plain is not None
    # Counted in full although the packed weights are no parameters any more.
    assert found.model["parameters"] == sum(p.numel() for p in _tiny().model.parameters())
