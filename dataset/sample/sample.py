"""The sample data: generated clips and pictures in DAVIS-2017's layout, made on first use; and a packaged real clip."""

import json
import logging
import os
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.disk.layout import davis_base, davis_list, davis_part
from dataset.sample.scenes import Scene, draw
from util.files.atomic import atomic_write, set_aside
from util.files.palette import write_mask

logger = logging.getLogger(__name__)

# The packaged real clip: JPEGImages/chair and Annotations/chair; its README.md has source and licence.
CHAIR = Path(__file__).with_name("chair")
# Raise it with every change that alters a pixel: older folders are then made again.
VERSION = 1
MARKER = "sample.json"
JPEG_QUALITY = 92

TRAIN = {
    "crossing": Scene(seed=11),
    "arrival": Scene(seed=12, enters=3),
    "departure": Scene(seed=13, leaves=1),
    "quartet": Scene(seed=14, objects=4),
    "exchange": Scene(seed=15, enters=2, enters_at=7, leaves=3, leaves_at=14),
    "pair": Scene(seed=16, objects=2),
}
VAL = {
    "meeting": Scene(seed=21, leaves=2),
    "latecomer": Scene(seed=22, enters=3),
}
STATIC_IMAGES = 40


def make_sample(root: str | os.PathLike[str] = "data/sample") -> Path:
    """Make the sample data under `root` unless it is there already, and return `root`.

    `trainval/` has DAVIS-2017's layout: eight clips of 30 frames of 256x448, six in train.txt and two in val.txt, every
    frame annotated. `static/` holds 40 pictures `x.jpg` with masks `x.png`. The pixels are the same on every machine
    with the same library versions. The folder appears whole or not at all; processes may ask for it at the same time.

    Raises:
        ValueError: when something else lies at `root`.
        OSError: when it cannot be written.
    """
    root = Path(root)
    version = _version(root)
    if version == VERSION:
        return root
    if version is None and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(
            f"{root} exists, but is no sample data made by this program (it has no {MARKER}). "
            "Remove it or choose another place for the sample data."
        )
    logger.info("making the sample data in %s (once, a few seconds)", root)
    if version is not None:
        set_aside(root)
    try:
        with atomic_write(root) as folder:
            _write_all(folder)
    except OSError:
        if _version(root) != VERSION:  # otherwise another process was faster, and its folder is as good
            raise
    return root


def _version(root: Path) -> int | None:
    try:
        return int(json.loads((root / MARKER).read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_all(folder: Path) -> None:
    base = davis_base(folder, "train")
    part = davis_part(base)
    assert part.masks is not None
    for split, scenes in (("train", TRAIN), ("val", VAL)):
        names = davis_list(base, "2017", split)
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text("".join(f"{name}\n" for name in scenes))
        for name, scene in scenes.items():
            for t, (picture, ids) in enumerate(draw(scene)):
                _write_pair(
                    part.frames / name / f"{t:05d}.jpg",
                    part.masks / name / f"{t:05d}.png",
                    picture,
                    ids,
                )
    for index in range(STATIC_IMAGES):
        picture, ids = next(draw(Scene(seed=100 + index, frames=1, objects=1)))
        _write_pair(folder / "static" / f"{index:03d}.jpg", folder / "static" / f"{index:03d}.png", picture, ids)
    (folder / MARKER).write_text(json.dumps({"version": VERSION}) + "\n")


def _write_pair(frame: Path, mask: Path, picture: np.ndarray, ids: np.ndarray) -> None:
    frame.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(frame, quality=JPEG_QUALITY)
    write_mask(mask, ids)
