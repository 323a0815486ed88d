"""Groups of a run's settings: what they refuse, and what follows from them."""

from dataclasses import replace
from pathlib import Path

import pytest

from util.config.presets import preset
from util.config.train import CorrespondenceConfig, default_folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": -1.0}, "alpha -1.0, beta 0.5: expected at least 0"),
        ({"ramp": (0.6, 0.2)}, "ramp 0.6 0.2: expected 0 <= start <= end <= 1"),
        ({"view_scale": (0.0, 1.0)}, "view_scale 0.0 1.0: expected 0 < smallest <= largest <= 1"),
        ({"view_size": 100}, "view_size 100: expected a multiple of 16"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorrespondenceConfig(**changes)  # type: ignore[arg-type]


def test_which_correspondence_losses_a_run_has() -> None:
    paper, off = CorrespondenceConfig(), CorrespondenceConfig(alpha=0.0)
    assert paper.active and not off.active and not CorrespondenceConfig(pcl=False, ocl=False).active
    released = replace(paper, pcl_variant="released")
    assert released.released and not paper.released
    assert not replace(released, pcl=False).released and not replace(released, alpha=0.0).released


@pytest.mark.parametrize(("crop", "size", "side"), [(384, 0, 192), (128, 0, 128), (96, 0, 96), (384, 96, 96)])
def test_the_side_of_the_view(crop: int, size: int, side: int) -> None:
    assert CorrespondenceConfig(view_size=size).view_side(crop) == side


def test_a_run_that_names_no_folder_has_one_of_its_own() -> None:
    assert default_folder("stcn", "tiny", "03") == Path("runs/stcn-tiny-s03")
    run = preset("xmem", stage="3")
    assert run.folder() == Path("runs/xmem-base-s3") and replace(run, output=Path("a")).folder() == Path("a")
