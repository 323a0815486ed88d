"""Adding a network takes a class, a row and a preset: the ordinary programs then train it and segment with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import eval as evaluation
import train
from inference import Segmenter, build_segmenter
from inference.eval_config import EvalConfig
from model.build import NETWORKS
from model.network import ModelConfig
from model.spacetime.network import KeyFeatures
from model.spacetime.stcn import STCN
from model.weights import load_checkpoint
from tests.support.runs import flags
from util.cli import run
from util.config.presets import PRESETS, tiny
from util.files.palette import read_mask

NAME = "stcn-sharp"


class SharpSTCN(STCN):
    """STCN whose keys have a length that is learnt."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.sharpness = nn.Parameter(torch.full((1,), 1.5))

    def encode_key(self, image_B3HW: Tensor) -> KeyFeatures:
        features = super().encode_key(image_B3HW)
        return features._replace(key=features.key * self.sharpness)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    row = NETWORKS["stcn"]
    monkeypatch.setitem(NETWORKS, NAME, replace(row, network=SharpSTCN, has=(*row.has, "sharpness"), top_k=7))
    monkeypatch.setitem(PRESETS, NAME, {"tiny": lambda stage: replace(tiny("stcn", stage), model=NAME)})


@pytest.mark.usefixtures("added")
def test_a_network_is_a_class_a_row_and_a_preset(root: Path, tmp_path: Path) -> None:
    train.command_line(flags(root, tmp_path / "run", "--model", NAME))
    weights = tmp_path / "run" / "last.pth"
    model = load_checkpoint(weights)
    assert isinstance(model, SharpSTCN) and model.config.name == NAME and model.sharpness.item() != 1.5
    segmenter = build_segmenter(model)
    assert isinstance(segmenter, Segmenter) and segmenter._top_k == 7

    masks = root / "Annotations" / "480p" / "a"
    words = ["--video", root / "JPEGImages" / "480p" / "a", "--mask", masks / "00000.png", "--checkpoint", weights]
    words += ["--size", "-1", "--device", "cpu", "--output", tmp_path / "out"]
    run(evaluation.main, EvalConfig, "eval.py", "", [str(word) for word in words])
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a" / "00000.png"), read_mask(masks / "00000.png"))
    assert len(list((tmp_path / "out" / "a").glob("*.png"))) == 6


def test_without_its_row_it_is_unknown() -> None:
    with pytest.raises(ValueError, match="unknown model 'stcn-sharp'; did you mean 'stcn-corr'"):
        train.build_state(replace(tiny("stcn", "2"), model=NAME), torch.device("cpu"))
