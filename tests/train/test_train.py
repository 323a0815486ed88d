"""The trainer: schedules, one step, and whole small runs through the command line."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import train
from dataset.clip import ClipBatch
from dataset.train.loader import build_loader
from model.spacetime.unroll import ClipOutput
from model.weights import load_checkpoint
from tests.support.runs import error_of, flags, lines, small_run
from util.config.train import OptimConfig, TrainConfig, ValidationConfig
from util.files.checkpoint import read_checkpoint

CPU = torch.device("cpu")
OPTIM = OptimConfig(optimizer="adam", lr=1.0, weight_decay=0.0)


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
    assert second["validated"] == 3, "a run that is resumed would validate once more"
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


def test_half_precision_is_near_full_precision(root: Path) -> None:
    run = small_run(root, iterations=1)
    batch = next(iter(build_loader(run, CPU)))
    loss = {}
    for precision in ("fp32", "bf16"):
        config = replace(run, precision=precision)
        metrics, _ = train.train_step(train.build_state(config, CPU), [batch], config)
        loss[precision] = metrics["loss"].item()
    assert loss["bf16"] == pytest.approx(loss["fp32"], rel=0.05) and loss["bf16"] != loss["fp32"]
