"""The network in the box: its file, its card, and what it makes of the packaged clip."""

import re
from pathlib import Path

import pytest
import torch

from dataset.evaluate.protocols import find_evaluation_set
from dataset.evaluate.video import open_videos
from dataset.sample.sample import CHAIR
from inference import InferenceConfig, build_segmenter
from inference.eval_config import parse
from inference.propagate import build_variants, propagate
from inference.report import score_folders
from model import load_checkpoint
from model.box import NAME, SIZE, WEIGHTS, checkpoint_path
from util.config.plan import plan_run
from util.files.palette import write_mask

CARD = WEIGHTS.with_name("MODEL_CARD.md").read_text()


def promised(pattern: str) -> float:
    """Return the one figure of the model card that a pattern finds."""
    found = re.findall(pattern, CARD)
    assert len(found) == 1, f"{pattern}: {found}"
    return float(found[0].replace(",", ""))


def test_the_file_is_small_and_holds_half_precision() -> None:
    assert WEIGHTS.stat().st_size <= 10_000_000
    network = torch.load(WEIGHTS, weights_only=True)["network"]
    assert {x.dtype for x in network.values() if x.ndim > 1} == {torch.float16}


def test_the_network_is_what_the_card_says() -> None:
    model = load_checkpoint(NAME)
    assert (model.config.name, model.config.size) == ("xmem", "small")
    assert sum(parameter.numel() for parameter in model.parameters()) == promised(r"([\d,]+) parameters")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_its_name_is_no_other_path() -> None:
    assert checkpoint_path("box") == checkpoint_path(Path("box")) == WEIGHTS
    assert checkpoint_path("folder/box") == Path("folder/box")


def test_a_segmenter_without_a_network_takes_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        segmenter = build_segmenter(config=InferenceConfig(mem_every=3))
    assert "network in the box" in caplog.text and segmenter.config.mem_every == 3
    mask = torch.zeros(48, 64, dtype=torch.int64)
    mask[10:30, 20:40] = 7
    assert segmenter.step(torch.zeros(3, 48, 64), mask).shape == (2, 48, 64)


def test_training_from_it_takes_its_size() -> None:
    plan = plan_run(["--checkpoint", "box", "--stage", "2"], "train.py", "")
    assert [(stage.model, stage.size) for stage in plan.stages] == [("xmem", "small")]
    assert plan_run(["--checkpoint", "box", "--size", "tiny"], "train.py", "").stages[0].size == "tiny"


def test_it_segments_the_packaged_clip_as_well_as_the_card_says(tmp_path: Path) -> None:
    evaluation = find_evaluation_set("chair")
    (video,) = open_videos(evaluation)
    device = torch.device("cpu")
    variants = build_variants(load_checkpoint(NAME), (SIZE,), config=InferenceConfig(), device=device)
    for frame in propagate(variants, video):
        write_mask(tmp_path / "chair" / f"{frame.name}.png", frame.id_mask)
    report = score_folders(CHAIR / "Annotations", tmp_path, sequences=["chair"])
    assert 100 * report.mean["J&F"] >= promised(r"holds it to at least ([\d.]+)")


def test_the_packaged_clip_is_small_and_says_where_it_comes_from() -> None:
    assert sum(file.stat().st_size for file in CHAIR.rglob("*") if file.is_file()) < 1_000_000
    text = (CHAIR / "README.md").read_text()
    assert "PUMaVOS" in text and "Attribution 4.0" in text


def test_the_command_line_gives_it_its_size() -> None:
    def size(*words: str) -> int:
        return parse(["--dataset", "d16", *words], "eval.py", "").size

    assert size() == size("--checkpoint", "box") == SIZE
    assert size("--checkpoint", "other.pth") == size("--model", "xmem", "--benchmark") == 480
    assert size("--size", "480") == 480
