"""Mixtures of data sets by name."""

from dataclasses import replace

import pytest

from util.config.mixtures import with_mixture
from util.config.presets import preset


@pytest.mark.parametrize("stage", ["2", "3"])
def test_mega_changes_the_data_alone(stage: str) -> None:
    run = preset("xmem", stage=stage)
    mega = with_mixture(run, "mega")
    assert mega.data.dataset == ("davis", "youtube", "mose", "burst", "ovis") and mega.data.by_frame
    assert (mega.data.davis_weight, mega.data.davis_interval, mega.data.mose_interval) == (2, 2, 5)
    assert mega.correspondence.ocl_objects == "manual"
    assert replace(mega, data=run.data, correspondence=run.correspondence) == run


def test_other_stages_and_names_stay() -> None:
    for stage, mixture in (("0", "mega"), ("1", "mega"), ("2", "published"), ("2", "")):
        run = preset("stcn", stage=stage)
        assert with_mixture(run, mixture) == run
