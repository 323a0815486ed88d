"""Turns masks of other conventions into ids: colours, grey levels such as 0 and 255, or one file for each object.

python scripts/convert_masks.py masks_rgb --output masks

python scripts/convert_masks.py masks --kind folders --output masks_ids

The source is a video's folder of masks or a folder of such folders. With --kind folders each object has a folder of its
own (VIDEO/OBJECT/FRAME.png), with --kind files a file of its own (VIDEO/FRAME_OBJECT.png). Black, or 0, is background.
"""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from PIL import Image

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset.disk.frames import list_images, natural_key
from dataset.disk.lists import subfolders
from inference.output.places import check_apart
from util.cli import run
from util.files.atomic import atomic_write
from util.files.palette import davis_palette, write_mask
from util.run.progress import with_progress

logger = logging.getLogger(__name__)

MOST_OBJECTS = 255  # more are no objects but soft edges or a JPEG's noise
_LOSSY = ("JPEG", "MPO", "WEBP")
DAVIS_COLOURS = 22  # of its palette; the rest of it is grey


@dataclass(frozen=True, kw_only=True)
class ConvertConfig:
    """What to convert.

    Attributes:
        source: a video's masks, or a folder of several videos'.
        output: the new folder, outside of the source.
        kind: what tells objects apart: colours (grey levels are colours, too), or a folder or file for each.
    """

    source: Annotated[Path, tyro.conf.Positional]
    output: Path
    kind: Literal["colours", "folders", "files"] = "colours"


Files = Mapping[str, Path]  # by the name of the frame
Objects = Mapping[str, Files]  # by the name of the object; "" for masks that hold all objects


def main(config: ConvertConfig) -> None:
    """Convert all videos, whole or not at all, and print which id each colour or object has got."""
    check_apart([config.output], {"the source": config.source})
    if config.output.exists() and (not config.output.is_dir() or any(config.output.iterdir())):
        raise ValueError(f"{config.output} is there already and holds something: give another --output.")
    videos = find_videos(config.source, config.kind)
    lines = []
    with atomic_write(config.output) as folder:
        for name, objects in with_progress(videos.items(), len(videos), "converting"):
            convert = convert_colours if config.kind == "colours" else convert_objects
            ids = convert(objects, folder / name)
            lines.append(f"{name}: " + ", ".join(f"{what} -> {number}" for what, number in ids.items()))
    print("\n".join(lines))


def find_videos(source: Path, kind: str) -> dict[str, Objects]:
    """Return the masks of each video by object and frame; a single video has the name ".".

    Raises FileNotFoundError or ValueError when there are none.
    """
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is no folder: expected one of masks, or of videos' masks.")
    folders = {".": source} | {name: source / name for name in subfolders(source)}
    found = {name: objects for name, folder in folders.items() if (objects := _objects(folder, kind))}
    if "." in found:  # with --kind folders, the folders in it are its objects
        return {".": found["."]}
    if not found:
        raise ValueError(f"{source} holds no masks for --kind {kind}: look at the help for where they have to lie.")
    return found


def convert_colours(objects: Objects, target: Path) -> dict[str, int]:
    """Give each colour of a video an id, write the ids, and return the ids by colour.

    Colours of the DAVIS palette get their number there; others are numbered as they appear.
    Raises ValueError for more colours than a mask of ids has.
    """
    (files,) = objects.values()
    seen: dict[int, None] = {}
    for path in files.values():
        seen |= dict.fromkeys(np.unique(_read_colours(path)).tolist())
        seen.pop(0, None)
        if len(seen) > MOST_OBJECTS:
            raise ValueError(
                f"mask {path}: with it the video has more than {MOST_OBJECTS} colours, as soft edges or JPEG "
                "compression make. Expected one colour for each object: save the masks without smoothing, as PNG."
            )
    palette = [_pack(colour) for colour in davis_palette()[:DAVIS_COLOURS].astype(np.int64)]
    grey = all(colour % 0x10101 == 0 for colour in seen)  # red, green and blue are the same
    if seen.keys() <= set(palette) and not grey:
        ids = {colour: palette.index(colour) for colour in seen}
    else:
        ids = {colour: number for number, colour in enumerate(seen, start=1)}
    for name, path in files.items():
        packed = _read_colours(path)
        mask = np.zeros(packed.shape, np.uint8)
        for colour, number in ids.items():
            mask[packed == colour] = number
        write_mask(target / f"{name}.png", mask)
    return {f"#{colour:06x}": number for colour, number in ids.items()}


def convert_objects(objects: Objects, target: Path) -> dict[str, int]:
    """Join masks of single objects, where the first of those that overlap is on top; return the ids by name.

    Objects whose names are numbers keep those; others are numbered in their natural order.
    Raises ValueError for masks of different sizes.
    """
    names = sorted(objects, key=natural_key)
    own = [int(name) if name.isdecimal() else 0 for name in names]
    numbered = all(0 < number <= 65535 for number in own) and len(set(own)) == len(own)
    ids = dict(zip(names, own if numbered else range(1, len(names) + 1), strict=True))
    overlapping = 0
    for frame in sorted({frame for files in objects.values() for frame in files}, key=natural_key):
        mask: np.ndarray | None = None
        for name in names:
            if frame not in objects[name]:
                continue
            inside = _read_inside(objects[name][frame])
            mask = np.zeros(inside.shape, np.uint16) if mask is None else mask
            if inside.shape != mask.shape:
                raise ValueError(
                    f"mask {objects[name][frame]} is {inside.shape[1]}x{inside.shape[0]}, other objects of that frame "
                    f"have {mask.shape[1]}x{mask.shape[0]}: expected one size."
                )
            overlapping += int((inside & (mask > 0)).sum())
            mask[inside & (mask == 0)] = ids[name]
        assert mask is not None
        write_mask(target / f"{frame}.png", mask)
    if overlapping:
        logger.warning("%s: objects overlap in %d pixels; there the first one is taken", target.name, overlapping)
    return ids


def _objects(folder: Path, kind: str) -> Objects:
    """Return the masks that a folder holds as that of one video; {} if it holds none."""
    if kind == "folders":
        objects = {name: list_images(folder / name) for name in subfolders(folder)}
        return {name: files for name, files in objects.items() if files}
    images = list_images(folder)
    if kind == "colours":
        return {"": images} if images else {}
    by_object: dict[str, dict[str, Path]] = {}
    for name, path in images.items():
        frame, _, own = name.rpartition("_")
        if not frame or not own:
            raise ValueError(f"{path}: expected FRAME_OBJECT{path.suffix} with --kind files.")
        by_object.setdefault(own, {})[frame] = path
    return by_object


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            if image.format in _LOSSY:
                raise ValueError("lossy compression changes colours: expected a PNG")
            image.load()
            return image.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"mask {path} cannot be read ({error}).") from error


def _read_colours(path: Path) -> np.ndarray:
    """Return the colours [H,W] int64 of a mask, 0xRRGGBB; what is transparent is background."""
    image = _read(path)
    if image.mode.startswith("I"):
        raise ValueError(f"mask {path} is 16-bit grey: those are ids already.")
    rgba_HW4 = np.array(image.convert("RGBA"), np.int64)
    return np.where(rgba_HW4[..., 3] > 0, _pack(rgba_HW4), 0)


def _pack(colour: np.ndarray) -> Any:
    return (colour[..., 0] << 16) + (colour[..., 1] << 8) + colour[..., 2]


def _read_inside(path: Path) -> np.ndarray:
    """Return where a mask [H,W] of a single object shows it: above half of 255, or above 0 in a mask of small ids."""
    image = _read(path)
    grey = np.array(image if image.mode in ("P", "1") or image.mode.startswith("I") else image.convert("L")).astype(int)
    return grey >= 128 if grey.max() == 255 else grey > 0


if __name__ == "__main__":
    run(main, ConvertConfig, "convert_masks.py", __doc__ or "")
