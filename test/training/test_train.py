"""Training runs in every mode: which weights move, resuming, and what the checkpoint is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.policy import load_policy
from mobile_vla_ros.training import loading
from mobile_vla_ros.training import module as training_module
from mobile_vla_ros.training.dataset import load_split
from mobile_vla_ros.training.losses import masked_huber
from mobile_vla_ros.training.preparation import prepare
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.start import starting_network
from mobile_vla_ros.training.train import train
from mobile_vla_ros.training.trainable import attach_adapters, kind_of

MODES: dict[str, dict[str, Any]] = {
    "frozen with cache": {},
    "frozen, token trained": {"train_setup": {"train_action_token": True}},
    "lora": {
        "train_setup": {"lora_enable": True, "lora_r": 4, "train_action_token": True},
        "augmentation": {"colour": 0.2, "mirror": 0.5},
    },
    "full": {
        "train_setup": {
            "freeze_backbone": False,
            "train_vision": True,
            "train_text_embedding": True,
            "train_action_token": True,
        },
    },
}
FOUR = {"trainer": {"max_epochs": -1, "max_steps": 4}, "batch_size": 3}
MakeRun = Callable[..., RunConfig]


class InterruptAt(pl.Callback):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


class InterruptAllAt(InterruptAt):
    """Presses Ctrl-C as a terminal does: the workers get it too."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            workers = multiprocessing.active_children()
            assert len(workers) >= 1
            for process in (*workers, multiprocessing.current_process()):
                assert process.pid is not None
                os.kill(process.pid, signal.SIGINT)


class FailAt(pl.Callback):
    """A crash at the start of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            raise OSError("power cut")


def state_of(path: Path | None) -> dict[str, torch.Tensor]:
    assert path is not None
    return torch.load(path, weights_only=True)["state_dict"]


def statistics_of(path: Path | None) -> dict[str, torch.Tensor]:
    assert path is not None
    return torch.load(path, weights_only=True)["mobile_vla"]["feature_statistics"]


@pytest.mark.parametrize("mode", MODES)
def test_two_steps_and_a_resume_to_four_equal_four_steps(
    make_run: MakeRun, episodes: Path, tmp_path: Path, mode: str
) -> None:
    run = make_run(**{**MODES[mode], **FOUR})
    straight = train(run, episodes, tmp_path / "straight")
    halfway = train(run, episodes, tmp_path / "halves", callbacks=[InterruptAt(2)])
    assert halfway.interrupted
    assert halfway.steps == 2
    interrupted = statistics_of(halfway.last_checkpoint)
    resumed = train(run, episodes, tmp_path / "halves", resume=halfway.last_checkpoint)
    assert (straight.steps, resumed.steps) == (4, 4)
    assert not resumed.interrupted
    first, second = state_of(straight.last_checkpoint), state_of(resumed.last_checkpoint)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    first, second = statistics_of(straight.last_checkpoint), statistics_of(resumed.last_checkpoint)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    moves = not torch.equal(first["mean"], interrupted["mean"])
    assert moves == (mode != "frozen with cache")


def test_ctrl_c_with_workers_is_answered_once_and_resumes(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    mode = {**MODES["frozen, token trained"], **FOUR}
    run = make_run(**mode, train_dataset={"num_workers": 2})
    # A file, for what a worker says is seen as well.
    printed = tmp_path / "printed"

    def say(sentence: str) -> None:
        with printed.open("a") as file:
            file.write(f"{sentence}\n")

    halfway = train(run, episodes, tmp_path, callbacks=[InterruptAllAt(2)], say=say)
    assert halfway.interrupted
    assert printed.read_text().count("ending after this step") == 1
    resumed = train(run, episodes, tmp_path, resume=halfway.last_checkpoint)
    straight = train(make_run(**mode), episodes, tmp_path / "straight")
    first, second = state_of(straight.last_checkpoint), state_of(resumed.last_checkpoint)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_run_takes_no_more_workers_than_there_are_cores(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    run = make_run(**MODES["frozen, token trained"], train_dataset={"num_workers": 1000})
    cores = len(os.sched_getaffinity(0))

    class Look(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
            assert trainer.train_dataloader is not None
            assert trainer.train_dataloader.num_workers == cores

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(run, episodes, tmp_path, callbacks=[Look()])


def test_workers_take_no_more_shared_memory_than_there_is(
    make_run: MakeRun, episodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(**MODES["frozen, token trained"], train_dataset={"num_workers": 2})
    # A container's /dev/shm may hold 64 MiB or less; a batch of 4 windows takes 4.6 MiB.
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    said: list[str] = []

    class Look(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
            assert trainer.train_dataloader is not None
            assert trainer.train_dataloader.num_workers == 0

    train(run, episodes, tmp_path, callbacks=[Look()], say=said.append)
    assert any("0 of" in sentence and "/dev/shm" in sentence for sentence in said)


def test_a_shared_memory_that_fills_up_meanwhile_is_one_sentence(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    class Fill(pl.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            raise RuntimeError("unable to write to file </torch_1_2_3>: No space left on device")

    with pytest.raises(RunError, match="num_workers to 0"):
        train(make_run(), episodes, tmp_path, callbacks=[Fill()])


def test_a_resume_from_the_end_of_an_epoch_equals_a_run_in_one_go(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    run = make_run(trainer={"max_epochs": 3})
    straight = train(run, episodes, tmp_path / "straight")
    with pytest.raises(OSError, match="power cut"):
        train(run, episodes, tmp_path / "parts", callbacks=[FailAt(1)])
    resumed = train(run, episodes, tmp_path / "parts", resume=tmp_path / "parts" / "last.ckpt")
    assert resumed.steps == straight.steps
    first, second = state_of(straight.last_checkpoint), state_of(resumed.last_checkpoint)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("mode", MODES)
def test_only_what_the_mode_trains_moves(
    make_run: MakeRun, episodes: Path, tmp_path: Path, mode: str
) -> None:
    run = make_run(**{**MODES[mode], **FOUR, "learning_rate": 1e-2})
    before = {
        name: value.clone()
        for name, value in prepare(run, episodes, tmp_path).module.state_dict().items()
    }
    after = state_of(train(run, episodes, tmp_path / "out").last_checkpoint)
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert any(name.startswith("model.act_head.") for name in moved)
    backbone = {name for name in moved if name.startswith("model.backbone.")}
    if mode == "full":
        assert any("vision_model" in name for name in backbone)
        assert any("embed_tokens" in name for name in backbone)
    elif mode == "lora":
        assert backbone
        assert all("lora_" in name for name in backbone)
    else:
        assert not backbone
    assert ("model.action_token" in moved) == run.setup.train_action_token


@pytest.mark.parametrize(
    ("mode", "reference"),
    [("frozen with cache", "mobile_vla_frozen"), ("lora", "mobile_vla_lora")],
)
def test_names_and_prefixes_are_those_of_the_reference_checkpoints(
    make_run: MakeRun, episodes: Path, tmp_path: Path, golden: Path, mode: str, reference: str
) -> None:
    wanted = state_of(next((golden / reference).glob("*.ckpt")))
    overrides = {"act_head": {"hidden_size": 48}, "trainer": {"max_epochs": 1}}
    setup = {**MODES[mode].get("train_setup", {}), "lora_r": 32}
    result = train(make_run(**overrides, train_setup=setup), episodes, tmp_path)
    made = state_of(result.last_checkpoint)
    assert {name: value.shape for name, value in made.items()} == {
        name: value.shape for name, value in wanted.items()
    }
    content = torch.load(result.last_checkpoint, weights_only=True)
    assert content["hyper_parameters"]["configs"]["window_size"] == 8
    assert "pytorch-lightning_version" in content


def test_the_best_checkpoint_carries_the_lab_s_name(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    result = train(make_run(), episodes, tmp_path)
    assert result.best_checkpoint is not None
    epoch, loss = result.best_checkpoint.stem.split("-")
    assert epoch.startswith("epoch_epoch=0")
    assert loss.startswith("val_loss=val_loss=0.")
    assert len(list(tmp_path.glob("epoch_*.ckpt"))) == 1
    assert (tmp_path / "logs" / "metrics.csv").exists()
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))


@pytest.mark.parametrize("mode", MODES)
def test_load_policy_gives_the_outputs_of_training_bit_for_bit(
    make_run: MakeRun, episodes: Path, tmp_path: Path, mode: str
) -> None:
    run = make_run(**{**MODES[mode], **FOUR})
    result = train(run, episodes, tmp_path / "out")
    policy = load_policy(result.last_checkpoint, dtype="float32", device="cpu")
    state = {
        name: value
        for name, value in state_of(result.last_checkpoint).items()
        if not name.endswith("lm_head.weight")
    }
    prepared = prepare(run, episodes, tmp_path / "again")
    module = prepared.module
    module.load_state_dict(state)
    if mode == "lora":
        module.model.backbone.merge_adapter()
    with open_episode(sorted(episodes.iterdir())[0]) as episode:
        images, instruction = episode.images(slice(0, 8)), episode.instruction
    pixels = policy.preprocess(images)
    expected = policy.encode_frames(pixels, instruction)
    module.eval()
    with torch.inference_mode():
        prompt = module.model.prompt(instruction, module.reader.ids(instruction))
        features = module.model.features(module.model.context(pixels), prompt)
        velocities = module.decode(features[None])
    assert torch.equal(features, expected)
    assert torch.equal(velocities, policy.decode(expected[None]))
    # The statistics are those of these weights, over the recorded frames of training.
    wanted = prepared.module.sample.statistics(module.look)
    found = policy.provenance.statistics
    assert found.count == wanted.count == sum(len(e.samples.rows) for e in prepared.split.train)
    for name, value in wanted.arrays().items():
        np.testing.assert_allclose(found.arrays()[name], value, atol=1e-4, rtol=1e-3)
    assert policy.config.action_axes == ("linear.x", "angular.z")
    assert policy.config.action_axes_confirmed


def test_the_checkpoint_names_its_training_and_validation_files(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    run = make_run(trainer={"max_epochs": 1})
    result = train(run, episodes, tmp_path)
    split = load_split(run, episodes)
    provenance = load_policy(result.last_checkpoint, device="cpu").provenance
    assert provenance.training_files == {e.path.name: e.sha256 for e in split.train}
    assert provenance.validation_files == {e.path.name: e.sha256 for e in split.validation}
    assert not set(provenance.training_files) & set(provenance.validation_files)
    assert provenance.feature_mean is not None
    assert provenance.feature_mean.shape == (64,)
    assert np.all(provenance.feature_std >= 0)
    assert provenance.statistics.mean.shape == (128,)


@pytest.mark.parametrize("length", [1, 3])
def test_windows_with_words_of_their_own_are_encoded_as_one_by_one(
    make_run: MakeRun, episodes: Path, tmp_path: Path, length: int
) -> None:
    module = prepare(make_run(), episodes, tmp_path).module.eval()
    said = ["go left", "go right", "stop", "go left", "drive past the box on the left", "go right"]
    size = module.model.backbone.vision_model.model.config.image_size
    generator = torch.Generator().manual_seed(0)
    shape = (len(said), length, size, size, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    for plain in (False, True):
        module.train(plain)
        module._plain = plain
        with torch.no_grad():
            together = module.encode(images, said)
            alone = [module.encode(images[at : at + 1], said[at : at + 1]) for at in range(6)]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_a_lora_start_equals_its_base(make_run: MakeRun, episodes: Path, tmp_path: Path) -> None:
    base = prepare(make_run(feature_cache=False), episodes, tmp_path).module.eval()
    adapted = prepare(make_run(**MODES["lora"]), episodes, tmp_path).module.eval()
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    first = base.encode_frames(images, "go left")
    np.testing.assert_array_equal(first, adapted.encode_frames(images, "go left"))


def test_the_loss_falls_on_two_episodes(make_run: MakeRun, episodes: Path, tmp_path: Path) -> None:
    run = make_run(
        trainer={"max_epochs": 40},
        train_dataset={"max_episodes": 2, "train_split": 1.0},
        learning_rate=3e-3,
        batch_size=8,
    )
    losses: list[float] = []

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            losses.append(float(trainer.callback_metrics["train_loss"]))

    result = train(run, episodes, tmp_path, callbacks=[Watch()])
    assert result.train_loss < 0.7 * losses[0]


def test_a_7_dof_checkpoint_gives_backbone_and_token_and_a_fresh_head(
    make_run: MakeRun, episodes: Path, tmp_path: Path, golden: Path
) -> None:
    folder = golden / "robovlms_oxe_7dof"
    run = make_run(
        model_path=str(folder / "pretrained"),
        model_load_path=str(folder / "kosmos_ph_oxe-pretrain.pt"),
        **FOUR,
    )
    said: list[str] = []
    result = train(run, episodes, tmp_path, say=said.append)
    wanted = state_of(folder / "kosmos_ph_oxe-pretrain.pt")
    made = state_of(result.last_checkpoint)
    for name, value in wanted.items():
        if not name.startswith("model.act_head."):
            assert torch.equal(made[name], value), name
    assert "action token taken" in said[0]
    assert "7-DoF arm head replaced by a fresh one for linear.x, angular.z" in said[0]


def test_adapters_of_a_starting_checkpoint_are_merged_and_its_head_taken(
    make_run: MakeRun, episodes: Path, tmp_path: Path, golden: Path
) -> None:
    folder = golden / "mobile_vla_lora"
    checkpoint = next(folder.glob("*.ckpt"))
    run = make_run(
        model_path=str(folder / "pretrained"),
        model_load_path=str(checkpoint),
        act_head={"hidden_size": 48},
        feature_cache=False,
    )
    module = prepare(run, episodes, tmp_path).module
    policy = load_policy(checkpoint, dtype="float32", device="cpu")
    for name, value in policy.model.state_dict().items():
        assert torch.equal(module.model.state_dict()[name], value), name


def test_adapters_sit_where_the_run_file_lists_them(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    setup = {"lora_enable": True, "lora_r": 2, "lora_modules": ["q_proj", "vision_model"]}
    module = prepare(make_run(train_setup=setup), episodes, tmp_path).module
    carriers = {name.split(".lora_A")[0] for name in module.state_dict() if ".lora_A" in name}
    assert carriers
    assert all("vision_model" in name or name.endswith("q_proj") for name in carriers)
    assert any("text_model" in name for name in carriers)


def test_adapters_and_head_learn_at_their_own_rates(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    run = make_run(**MODES["lora"], learning_rate=1e-5, head_learning_rate=1e-4)
    groups = training_module.parameter_groups(prepare(run, episodes, tmp_path).module)
    assert set(groups) == {"adapters", "head", "action token"}
    rates: dict[int, float] = {}

    class Watch(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            for group in trainer.optimizers[0].param_groups:
                kind = {
                    kind_of(name)
                    for name, parameter in module.named_parameters()
                    if any(parameter is member for member in group["params"])
                }
                assert len(kind) <= 2
                rates.update(dict.fromkeys(kind, group["initial_lr"]))

    train(
        make_run(**{**MODES["lora"], **FOUR}, learning_rate=1e-5, head_learning_rate=1e-4),
        episodes,
        tmp_path,
        callbacks=[Watch()],
    )
    assert rates == {"adapters": 1e-5, "head": 1e-4, "action token": 1e-4}


def test_warm_up_rises_and_the_cosine_falls() -> None:
    shares = [training_module.warm_cosine(step, 100, 0.1) for step in range(100)]
    assert shares[0] < 0.1
    assert max(shares) == pytest.approx(1.0, abs=0.01)
    assert shares[:10] == sorted(shares[:10])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[-1] < 0.02


def test_masked_steps_do_not_count() -> None:
    predicted = torch.zeros(1, 1, 3, 2)
    labels = torch.tensor([[[[1.0, 1.0], [0.5, 0.5], [99.0, 99.0]]]])
    mask = torch.tensor([[[True, True, False]]])
    loss, count = masked_huber(predicted, labels, mask)
    assert int(count) == 4
    assert float(loss) == pytest.approx((0.5 + 0.5 + 0.125 + 0.125) / 4)


def test_the_best_loss_is_that_of_the_best_checkpoint(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    # So large a step spoils every epoch after the first.
    run = make_run(learning_rate=0.3, trainer={"max_epochs": 3}, warmup=0)
    result = train(run, episodes, tmp_path)
    assert result.best_checkpoint is not None
    assert f"val_loss={result.best_val_loss:.3f}" in result.best_checkpoint.name
    assert result.best_val_loss <= result.val_loss


def test_adapters_are_attached_without_a_warning(make_run: MakeRun) -> None:
    run = make_run(**MODES["lora"])
    model, _, _ = starting_network(run, lambda sentence: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        assert attach_adapters(model, run)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_the_head_runs_in_the_precision_of_its_weights(
    make_run: MakeRun, episodes: Path, tmp_path: Path, precision: str
) -> None:
    # torch has no LSTM in bfloat16 on processors without it; mixed precision asked for one.
    run = make_run(trainer={"precision": precision, "max_steps": 1})
    seen: list[torch.dtype] = []

    class Watch(pl.Callback):
        def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            module.model.act_head.rnn.register_forward_hook(
                lambda _module, inputs, _output: seen.append(inputs[0].dtype)
            )

    result = train(run, episodes, tmp_path, callbacks=[Watch()])
    wanted = {"bf16-mixed": torch.float32, "bf16-true": torch.bfloat16}
    assert set(seen) == {wanted.get(precision, torch.float64)}
    assert result.train_loss > 0
