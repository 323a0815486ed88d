"""Draws a contact sheet: a few frames of each video, ground truth beside prediction, with coloured objects."""

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataset.disk.frames import list_images, read_rgb
from dataset.disk.lists import subfolders
from inference.report import read_json
from util.cli import run
from util.files.atomic import atomic_write
from util.files.palette import overlay, read_mask

_MARGIN = 24
_GAP = 6
_CAPTION = 26
_PAPER = (255, 255, 255)
_INK = (40, 44, 52)
_FAINT = (130, 136, 148)


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """What to show. Each folder holds a folder for each video.

    Attributes:
        frames: frames of the videos.
        truth: their ground-truth masks; a frame without one is shown bare.
        predictions: predicted masks; every video in here is shown, unless `videos` says which.
        output: the PNG to write.
        videos: names of the videos to show.
        rows: frames of each video, evenly spaced.
        width: width of one picture in pixels.
        columns: videos beside each other.
        scores: the scores.json of eval.py, whose J&F stand beside the videos' names.
    """

    frames: Path
    truth: Path
    predictions: Path
    output: Path = Path("contact_sheet.png")
    videos: tuple[str, ...] = ()
    rows: int = 4
    width: int = 300
    columns: int = 2
    scores: Path | None = None


def main(config: SheetConfig) -> None:
    """Draw the sheet and say where it is; raises ValueError or FileNotFoundError for videos that are not there."""
    sheet = draw_sheet(config)
    with atomic_write(config.output) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG", optimize=True)
    print(f"contact sheet: {config.output}")


def draw_sheet(config: SheetConfig) -> np.ndarray:
    """Return the sheet [H,W,3] uint8; raises as `main`."""
    for name in ("rows", "width", "columns"):
        if getattr(config, name) < 1:
            raise ValueError(f"--{name} must be at least 1, received {getattr(config, name)}.")
    titles = {} if config.scores is None else _scored_titles(config.scores)
    blocks = [
        _draw_block(config, name, titles.get(name, name)) for name in config.videos or _videos(config.predictions)
    ]
    bands = [_join(blocks[start : start + config.columns], 1) for start in range(0, len(blocks), config.columns)]
    return np.pad(_join(bands, 0), ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), constant_values=_PAPER[0])


def evenly_spaced(names: list[str], count: int) -> list[str]:
    """Return `count` of the names (all if there are fewer), first and last included if count > 1."""
    places = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    return [names[place] for place in places]


def _scored_titles(path: Path) -> dict[str, str]:
    """Return each video's title with its J&F, the mean over its objects."""
    titles = {}
    for video, objects in read_json(path).sequences.items():
        values = [(means["J-Mean"] + means["F-Mean"]) / 2 for means in objects.values()]
        titles[video] = f"{video}: J&F {100 * float(np.mean(values)):.1f}"
    return titles


def _draw_block(config: SheetConfig, video: str, title: str) -> np.ndarray:
    """Return one video's pictures: title, captions, rows of (truth, prediction)."""
    frames = list_images(config.frames / video)
    predictions = list_images(config.predictions / video)
    truth = list_images(config.truth / video)
    shared = [name for name in predictions if name in frames]
    if not shared:
        raise ValueError(
            f"no mask in {config.predictions / video} has the name of a frame in {config.frames / video}: "
            "give the folders that belong together."
        )
    rows = []
    for name in evenly_spaced(shared, config.rows):
        rgb = read_rgb(frames[name])
        left, right = (_picture(rgb, masks.get(name), config.width) for masks in (truth, predictions))
        rows.append(_write(_beside([left, right], 1), name, at=(8, 6), colour=(255, 255, 255), shadow=True))
    pictures = _beside(rows, 0)
    header = np.full((2 * _CAPTION, pictures.shape[1], 3), _PAPER, np.uint8)
    header = _write(header, title, at=(0, 0), colour=_INK, size=20)
    header = _write(header, "ground truth", at=(0, _CAPTION + 3), colour=_FAINT)
    header = _write(header, "prediction", at=(config.width + _GAP, _CAPTION + 3), colour=_FAINT)
    return np.concatenate([header, pictures])


def _picture(rgb: np.ndarray, mask: Path | None, width: int) -> np.ndarray:
    """Return the frame with coloured objects, `width` pixels wide."""
    size = (width, max(1, round(rgb.shape[0] * width / rgb.shape[1])))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if width < rgb.shape[1] else cv2.INTER_CUBIC)
    if mask is None:
        return small
    ids = read_mask(mask)
    if ids.shape != rgb.shape[:2]:
        raise ValueError(f"mask {mask} has shape {ids.shape}, its frame {rgb.shape[:2]}: they must be equal.")
    return overlay(small, cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT))


def _write(
    image: np.ndarray,
    text: str,
    *,
    at: tuple[int, int],
    colour: tuple[int, int, int],
    size: int = 14,
    shadow: bool = False,
) -> np.ndarray:
    """Return the image with a line of text; a shadow keeps it legible on any picture."""
    canvas = Image.fromarray(image)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(canvas).text(
        at, text, fill=colour, font=font, stroke_width=2 if shadow else 0, stroke_fill=(20, 20, 20)
    )
    return np.array(canvas)


def _beside(images: list[np.ndarray], axis: int) -> np.ndarray:
    """Join pictures of one size with thin gaps."""
    gap_shape = list(images[0].shape)
    gap_shape[axis] = _GAP
    parts = [part for image in images for part in (image, np.full(gap_shape, _PAPER, np.uint8))]
    return np.concatenate(parts[:-1], axis=axis)


def _join(blocks: list[np.ndarray], axis: int) -> np.ndarray:
    """Join blocks of any size along an axis with wide gaps; smaller ones get blank paper."""
    across = max(block.shape[1 - axis] for block in blocks)
    parts = []
    for index, block in enumerate(blocks):
        padding = [(0, 0), (0, 0), (0, 0)]
        padding[axis] = (0, _MARGIN if index < len(blocks) - 1 else 0)
        padding[1 - axis] = (0, across - block.shape[1 - axis])
        parts.append(np.pad(block, padding, constant_values=_PAPER[0]))
    return np.concatenate(parts, axis=axis)


def _videos(predictions: Path) -> list[str]:
    if not predictions.is_dir():
        raise FileNotFoundError(f"predictions {predictions} do not exist: expected a folder of masks for each video.")
    names = [name for name in subfolders(predictions) if list_images(predictions / name)]
    if not names:
        raise ValueError(f"no masks in {predictions}: expected a folder of PNGs for each video.")
    return names


if __name__ == "__main__":
    run(main, SheetConfig, "contact_sheet.py", __doc__ or "")
