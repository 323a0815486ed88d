"""Scores a finished run: segments a data set with its averaged weights, and measures how its keys match.

Writes scores.json into the run's folder; what is there already for the same weights and settings is kept.

python scripts/score_run.py runs/stcn-tiny-s2 --val_dataset d16 --val_size 240
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inference.matches.accuracy import GAPS, PAIRS
from inference.validate import open_validation, validate
from model.weights import load_checkpoint
from scripts.ablation.runs import last_stage
from util.cli import run
from util.config.train import ValidationConfig
from util.device import select_device
from util.files.atomic import atomic_write
from util.run.folder import LAST

FILE = "scores.json"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What to score on, and how."""

    val_dataset: str = "d17"
    """What to score on: d17, d16 or sample; one's own videos in DAVIS-2017's layout are d17 with --val_root."""
    val_root: Path | None = None
    """Its folder (default: its place under data/)."""
    val_split: str = "val"
    """val or train."""
    val_size: int = 480
    """Pixels of the shorter side at which the network works; -1 is native."""

    def validation(self) -> ValidationConfig:
        """Return what to segment."""
        return ValidationConfig(
            val_dataset=self.val_dataset, val_root=self.val_root, val_split=self.val_split, val_size=self.val_size
        )

    def settings(self) -> dict[str, Any]:
        """Return what figures depend on, as JSON values.

        Raises ValueError and FileNotFoundError for data that are missing or unfit.
        """
        evaluation, _ = open_validation(self.validation())
        return {
            "data": evaluation.name,
            "videos": list(evaluation.videos),
            "size": self.val_size,
            "gaps": list(GAPS),
            "pairs": PAIRS,
        }


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Which run to score, and on what."""

    run: Annotated[Path, tyro.conf.Positional]
    """The folder of a run."""
    scoring: Scoring
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""


def main(config: ScoreConfig) -> None:
    """Score the run unless its scores are there, and print them."""
    settings = config.scoring.settings()
    scores = read_scores(config.run, settings)
    if scores is None:
        weights, device = _weights(config.run), select_device(config.device)
        scores = {"settings": settings, "weights": _origin(weights)}  # before it is read, should a training go on
        scores["figures"] = validate(load_checkpoint(weights, device), config.scoring.validation(), device)
        with atomic_write(config.run / FILE) as temporary:
            temporary.write_text(json.dumps(scores, indent=2) + "\n")
    for name, value in scores["figures"].items():
        print(f"{name:20} {100 * value:5.1f}")


def read_scores(folder: Path, settings: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Return a run's scores: "settings", "weights", "figures"; None if it has none.

    With `settings`, only scores of those and of the weights that the run has now count.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    scores: dict[str, Any] = json.loads(path.read_text())
    if settings is not None and (scores["settings"] != settings or scores["weights"] != _origin(_weights(folder))):
        return None
    return scores


def _weights(folder: Path) -> Path:
    """Return the newest checkpoint of a run's last stage; FileNotFoundError if there is none."""
    stage = last_stage(folder)
    if stage is None:
        raise FileNotFoundError(f"{folder} holds no {LAST}: expected the folder of a run of train.py.")
    return stage / LAST


def _origin(weights: Path) -> dict[str, Any]:
    """Return what tells a file of weights from others that had its place, without reading it all."""
    facts = weights.stat()
    return {"file": weights.name, "bytes": facts.st_size, "modified_ns": facts.st_mtime_ns}


if __name__ == "__main__":
    run(main, ScoreConfig, "score_run.py", __doc__ or "")
