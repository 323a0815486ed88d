"""The trainer: schedules, one step, and whole small runs through the command line."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

import train
from dataset.clip import ClipBatch
from dataset.train.loader import build_loader
from model.layers.batch_norm import freeze_batch_norm
from model.spacetime.unroll import ClipOutput
from model.training.optim import (
    RunningMean,
    build_optimizer,
    clip_gradient,
    learning_rate,
    lr_factor,
    set_learning_rate,
)
from model.weights import load_checkpoint
from tests.support.runs import TWOFRAME, error_of, flags, lines, small_run
from tests.support.toy_videos import toy_model
from util.config.plain import plain, with_defaults
from util.config.presets import PRESETS, STAGES, preset
from util.config.train import OptimConfig, TrainConfig, ValidationConfig
from util.files.checkpoint import read_checkpoint
from util.run.metrics import StepMetrics

CPU = torch.device("cpu")
OPTIM = OptimConfig(optimizer="adam", lr=1.0, weight_decay=0.0)


def test_learning_rates_by_hand() -> None:
    steps = replace(OPTIM, lr=1.0, lr_schedule="steps", lr_drops=(0.5, 0.8))
    rates = [learning_rate(steps, 100, progress) for progress in (0, 0.49, 0.5, 0.79, 0.8, 1)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = replace(OPTIM, lr=2.0, lr_schedule="cosine", warmup_steps=4)
    assert [learning_rate(cosine, s, p) for s, p in ((0, 0), (3, 0), (9, 0.5), (9, 1))] == pytest.approx([0.5, 2, 1, 0])
    linear = replace(OPTIM, lr=1.0, lr_schedule="linear")
    assert [learning_rate(linear, 0, p) for p in (0, 0.25, 1, 1.2)] == pytest.approx([1, 0.75, 0, 0])


def test_published_drops_are_at_their_iterations() -> None:
    published = {
        "xmem": {"1": (1e-5, 200_000), "2": (1e-5, 120_000), "3": (1e-5, 80_000)},
        "stcn": {"0": (1e-5, 150_000), "1": (1e-5, 400_000), "2": (1e-5, 250_000), "3": (1e-5, 125_000)},
        "stcn-corr": {"0": (5e-5, 250_000), "1": (1e-5, 400_000), "2": (5e-5, 250_000), "3": (5e-5, 125_000)},
    }
    for model, stages in published.items():
        for stage, (lr, step) in stages.items():
            run = preset(model, "base", stage)
            before, at = (learning_rate(run.optim, s, s / run.iterations) for s in (step - 1, step))
            assert before == pytest.approx(lr) and at == pytest.approx(lr / 10)
    assert learning_rate(preset("xmem", stage="0").optim, 149_999, 149_999 / 150_000) == 1e-5


def test_published_sizes_of_runs() -> None:
    networks = [model for model in PRESETS if model not in TWOFRAME]
    runs = {(model, stage): preset(model, "base", stage) for model in networks for stage in STAGES}
    iterations = {"xmem": (150, 250, 160, 110), "stcn": (300, 500, 300, 150), "stcn-corr": (300, 500, 300, 150)}
    batches = {"xmem": (16, 8, 8, 8), "stcn": (16, 8, 8, 8), "stcn-corr": (16, 8, 8, 16)}
    for model in networks:
        assert tuple(runs[model, stage].iterations // 1000 for stage in STAGES) == iterations[model]
        assert tuple(runs[model, stage].batch_size for stage in STAGES) == batches[model]
        assert [runs[model, stage].clip.max_objects for stage in STAGES] == [1] + 3 * [3 if model == "xmem" else 2]
        assert runs[model, "1"].augment.crop_scale == (0.25, 1.0) and runs[model, "1"].augment.degrees == 0
        assert runs[model, "1"].clip.gap_starts[-1] == 0.8 and runs[model, "1"].data.dataset == ("bl30k",)
        assert {run.seed for run in runs.values()} == {14159265}
    assert [runs["xmem", stage].clip.plain_end for stage in STAGES] == [0, 0, 10_000, 10_000]
    assert [runs[model, "3"].data.davis_weight for model in networks] == [5, 5, 1]
    corr = runs["stcn-corr", "2"]
    assert (corr.loss.dice, corr.loss.dice_background, corr.optim.weight_decay) == (0.4, True, 1e-7)


def test_three_learning_rates_of_stcn_corr() -> None:
    config = preset("stcn-corr").optim
    factors = {
        "key_encoder.conv1.weight": 0.2,
        "key_encoder.res2.0.conv1.weight": 0.2,
        "key_encoder.layer3.5.conv1.weight": 0.4,
        "value_encoder.layer2.0.conv1.weight": 0.4,
        "value_encoder.layer1.0.conv1.weight": 0.2,
        "value_encoder.fuser.block1.conv1.weight": 0.2,
        "key_proj.key_proj.weight": 1.0,
        "decoder.pred.weight": 1.0,
    }
    assert {name: lr_factor(name, config) for name in factors} == factors
    model = toy_model("stcn-corr")
    optimizer = build_optimizer(model.named_parameters(), config)
    set_learning_rate(optimizer, 10.0)
    assert sorted(group["lr"] for group in optimizer.param_groups) == [2.0, 4.0, 10.0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    assert len(build_optimizer(model.named_parameters(), preset("stcn").optim).param_groups) == 1


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_the_optimiser_does_not_mind_memory_layouts(kind: Literal["adam", "adamw"]) -> None:
    # On a CPU the fused step takes numbers as they lie in memory.
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    config = OptimConfig(optimizer=kind, lr=0.1, weight_decay=0.01)
    last, first = torch.channels_last, torch.contiguous_format
    ours = torch.nn.Parameter(weight.contiguous(memory_format=last))
    theirs = torch.nn.Parameter(weight.clone())
    optimizer = build_optimizer([("weight", ours)], config)
    reference = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]([theirs], lr=0.1, weight_decay=0.01)
    for layout in (last, first, last):
        gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        ours.grad, theirs.grad = gradient.contiguous(memory_format=layout), gradient
        optimizer.step()
        reference.step()
        torch.testing.assert_close(ours, theirs, check_stride=False)
        ours.data = ours.data.contiguous(memory_format=layout)  # the state keeps its layout, as after a resume
    assert ours.is_contiguous(memory_format=last)


def test_layouts_of_weights(root: Path) -> None:
    state = train.build_state(small_run(root), CPU)
    weights = dict(state.model.named_parameters())
    for name in (
        "key_proj.key_proj.weight",
        "value_encoder.fuser.block2.conv1.weight",
        "decoder.fuser.block1.conv1.weight",
    ):
        assert weights[name].is_contiguous()
    for name in ("key_encoder.layer3.0.conv1.weight", "decoder.up_16_8.skip_conv.weight"):
        assert weights[name].is_contiguous(memory_format=torch.channels_last) and not weights[name].is_contiguous()


@pytest.mark.parametrize("size", ["base", "tiny"])
def test_every_preset_is_a_valid_run(size: str) -> None:
    for model in PRESETS:
        for stage in STAGES:
            run = preset(model, size, stage)
            assert (run.model, run.size, run.stage) == (model, size, stage)
            train.check(run)
            assert json.loads(json.dumps(plain(run)))["clip"]["frames"] == run.clip.frames
            assert plain(with_defaults(run)()) == plain(run)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="no preset for stage '7': expected 0, 1, 2, 3"):
        preset("xmem", size, "7")


def test_running_mean_by_hand() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 1.0)
    mean = RunningMean(layer, 0.15)
    torch.nn.init.constant_(layer.weight, 3.0)
    mean.update(layer)  # keeps min(0.15, 2/11) = 0.15
    assert mean.weights["weight"].item() == pytest.approx(0.15 * 1 + 0.85 * 3)
    slow = RunningMean(layer, 0.999)
    torch.nn.init.constant_(layer.weight, 14.0)
    slow.update(layer)  # keeps 2/11
    assert slow.weights["weight"].item() == pytest.approx(2 / 11 * 3 + 9 / 11 * 14)


def test_gradients_are_clipped_and_batch_norm_frozen() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradient(layer.parameters(), 0.0).item() == pytest.approx(5) and layer.weight.grad[0, 1] == 4
    assert clip_gradient(layer.parameters(), 1.0).item() == pytest.approx(5)
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.6, 0.8]]), atol=1e-5, rtol=0)
    block = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1)).train()
    freeze_batch_norm(block)
    block(torch.randn(4, 1, 2, 2))
    assert not block[1].training and block[1].running_mean == 0 and block[1].weight.requires_grad
    assert isinstance(
        build_optimizer(layer.named_parameters(), OPTIM),
        torch.optim.Adam,
    )


@pytest.mark.parametrize("model", ["xmem", "stcn"])
def test_a_run_from_the_command_line(model: str, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train.command_line(flags(root, folder, "--model", model, "--log_every", "1"))
    written = lines(folder)
    assert [line["step"] for line in written] == [1, 2]
    assert {"loss", "cross_entropy", "dice", "iou", "lr", "gradient_norm", "data_wait", "pixel_share"} <= set(
        written[0]
    )
    assert list(folder.glob("events.out.tfevents.*"))
    config = json.loads((folder / "config.json").read_text())
    assert (config["model"], config["iterations"], config["augment"]["crop_size"]) == (model, 2, 32)
    saved = read_checkpoint(folder / "last.pth")
    assert (saved["format"], saved["version"], saved["step"], saved["stage"]) == ("corrvos", 1, 2, "2")
    assert saved["config"] == config and set(saved["ema"]) == set(saved["network"])
    assert load_checkpoint(folder / "last.pth").config.name == model


def test_a_run_is_the_same_each_time_and_data_workers_do_not_matter(root: Path, tmp_path: Path) -> None:
    for name, workers in (("a", "0"), ("b", "1")):
        train.command_line(flags(root, tmp_path / name, "--num_workers", workers))
    first, second = (read_checkpoint(tmp_path / name / "last.pth")["network"] for name in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_stage_0_hands_its_weights_to_stage_2(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures = tmp_path / "static"
    pictures.mkdir()
    for video in ("a", "b"):
        for kind, name in (("JPEGImages", f"{video}.jpg"), ("Annotations", f"{video}.png")):
            source = root / kind / "480p" / video / "00000.png"
            (pictures / name).write_bytes(source.read_bytes())
    words = flags(root, tmp_path / "s0", "--stage", "0", "--dataset", "static", "--static_root", str(pictures))
    train.command_line(words)
    stage_0 = tmp_path / "s0" / "last.pth"
    assert load_checkpoint(stage_0).config.mask_channels == 1
    with caplog.at_level(logging.INFO):
        train.command_line(flags(root, tmp_path / "s2", "--checkpoint", str(stage_0)))
    assert "BatchNorm keeps its statistics" in caplog.text
    before, after = (read_checkpoint(path)["ema"] for path in (stage_0, tmp_path / "s2" / "last.pth"))
    statistics = [key for key in before if key.endswith("running_mean")]
    assert statistics and all(torch.equal(before[key], after[key]) for key in statistics)


def test_minutes_end_a_run_and_its_schedule(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = flags(root, folder, "--max_minutes", "0.02", "--log_every", "1", "--warmup_steps", "0")
    train.command_line([*words, "--iterations", "100000"])
    written = lines(folder)
    assert 1 <= len(written) < 1000 and written[-1]["minutes"] >= 0.02
    assert read_checkpoint(folder / "last.pth")["step"] == len(written)
    rates = [line["lr"] for line in written]
    assert rates == sorted(rates, reverse=True) and (len(rates) < 4 or rates[-1] < 0.6 * rates[0])


def test_the_loss_of_one_batch_falls(root: Path) -> None:
    config = small_run(root, iterations=1000)
    batch = next(iter(build_loader(config, CPU)))
    torch.manual_seed(0)
    state = train.build_state(replace(config, optim=replace(config.optim, warmup_steps=0)), CPU)
    losses = [train.train_step(state, [batch], config)[0]["loss"].item() for _ in range(40)]
    assert min(losses[-3:]) < 0.4 * losses[0] and state.step == 40


def test_a_loss_that_is_not_finite_stops_the_run_and_spoils_no_checkpoint(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    real, seen = train.train_step, []

    def spoilt(
        state: train.TrainState, parts: Sequence[ClipBatch], config: TrainConfig
    ) -> tuple[dict[str, torch.Tensor], ClipOutput]:
        metrics, output = real(state, parts, config)
        seen.append(parts[0].names)
        return metrics if state.step < 3 else metrics | {"dice": torch.tensor([float("nan")])}, output

    monkeypatch.setattr(train, "train_step", spoilt)
    words = flags(root, folder, "--iterations", "9", "--save_every", "2", "--log_every", "5")
    message = error_of(lambda: train.command_line(words), capsys)
    assert message.startswith(f"error: step 3: dice not finite; the run stops. Clips: {'; '.join(seen[2])}. Try")
    saved = read_checkpoint(folder / "last.pth")
    assert saved["step"] == 2 and all(value.isfinite().all() for value in saved["network"].values())


def test_fp16_overflow_is_said_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    pending = StepMetrics()
    metrics = {"loss": torch.tensor([2.0]), "gradient_norm": torch.tensor([float("inf")])}
    pending.add(1, metrics, [("a",)])
    pending.add(2, metrics | {"gradient_norm": torch.tensor([4.0])}, [("b",)])
    scalars = pending.flush(fp16=True)
    assert (scalars["loss"], scalars["gradient_norm"]) == (2.0, 4.0)
    assert "step 1: gradients overflowed in fp16; the step was skipped" in caplog.text
    pending.add(3, metrics | {"loss": torch.tensor([float("inf")])}, [("c",)])
    with pytest.raises(ValueError, match="step 3: loss, gradient_norm not finite; the run stops. Clips: c. Try"):
        pending.flush(fp16=True)


def test_only_the_clips_of_a_part_that_is_not_finite_are_named() -> None:
    pending = StepMetrics()
    nan = float("nan")
    pending.add(
        7, {"loss": torch.tensor([1.0, nan]), "gradient_norm": torch.tensor([nan, nan])}, [("a", "b"), ("c", "d")]
    )
    with pytest.raises(ValueError, match="step 7: loss, gradient_norm not finite; the run stops. Clips: c; d. Try"):
        pending.flush()


def test_another_run_is_not_overwritten(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    words = flags(root, folder, "--iterations", "1")
    train.command_line(words)
    message = error_of(lambda: train.command_line(words), capsys)
    assert message == (
        f"error: {folder} holds the weights of another run: continue it with --resume {folder}, choose another "
        "--output, or replace it with --overwrite."
    )
    train.command_line([*words, "--overwrite"])
    assert len(lines(folder)) == 1


def test_print_config_prints_the_resolved_run(capsys: pytest.CaptureFixture[str]) -> None:
    train.command_line(["--model", "stcn", "--stage=3", "--lr", "0.5", "--print_config"])
    shown = json.loads(capsys.readouterr().out)
    assert (shown["model"], shown["stage"], shown["iterations"]) == ("stcn", "3", 150_000)
    assert (shown["optim"]["lr"], shown["optim"]["optimizer"], shown["loss"]["dice"]) == (0.5, "adam", 0.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model", "xmen"], "no preset for model 'xmen': expected xmem, stcn, stcn-corr, bmvos, emvos."),
        (
            ["--batchsize", "3"],
            "unknown flag --batchsize: the nearest is --batch_size; train.py --help lists the flags",
        ),
        (
            ["--davis_root", "/nowhere/davis", "--dataset", "davis"],
            "data set davis: folder /nowhere/davis does not exist",
        ),
        (["--iterations", "0"], "--iterations 0: expected at least 1."),
        (
            ["--batch_size", "7", "--accumulate", "2"],
            "7 does not divide into 1 processes x 2 parts (--accumulate): the nearest that work are 6 or 8",
        ),
        (
            ["--stage", "30"],
            "--stage 30: stages build on each other and run in ascending order, each once: --stage 03",
        ),
        (["--stage", "04"], "no preset for stage '4': expected 0, 1, 2, 3."),
        (["--resume", "/nowhere/run", "--output", "/nowhere/run"], "--resume /nowhere/run: there is no run in it"),
        (["--resume", "latest"], "--resume latest: there is no run in "),
        (["--frames", "1"], "--frames 1: expected at least 2"),
        (["--crop_size", "100"], "crop_size 100: expected a multiple of 16"),
        (["--checkpoint", "/nowhere/a.pth"], "checkpoint /nowhere/a.pth does not exist"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str], expected: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(lambda: train.command_line([*flags(root, tmp_path / "run"), *words]), capsys)
    assert message.startswith("error: ") and expected in message
    assert not (tmp_path / "run").exists()


def test_validation_keeps_the_best_weights_and_changes_nothing(root: Path, tmp_path: Path) -> None:
    plain_run, validated = tmp_path / "plain", tmp_path / "validated"
    words = ["--iterations", "3", "--log_every", "1", "--picture_every", "2"]
    train.command_line(flags(root, plain_run, *words))
    more = ["--validate_every", "2", "--val_root", str(root.parent), "--val_size", "-1"]
    train.command_line(flags(root, validated, *words, *more))
    first, second = (read_checkpoint(folder / "last.pth") for folder in (plain_run, validated))
    for name in ("network", "ema"):
        assert all(torch.equal(first[name][key], second[name][key]) for key in first[name])
    assert torch.equal(first["rng"], second["rng"])
    figures = {line["step"]: line["validation/J&F"] for line in lines(validated) if "validation/J&F" in line}
    assert list(figures) == [2, 3] and second["best"] == max(figures.values())
    best = read_checkpoint(validated / "best.pth")
    assert best["figures"]["J&F"] == second["best"] and "optimizer" not in best
    assert load_checkpoint(validated / "best.pth").config.size == "tiny"
    message = "data set d17: folder /nowhere does not exist"
    with pytest.raises(FileNotFoundError, match=message):
        train.check(replace(small_run(root), validation=ValidationConfig(validate_every=1, val_root=Path("/nowhere"))))


def test_the_stream_is_the_same_on_any_number_of_processes_and_workers(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(small_run(root, iterations=3), batch_size=4)
    whole = list(build_loader(run, CPU))
    for ranks, accumulate, workers in ((2, 1, 1), (1, 2, 0), (4, 1, 0)):
        parts = []
        for rank in range(ranks):
            monkeypatch.setenv("WORLD_SIZE", str(ranks))
            monkeypatch.setenv("RANK", str(rank))
            data = replace(run.data, num_workers=workers)
            parts.append(list(build_loader(replace(run, accumulate=accumulate, data=data), CPU)))
        for step, batch in enumerate(whole):
            mine = [part for loaded in parts for part in loaded[step * accumulate : (step + 1) * accumulate]]
            assert torch.equal(torch.cat([part.images_BT3HW for part in mine]), batch.images_BT3HW)
            assert torch.equal(torch.cat([part.labels_BTHW for part in mine]), batch.labels_BTHW)
            assert sum((part.seeds for part in mine), ()) == batch.seeds


def test_plain_clips_lack_the_affine_of_single_frames(root: Path) -> None:
    run = small_run(root, iterations=2)
    run = replace(run, clip=replace(run.clip, plain_end=1))
    turned, plain_clips = build_loader(run, CPU)
    same = [torch.equal(batch.matrices_BT33[:, 0], batch.matrices_BT33[:, 1]) for batch in (turned, plain_clips)]
    assert same == [False, True]


def test_parts_are_compiled_in_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def pretend(call: Callable[..., object], *_: object, **__: object) -> Callable[..., object]:
        compiled.append(call)
        return call

    monkeypatch.setattr(torch, "compile", pretend)
    run = small_run(root, iterations=1, compile=True)
    state = train.build_state(run, CPU)
    assert len(compiled) == 3 and not any("_orig_mod" in name for name in state.model.state_dict())
    metrics, _ = train.train_step(state, [next(iter(build_loader(run, CPU)))], run)
    assert metrics["loss"].isfinite().all()


def test_half_precision_is_near_full_precision(root: Path) -> None:
    run = small_run(root, iterations=1)
    batch = next(iter(build_loader(run, CPU)))
    loss = {}
    for precision in ("fp32", "bf16"):
        config = replace(run, precision=precision)
        metrics, _ = train.train_step(train.build_state(config, CPU), [batch], config)
        loss[precision] = metrics["loss"].item()
    assert loss["bf16"] == pytest.approx(loss["fp32"], rel=0.05) and loss["bf16"] != loss["fp32"]


def test_the_help_groups_flags_and_shows_the_presets_values(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.command_line(["--model", "stcn", "--stage", "03", "--help"])
    assert stop.value.code in (0, None)
    shown = capsys.readouterr().out
    for word in ("data options", "clip options", "optim options", "validation options", "--accumulate", "300000"):
        assert word in shown


def test_a_chain_prints_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    train.command_line(["--stage", "012", "--batch_size", "4", "--print_config"])
    stages = json.loads(capsys.readouterr().out)
    assert [stage["stage"] for stage in stages] == ["0", "1", "2"]
    assert [stage["iterations"] for stage in stages] == [150_000, 250_000, 160_000]
    assert {stage["batch_size"] for stage in stages} == {4}
    assert [stage["checkpoint"] for stage in stages] == [
        None,
        "runs/xmem-base-s012/stage0/last.pth",
        "runs/xmem-base-s012/stage1/last.pth",
    ]
