"""Validation while training: the figures of eval.py, on every rank, without a trace."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dataset.evaluate.annotated import open_annotated
from inference import validate as validation
from inference.matches.accuracy import make_match_report, measure_videos
from inference.propagate import build_variants, propagate
from inference.report import score_folders
from inference.validate import FIGURES, open_validation, validate
from model.spacetime.network import SpaceTimeNetwork
from tests.support.benchmarks import write_vost
from tests.support.paths import ROOT
from tests.support.toy_videos import toy_model, write_davis, write_video
from util.config.train import ValidationConfig
from util.files.palette import write_mask

CPU = torch.device("cpu")
PROGRAM = """
import sys, json, torch
from pathlib import Path
from inference.validate import validate
from tests.support.toy_videos import toy_model
from util.parallel import distributed
from util.config.train import ValidationConfig
with distributed.process_group(torch.device("cpu")):
    config = ValidationConfig(val_root=Path(sys.argv[1]), val_size=48)
    figures = validate(toy_model(), config, torch.device("cpu"))
    everywhere = distributed.gather_objects(figures)
    assert len(everywhere) == 2 and everywhere[0] == everywhere[1], everywhere
    if distributed.is_main():
        print(json.dumps(figures))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_davis(tmp_path_factory.mktemp("davis"), {"a": 4, "b": 6, "c": 3})


def config_of(root: Path) -> ValidationConfig:
    return ValidationConfig(val_root=root, val_size=48)


def by_folders(model: SpaceTimeNetwork, config: ValidationConfig, place: Path) -> dict[str, float]:
    """Return J&F, J and F the long way: all masks to a folder, then the scorer."""
    evaluation, videos = open_validation(config)
    variants = build_variants(model, (config.val_size,))
    for video in videos:
        for frame in propagate(variants, video):
            write_mask(place / video.name / f"{frame.name}.png", frame.id_mask)
    report = score_folders(evaluation.annotations, place, single_object=evaluation.binary, sequences=evaluation.videos)
    return {figure: report.mean[figure] for figure in FIGURES}


def of_masks(figures: dict[str, float]) -> dict[str, float]:
    return {figure: figures[figure] for figure in FIGURES}


def test_the_figures_are_those_of_segmenting_and_scoring(root: Path, tmp_path: Path) -> None:
    figures = validate(toy_model(), config_of(root), CPU)
    assert of_masks(figures) == by_folders(toy_model(), config_of(root), tmp_path)
    assert figures["J&F"] == pytest.approx((figures["J-Mean"] + figures["F-Mean"]) / 2) and 0 < figures["J&F"] < 1


def test_a_run_is_validated_in_its_own_precision(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = validation.build_variants

    def noted(*inputs: Any, **more: Any) -> Any:
        seen.append(more["config"].precision)
        return real(*inputs, **more)

    monkeypatch.setattr(validation, "build_variants", noted)
    validate(toy_model(), config_of(root), CPU, precision="bf16")
    assert seen == ["bf16"]


def test_the_matches_are_those_of_a_measurement(root: Path) -> None:
    figures = validate(toy_model().train(), config_of(root), CPU)
    videos = open_annotated(open_validation(config_of(root))[0])
    alone = make_match_report(dict(measure_videos(toy_model(), videos, size=48, device=CPU)))
    # No video is long enough for a gap of 20 frames, one for a gap of 5.
    assert list(alone.figures()) == [f"match_{kind}_{gap}" for gap in (1, 5) for kind in ("foreground", "background")]
    assert {name: value for name, value in figures.items() if name not in FIGURES} == alone.figures()


def test_other_weights_can_be_validated(root: Path, tmp_path: Path) -> None:
    other = toy_model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.7)
    figures = validate(toy_model(), config_of(root), CPU, weights=other.state_dict())
    assert of_masks(figures) == by_folders(other, config_of(root), tmp_path)
    assert figures != validate(toy_model(), config_of(root), CPU)


def test_training_notices_nothing(root: Path) -> None:
    model = toy_model().train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms[::2]:
        norm.eval()
    modes = [module.training for module in model.modules()]
    before = {name: (value.clone(), value.stride()) for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    validate(model, config_of(root), CPU, weights=toy_model().state_dict())
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]
    assert [module.training for module in model.modules()] == modes
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_the_single_object_release(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        frames, masks = tmp_path / "JPEGImages/480p" / name, tmp_path / "Annotations/480p" / name
        write_video(frames, masks, 4, given=(0, 1, 2, 3), seed=seed)
    (tmp_path / "ImageSets/2016").mkdir(parents=True)
    (tmp_path / "ImageSets/2016/val.txt").write_text("b\na\n")
    config = ValidationConfig(val_dataset="d16", val_root=tmp_path, val_size=48)
    assert of_masks(validate(toy_model(), config, CPU)) == by_folders(toy_model(), config, tmp_path / "out")


def test_two_ranks_get_what_one_process_gets(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(program), str(root)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    alone = validate(toy_model(), config_of(root), CPU)
    for figure, value in alone.items():
        assert f'"{figure}": {value!r}' in done.stdout


def test_data_that_cannot_be_validated_on_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="data set d17: folder .*nowhere does not exist"):
        validate(toy_model(), ValidationConfig(val_root=tmp_path / "nowhere"), CPU)
    with pytest.raises(FileNotFoundError, match="Give its place with --val_root, or get it"):
        open_validation(ValidationConfig(val_root=tmp_path / "nowhere"))
    write_video(tmp_path / "g/JPEGImages/x", tmp_path / "g/Annotations/x", 3)
    with pytest.raises(ValueError, match="--val_dataset: g val has no complete ground truth to validate on: choose"):
        open_validation(ValidationConfig(val_dataset="g", val_root=tmp_path / "g"))
    with pytest.raises(
        ValueError, match=r"--val_dataset: vost val is scored in its own way \(vost\), training validates"
    ):
        open_validation(ValidationConfig(val_dataset="vost", val_root=write_vost(tmp_path / "vost")))
