"""Presets of BMVOS and EMVOS, and which videos choose the best checkpoint."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import train
from dataset.train.loader import build_loader
from dataset.train.sources import find_sources
from inference.validate import check_validation, open_validation
from model.training.optim import learning_rate
from tests.support.runs import TWOFRAME, error_of
from tests.support.toy_datasets import static_set
from tests.support.toy_videos import write_davis
from util.config.plain import plain, with_defaults
from util.config.presets import PRESETS, STAGES, preset
from util.config.train import ValidationConfig


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_davis(tmp_path_factory.mktemp("davis"), {"a": 5, "b": 4, "c": 6})
    lists = root / "trainval" / "ImageSets" / "2017"
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\n")
    return root


@pytest.mark.parametrize("model", TWOFRAME)
def test_published_values(model: str) -> None:
    static, video = preset(model, "base", "0"), preset(model, "base", "2")
    for run, frames, batch in ((static, 5, 16), (video, 10, 8)):
        assert (run.iterations, run.batch_size, run.clip.frames, run.clip.max_objects) == (64_000, batch, frames, 1)
        assert (run.precision, run.freeze_bn, run.pretrained) == ("fp32", "auto", True)
        assert (run.optim.optimizer, run.optim.weight_decay, run.optim.ema) == ("adam", 0.0, 0.0)
        assert {learning_rate(run.optim, step, step / 64_000) for step in (0, 32_000, 63_999)} == {1e-4}
        assert (run.loss.dice, run.loss.bootstrap_share) == (0.0, 1.0), "plain cross-entropy"
        assert (run.augment.crop_size, run.clip.min_object_pixels, run.augment.paste) == (384, 256, 0.2)
        assert (run.augment.flip, run.augment.vertical_flip, run.clip.gaps) == (0.5, 0.5, (1,))
        jitters = {*run.augment.clip_jitter, *run.augment.frame_jitter, run.augment.grey, run.augment.spline}
        assert jitters == {0.0}
    assert (static.augment.degrees, static.augment.shear, static.augment.frame_scale) == (10.0, 10.0, (0.9, 1.1))
    assert static.augment.zoom == (0.8, 1.25) and static.clip.reverse == 0 and video.clip.reverse == 0.5
    assert (video.augment.degrees, video.augment.shear) == (0.0, 0.0)
    # On DAVIS's frames the window is 384 pixels at a scale from .8 (the whole height) to 1.25.
    sides = [(share * 854 * 480) ** 0.5 for share in video.augment.crop_scale]
    assert [384 / side for side in sides] == pytest.approx([1.25, 0.8], abs=2e-3) and sides[1] <= 480
    sets = [preset(model, "base", stage).data.dataset for stage in STAGES]
    assert sets == [("static",), ("bl30k",), ("davis",), ("davis", "youtube")]


def test_other_published_networks_never_paste() -> None:
    for model in set(PRESETS) - set(TWOFRAME):
        for size in set(PRESETS[model]) - {"small"}:
            runs = [preset(model, size, stage) for stage in STAGES]
            assert {run.augment.paste + run.augment.vertical_flip + run.clip.min_object_pixels for run in runs} == {0}


def test_no_preset_chooses_a_checkpoint_by_itself() -> None:
    runs = [preset(model, size, stage) for model in PRESETS for size in PRESETS[model] for stage in STAGES]
    assert {run.validation.validate_every for run in runs} == {0}


@pytest.mark.parametrize("model", TWOFRAME)
def test_a_chain_of_their_stages(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    train.command_line(["--model", model, "--stage", "02", "--paste", "0.5", "--print_config"])
    static, video = json.loads(capsys.readouterr().out)
    assert (static["stage"], video["stage"], video["model"], video["iterations"]) == ("0", "2", model, 64_000)
    assert static["augment"]["paste"] == video["augment"]["paste"] == 0.5
    assert static["checkpoint"] is None and video["checkpoint"].endswith("stage0/last.pth")


@pytest.mark.parametrize("stage", ["0", "2"])
def test_tiny_clips_hold_one_object_that_can_be_seen(stage: str, root: Path, tmp_path: Path) -> None:
    run = preset("bmvos", "tiny", stage)
    data = replace(run.data, davis_root=root / "trainval", static_root=static_set(tmp_path))
    batches = list(build_loader(replace(run, data=data, batch_size=2, iterations=4), torch.device("cpu")))
    for batch in batches:
        assert batch.images_BT3HW.shape == (2, 4, 3, 160, 160) and batch.valid_BO.shape == (2, 1)
        assert (batch.labels_BTHW[:, 0].flatten(1).sum(dim=1) >= run.clip.min_object_pixels).all()
    assert 0 < sum("with an object of" in name for batch in batches for name in batch.names) < 8


def test_a_warning_where_the_reported_videos_choose(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    held_out = root / "held_out.txt"
    held_out.write_text("b\n")
    val = ValidationConfig(validate_every=1, val_root=root)
    with caplog.at_level(logging.WARNING):
        check_validation(replace(val, val_split="train"))
        check_validation(replace(val, val_split="train", val_list=held_out))
        assert not caplog.text
        train.check(replace(preset("xmem"), validation=val))
    assert "best.pth is chosen on d17 val: its figures there are those of the best of many" in caplog.text


def test_training_videos_can_be_held_out(root: Path) -> None:
    train_list, held_out = root / "mine.txt", root / "held_out.txt"
    train_list.write_text("a\n")
    held_out.write_text("b\n")
    run = preset("emvos")
    data = replace(run.data, davis_root=root / "trainval", davis_list=train_list)
    (source,) = find_sources(data, 2, "2")
    _, videos = open_validation(ValidationConfig(val_root=root, val_split="train", val_list=held_out))
    assert len(source) == 1 and [video.name for video in videos] == ["b"]


@pytest.mark.parametrize(
    ("flag", "names", "expected"),
    [
        ("--val_list", "a\nz\n", "names 2 videos that d17 val lacks, such as a. Expected a video's name on each line."),
        ("--val_list", "\n", "is empty. Expected a video's name on each line."),
        ("--val_list", None, "does not exist: expected a video's name on each line."),
        ("--davis_list", "z\n", "lacks, such as z. Expected a video's name on each line."),
    ],
)
def test_bad_lists_are_named(
    flag: str, names: str | None, expected: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.txt"
    if names is not None:
        listed.write_text(names)
    words = f"--model bmvos --size tiny --dataset davis --davis_root {root}/trainval --output {tmp_path}/run"
    words += f" --device cpu --validate_every 1 --val_root {root} {flag} {listed}"
    message = error_of(lambda: train.command_line(words.split()), capsys)
    assert message.startswith("error: ") and str(listed) in message and message.endswith(expected)


@pytest.mark.parametrize("model", PRESETS)
def test_stage_1_needs_no_proposals(model: str) -> None:
    """BL30K has 4.8 million frames: Selective Search on them takes hundreds of core-hours."""
    assert preset(model, stage="1").correspondence.ocl_objects == "manual"
    assert preset(model, stage="3").correspondence.ocl_objects == "both"


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
