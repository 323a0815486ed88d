"""Mixtures of data sets that are known by a name."""

from dataclasses import replace

from util.config.train import TrainConfig


def with_mixture(run: TrainConfig, mixture: str) -> TrainConfig:
    """Return a run on another mixture of data sets: "mega" is Cutie's of that name, in stages 2 and 3.

    Its multipliers count frames, not videos: DAVIS 2, YouTube-VOS, MOSE, BURST and OVIS 1; its intervals are 2, 5, 5, 5
    and 3 frames (those of BURST and OVIS stand in the table of training sets). Annotated objects alone are compared:
    BURST has no proposals. Everything else stays as the run has it.
    """
    if mixture != "mega" or run.stage not in ("2", "3"):
        return run
    data = replace(
        run.data,
        data="mega",
        dataset=("davis", "youtube", "mose", "burst", "ovis"),
        davis_weight=2,
        davis_interval=2,
        youtube_weight=1,
        mose_weight=1,
        mose_interval=5,
        by_frame=True,
    )
    return replace(run, data=data, correspondence=replace(run.correspondence, ocl_objects="manual"))
