"""What a run with correspondence losses needs."""

from dataclasses import replace

import pytest

from util.config.check import check_correspondence
from util.config.presets import preset
from util.config.train import TrainConfig


def run_with(model: str = "xmem", **changes: object) -> TrainConfig:
    """A tiny run with changed correspondence losses."""
    run = preset(model, "tiny")
    return replace(run, correspondence=replace(run.correspondence, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "clips", "processes", "message"),
    [
        ({}, 1, 1, "--pcl_negatives both and --ocl: negatives come from other clips, but a process computes one clip"),
        ({}, 1, 4, "--gather_negatives adds those of the other processes"),
        ({"ocl": False, "pcl_negatives": "inter"}, 1, 1, "--pcl_negatives inter: negatives come from other clips"),
        ({"pcl": False}, 1, 1, "--ocl: negatives come from other clips"),
        ({"model": "stcn", "pcl_variant": "released"}, 8, 1, "the released code has no object-level loss; add"),
    ],
)
def test_what_is_refused(changes: dict[str, object], clips: int, processes: int, message: str) -> None:
    with pytest.raises(ValueError) as error:
        check_correspondence(run_with(**changes), clips, processes)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_what_is_allowed() -> None:
    check_correspondence(run_with(ocl=False, pcl_negatives="intra"), 1, 1)
    check_correspondence(run_with(gather_negatives=True), 1, 2)
    short = replace(run_with(), clip=replace(run_with().clip, frames=2))
    with pytest.raises(ValueError, match="--frames 2: the correspondence losses need two successive frames and an"):
        check_correspondence(short, 2, 1)
    check_correspondence(replace(short, correspondence=replace(short.correspondence, alpha=0.0)), 1, 1)
