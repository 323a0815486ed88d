"""Scoring with the official DAVIS-2017 toolkit, where it is installed."""

import importlib
import importlib.util
from pathlib import Path

import numpy as np

_INSTALL = "pip install git+https://github.com/davisvideochallenge/davis2017-evaluation.git"


def require_official() -> None:
    """Raise ValueError, with the way to install it, where davis2017-evaluation cannot be imported."""
    if importlib.util.find_spec("davis2017") is None:
        raise ValueError(f"--official needs davis2017-evaluation, which is not installed: {_INSTALL}")


def score_officially(davis_root: Path, split: str, results: Path) -> dict[str, float]:
    """Score a folder of masks with davis2017-evaluation.

    Args:
        davis_root: the folder that holds JPEGImages, Annotations and ImageSets.
        split: the list of videos, for example val.
        results: the folder with a folder of PNGs for each video.

    Returns:
        "J&F" and, for J and F, "-Mean", "-Recall" and "-Decay", in 0..1, as the toolkit's own table has them.
    """
    require_official()
    toolkit = importlib.import_module("davis2017.evaluation")
    evaluation = toolkit.DAVISEvaluation(davis_root=str(davis_root), task="semi-supervised", gt_set=split)
    metrics = evaluation.evaluate(str(results))
    statistics = {
        f"{measure}-{name}": float(np.mean(metrics[measure][key]))
        for measure in ("J", "F")
        for name, key in (("Mean", "M"), ("Recall", "R"), ("Decay", "D"))
    }
    return {"J&F": (statistics["J-Mean"] + statistics["F-Mean"]) / 2, **statistics}
