"""Several processes give what one gives on the joined batch, and end together when one of them dies."""

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.ddp_steps import steps
from tests.support.runs import flags, torchrun
from util.files.checkpoint import read_checkpoint


@pytest.fixture(scope="module")
def joined(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("joined")
    (folder / "root").write_text(str(root))
    return steps(folder)


def assert_close(
    ours: tuple[dict[str, Tensor], list[dict[str, float]]], joined: tuple[dict[str, Tensor], list[dict[str, float]]]
) -> None:
    torch.testing.assert_close(dict(ours[0]), dict(joined[0]), atol=1e-5, rtol=0)
    assert len(ours[1]) == len(joined[1]) == 8
    for mine, other in zip(ours[1], joined[1], strict=True):
        # A pixel whose two labels are equally likely may fall to either side.
        assert mine.pop("iou") == pytest.approx(other["iou"], abs=1e-3)
        assert mine == pytest.approx({name: other[name] for name in mine}, rel=1e-5)


@pytest.mark.parametrize(("ranks", "accumulate"), [(2, 1), (4, 1), (2, 2)])
def test_processes_equal_one_on_the_joined_batch(
    ranks: int,
    accumulate: int,
    root: Path,
    tmp_path: Path,
    joined: tuple[dict[str, Tensor], list[dict[str, float]]],
) -> None:
    (tmp_path / "root").write_text(str(root))
    done = torchrun(ranks, "train", tmp_path, ACCUMULATE=str(accumulate))
    assert done.returncode == 0, done.stderr
    result = torch.load(tmp_path / "result.pth", weights_only=True)
    assert_close((result["network"], result["metrics"]), joined)


def test_parts_of_a_step_equal_the_joined_batch(
    root: Path, tmp_path: Path, joined: tuple[dict[str, Tensor], list[dict[str, float]]]
) -> None:
    (tmp_path / "root").write_text(str(root))
    assert_close(steps(tmp_path, accumulate=4), joined)


def test_from_scratch_processes_equal_one_on_the_joined_batch(root: Path, tmp_path: Path) -> None:
    # BatchNorm's statistics run over all processes, which read different frames and hold different numbers of objects.
    (tmp_path / "root").write_text(str(root))
    done = torchrun(2, "train", tmp_path, FREEZE_BN="no", STEPS="3")
    assert done.returncode == 0, done.stderr
    result = torch.load(tmp_path / "result.pth", weights_only=True)
    network, metrics = steps(tmp_path, freeze_bn="no", count=3)
    # Statistics that train pass on more rounding than kept ones: a seventh of what the weights have to move.
    torch.testing.assert_close(result["network"], dict(network), atol=1.5e-5, rtol=1e-4)
    for mine, other in zip(result["metrics"], metrics, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)


@pytest.mark.parametrize("death", ["kill", "error"])
def test_a_rank_that_dies_ends_the_run(death: str, root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = flags(root, run, "--iterations", "5", "--save_every", "1", "--log_every", "1")
    (tmp_path / "words").write_text(" ".join(words))
    began = time.monotonic()
    done = torchrun(2, "dying", tmp_path, DEATH=death)
    assert done.returncode != 0 and time.monotonic() - began < 60
    if death == "error":
        assert "error: rank 1: this rank has had enough" in done.stderr
    else:
        assert "Signal 9 (SIGKILL) received" in done.stderr
    assert read_checkpoint(run / "last.pth")["step"] == 1
