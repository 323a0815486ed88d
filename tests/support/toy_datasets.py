"""Small data sets in every supported layout, with known counts."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from util.files.palette import write_mask

HEIGHT, WIDTH = 32, 48


def toy_ids(objects: tuple[int, ...] = (1, 2)) -> np.ndarray:
    """Ids [H,W]: a 12-pixel square for each object."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint16 if max(objects, default=0) > 255 else np.uint8)
    for place, number in enumerate(objects):
        ids[4:16, 2 + 14 * place : 14 + 14 * place] = number
    return ids


def add_frame(path: Path, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(path, quality=90)


def add_video(
    frames: Path,
    masks: Path | None,
    count: int = 3,
    masked: tuple[int, ...] | None = None,
    objects: tuple[int, ...] = (1, 2),
) -> None:
    """Add `count` frames, with masks on all of them or on those numbered in `masked`."""
    for index in range(count):
        add_frame(frames / f"{index:05d}.jpg")
        if masks is not None and (masked is None or index in masked):
            write_mask(masks / f"{index:05d}.png", toy_ids(objects))


def add_text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def davis_2017(root: Path, **options: object) -> Path:
    """Two videos of three frames with two objects: train `bear`, val `cows`."""
    for name in ("bear", "cows"):
        add_video(root / "JPEGImages" / "480p" / name, root / "Annotations" / "480p" / name, **options)  # type: ignore[arg-type]
    add_text(root / "ImageSets" / "2017" / "train.txt", "bear")
    add_text(root / "ImageSets" / "2017" / "val.txt", "cows")
    return root


def youtube(root: Path) -> Path:
    """A training video, and a validation video of five frames: object 1 from frame 0, object 2 from frame 2."""
    add_video(root / "train_480p" / "JPEGImages" / "t", root / "train_480p" / "Annotations" / "t")
    valid = root / "valid"
    add_video(valid / "JPEGImages" / "v", None, 5)
    write_mask(valid / "Annotations" / "v" / "00000.png", toy_ids((1,)))
    write_mask(valid / "Annotations" / "v" / "00002.png", toy_ids((1, 2)))
    names = [f"{index:05d}" for index in range(5)]
    objects = {"1": {"category": "cat", "frames": names}, "2": {"category": "dog", "frames": names[2:]}}
    (valid / "meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects}}}))
    add_video(root / "all_frames" / "valid_all_frames" / "JPEGImages" / "v", None, 9)
    return root


def static_set(folder: Path, count: int = 3, ids: tuple[int, ...] = (255,)) -> Path:
    for index in range(count):
        add_frame(folder / f"{index}.jpg")
        Image.fromarray(toy_ids(ids)).save(folder / f"{index}.png")
    return folder
