"""What a run with correspondence losses needs."""

from dataclasses import replace

import pytest

from util.config.check import check_correspondence
from util.config.presets import preset
from util.config.train import TrainConfig


def run_with(model: str = "xmem", batch_size: int = 6, **changes: object) -> TrainConfig:
    """A tiny run with changed correspondence losses."""
    run = replace(preset(model, "tiny"), batch_size=batch_size)
    return replace(run, correspondence=replace(run.correspondence, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "batch_size", "processes", "message"),
    [
        ({}, 1, 1, "--pcl_negatives both and --ocl: negatives come from other clips, but a step has one clip"),
        (
            {"gather_negatives": False},
            4,
            4,
            "a process has one clip (--batch_size 4, 4 processes): leave out --no_gather",
        ),
        ({"ocl": False, "pcl_negatives": "inter"}, 1, 1, "--pcl_negatives inter: negatives come from other clips"),
        ({"pcl": False}, 1, 1, "--ocl: negatives come from other clips"),
        ({"model": "stcn", "pcl_variant": "released"}, 8, 1, "the released code has no object-level loss; add"),
    ],
)
def test_what_is_refused(changes: dict[str, object], batch_size: int, processes: int, message: str) -> None:
    with pytest.raises(ValueError) as error:
        check_correspondence(run_with(batch_size=batch_size, **changes), processes)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_what_is_allowed() -> None:
    check_correspondence(run_with(batch_size=1, ocl=False, pcl_negatives="intra"), 1)
    check_correspondence(run_with(batch_size=2), 2)
    check_correspondence(run_with(batch_size=4, gather_negatives=False), 2)
    short = replace(run_with(), clip=replace(run_with().clip, frames=2))
    with pytest.raises(ValueError, match="--frames 2: the correspondence losses need two successive frames and an"):
        check_correspondence(short, 1)
    check_correspondence(replace(short, correspondence=replace(short.correspondence, alpha=0.0)), 1)


def test_the_papers_reading_and_ours() -> None:
    paper, hard = run_with().correspondence, run_with(ocl_variant="hard").correspondence
    assert (paper.annotated_first, paper.own_negatives, paper.min_gap) == (False, False, 0)
    assert (hard.annotated_first, hard.own_negatives, hard.min_gap) == (True, True, 10)
    mixed = replace(hard, ocl_queries="paper", ocl_min_gap=3)
    assert (mixed.annotated_first, mixed.own_negatives, mixed.min_gap) == (False, True, 3)
    assert replace(hard, ocl=False).min_gap == replace(hard, beta=0.0).min_gap == 0, "clips as without the loss"
    for name in ("ocl_min_gap", "pcl_anchors"):
        with pytest.raises(ValueError, match=f"{name} -1: expected at least"):
            run_with(**{name: -1})  # type: ignore[arg-type]
