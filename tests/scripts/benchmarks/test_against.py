"""The released code beside ours: which folder is taken, whose turn it is, and both processes on a tiny fake of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.benchmark import Config, main
from scripts.benchmarks.against import WARM_UP, Ask, compare, peer, print_rows

# The least that the released layout has: a network without weights, and a core that calls everything background.
FAKE = {
    "model/network.py": """
class XMem:
    def __init__(self, config):
        self.size = config["key_dim"], config["value_dim"], config["hidden_dim"]
        print("a word on standard output")
    def load_weights(self, weights):
        assert self.size == (64, 512, 64) and "key_encoder.conv1.weight" in weights
    def to(self, device):
        return self
    def eval(self):
        return self
""",
    "inference/inference_core.py": """
import torch
from model.network import XMem
class InferenceCore:
    def __init__(self, network, config):
        assert isinstance(network, XMem) and config["enable_long_term"] and config["mem_every"] > 1000
    def set_all_labels(self, labels):
        self.labels = labels
    def step(self, image, mask=None, valid_labels=None, end=False):
        first = mask is not None
        assert valid_labels == (self.labels if first else None)
        assert not first or (mask.shape == (len(self.labels), 32, 48) and mask.sum((1, 2)).min() > 0)
        prob = torch.zeros(len(self.labels) + 1, *image.shape[1:])
        prob[0] = 1
        return prob
""",
}


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    for name, text in FAKE.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        (file.parent / "__init__.py").touch()
    return tmp_path


def test_a_folder_that_is_not_the_released_code_is_refused(tmp_path: Path) -> None:
    expected = (
        f"--against {tmp_path}: no model/network.py there: expected a checkout of the released XMem "
        r"\(git clone https://github.com/hkchengrex/XMem\)"
    )
    with pytest.raises(ValueError, match=expected):
        main(Config(against=tmp_path))
    with pytest.raises(ValueError, match="--against runs xmem alone: choose its rows"):
        main(Config(against=tmp_path, only=["stcn:1"]))


def test_frames_are_asked_for_in_turns() -> None:
    asked: list[tuple[str, int]] = []

    def side(name: str, seconds: dict[int, float], peak: float, prob: float) -> Ask:
        def ask(request: str, argument: Any = None) -> Any:
            if request == "frame":
                asked.append((name, argument))
                return seconds[argument]
            return peak if request == "peak" else np.full((2, 1, 1), prob)

        return ask

    first = WARM_UP + 1
    ours = side("ours", {1: 9.0, 2: 9.0, first: 1.0, first + 1: 4.0, first + 2: 3.0}, 100.0, 0.25)
    released = side("released", {1: 1.0, 2: 1.0, first: 2.0, first + 1: 5.0, first + 2: 4.0}, 200.0, 0.5)
    row = compare(ours, released, frames=3)
    order = ["ours", "released", "released", "ours"]
    assert asked == [(order[i % 4], 1 + i // 2) for i in range(10)]
    assert (row.ours, row.released, row.ratio) == (3.0, 4.0, 0.75)  # of 0.5, 0.8 and 0.75
    assert (row.peak_ours, row.peak_released, row.difference) == (100.0, 200.0, 0.25)


def test_both_processes_run(fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(fake, [2], 1, height=32, width=48)
    _, head, row = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "objects" and row.split()[0] == "2"
    values = [float(word) for word in row.split()[1:]]
    assert len(values) == 6 and min(values) >= 0 and min(values[3:5]) > 50


def test_a_side_that_fails_says_so(fake: Path) -> None:
    (fake / "model" / "network.py").write_text("import a_package_that_is_missing\n")
    task = {"weights": "none", "objects": 1, "height": 32, "width": 48}
    with (
        peer("released", fake) as ask,
        pytest.raises(ValueError, match="the released code in .* can't start: ModuleNotFoundError: .*a_package_that"),
    ):
        ask("start", task)


def test_a_side_that_ends_says_so(fake: Path) -> None:
    (fake / "model" / "network.py").write_text("import os\nos._exit(3)\n")
    with peer("released", fake) as ask, pytest.raises(ValueError, match="can't start: its process ended with status 3"):
        ask("start", {"weights": "none", "objects": 1, "height": 32, "width": 48})
