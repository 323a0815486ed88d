"""SA-V's training annotations: a JSON file of masklets, run lengths for each object in every fourth frame of a film."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dataset.disk.masks import RunLengthMasks
from dataset.disk.meta import read_json

# Films have 24 frames a second, annotations 6.
SAV_STEP = 4
MANUAL = "_manual.json"
FORM = 'SA-V\'s masklets: "masklet", a list for each annotated frame of run lengths {"size": [h, w], "counts": "..."}'


@dataclass(frozen=True, kw_only=True)
class SavMasklets:
    """What a file holds: the masks of each annotated frame, whose objects have the ids 1, 2, ... in the file's order.

    Attributes:
        size: height and width in pixels.
        masks: of frame 0, 4, 8, ... of the film.
    """

    size: tuple[int, int]
    masks: tuple[RunLengthMasks, ...]


@lru_cache(maxsize=4)  # a clip reads several frames of one file
def read_masklets(path: Path) -> SavMasklets:
    """Read `VIDEO_manual.json`; raises FileNotFoundError, or ValueError for a file of another form."""
    content = read_json(path, FORM)
    try:
        size = int(content["video_height"]), int(content["video_width"])
        frames = [_frame(path, size, number, frame) for number, frame in enumerate(content["masklet"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not {FORM} ({type(error).__name__}: {error}).") from error
    return SavMasklets(size=size, masks=tuple(frames))


def masklet_files(root: Path) -> list[Path]:
    """Return the files `VIDEO_manual.json` in a folder or its folders (sav_000, ...), in order."""
    return sorted(path for depth in ("", "*/") for path in root.glob(f"{depth}*{MANUAL}"))


def film_of(annotations: Path) -> Path | None:
    """Return the film `VIDEO.mp4`, or before that the folder of its frames, that lies beside its masklets."""
    name = annotations.name.removesuffix(MANUAL)
    places = (annotations.with_name(name), annotations.with_name(f"{name}.mp4"))
    return next((place for place in places if place.exists()), None)


def _frame(path: Path, size: tuple[int, int], number: int, frame: list[Any]) -> RunLengthMasks:
    counts = {}
    for place, mask in enumerate(frame, start=1):
        if mask is None:
            continue
        if tuple(mask["size"]) != size:
            raise ValueError(f"{path}: a mask of annotated frame {number} has size {mask['size']}, the film {[*size]}.")
        counts[place] = str(mask["counts"]).encode("ascii")
    return RunLengthMasks(f"{path}, frame {SAV_STEP * number:05d}", size, counts)
