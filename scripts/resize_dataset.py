"""Writes a smaller copy of a data set, which loads faster: frames by area, masks by nearest neighbour.

python scripts/resize_dataset.py data/YouTube-original data/YouTube --size 480

Layout and names stay; lists, meta.json and all other files are copied. A run that was broken off continues where it
stopped. Exit status: 0 done, 1 some files could not be read, 2 nothing could be done.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import tyro
from PIL import Image

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset.disk.frames import IMAGE_SUFFIXES, read_rgb
from dataset.disk.recognise import Layout, find_layout
from util.files.atomic import atomic_write, remove
from util.files.palette import read_mask
from util.parallel.workers import default_processes, map_processes
from util.run.progress import with_progress

MARKER = "resized.json"
_FILES_PER_TASK = 40
# What the images of a folder are. Static: JPEGs are pictures, PNGs their masks. Other: neither, copied as they are.
Role = Literal["frames", "masks", "static", "other"]


@dataclass(frozen=True, kw_only=True)
class ResizeConfig:
    """What to resize.

    Attributes:
        source: the data set, in one of the layouts that scripts/check_dataset.py knows.
        target: the copy; a new folder outside of the source, or a copy that was begun with the same settings.
        size: shorter side in pixels; smaller pictures are copied as they are.
        quality: of JPEG frames, 1 to 95.
        processes: how many processes work; 0 for one per core, at most 16.
    """

    source: Annotated[Path, tyro.conf.Positional]
    target: Annotated[Path, tyro.conf.Positional]
    size: int = 480
    quality: int = 92
    processes: int = 0


@dataclass(frozen=True, kw_only=True)
class Task:
    """Files of one folder, and what its images are."""

    source: Path
    target: Path
    names: tuple[str, ...]
    role: Role
    size: int
    quality: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How many files were resized, copied, there already; and what is wrong with the others."""

    resized: int = 0
    copied: int = 0
    skipped: int = 0
    problems: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """All files of the task."""
        return self.resized + self.copied + self.skipped + len(self.problems)


def main(config: ResizeConfig) -> None:
    """Write the copy and print the outcome; exits with status 1 if files could not be read."""
    outcome = resize_dataset(config)
    print(
        f"{config.target}: {outcome.resized} files resized, {outcome.copied} copied, "
        f"{outcome.skipped} were there already"
    )
    for problem in outcome.problems:
        print(f"- {problem}")
    if outcome.problems:
        print(f"{len(outcome.problems)} files are missing in the copy: mend them in the source and run this again")
        raise SystemExit(1)


def resize_dataset(config: ResizeConfig) -> Outcome:
    """Write the copy.

    Raises:
        FileNotFoundError: when there is no source.
        ValueError: when the source has no known layout, the target lies inside it or is something else, or for a size
            or quality out of range.
        OSError: when the target cannot be written.
    """
    if config.size < 16:
        raise ValueError(f"--size must be at least 16 pixels, received {config.size}.")
    if not 1 <= config.quality <= 95:
        raise ValueError(f"--quality must lie in 1..95, received {config.quality}.")
    layout = find_layout(config.source)
    if layout.annotations or layout.films:
        raise ValueError(
            f"{config.source} is {layout.name}, whose masks are run lengths at the frames' size: it can't be made "
            "smaller. Use it as it is."
        )
    _prepare_target(config)
    total = sum(len(names) for _, names in _walk(config.source))
    results = map_processes(resize_files, _tasks(layout, config), config.processes or default_processes())
    outcomes = list(with_progress(results, total, "resizing", lambda outcome: outcome.files))
    return Outcome(
        resized=sum(outcome.resized for outcome in outcomes),
        copied=sum(outcome.copied for outcome in outcomes),
        skipped=sum(outcome.skipped for outcome in outcomes),
        problems=tuple(problem for outcome in outcomes for problem in outcome.problems),
    )


def resize_files(task: Task) -> Outcome:
    """Resize or copy the files of a task; those that can't be read are named in the result."""
    counts = {"resized": 0, "copied": 0, "skipped": 0}
    problems = []
    for name in task.names:
        source, target = task.source / name, task.target / name
        if target.is_file():  # files appear whole or not at all
            counts["skipped"] += 1
            continue
        try:
            counts["resized" if _resize(source, target, task) else "copied"] += 1
        except ValueError as error:
            problems.append(str(error))
    return Outcome(problems=tuple(problems), **counts)


def resize_frame(source: Path, target: Path, shape: tuple[int, int], quality: int) -> None:
    """Write a picture resized by area to `shape` (height, width); raises ValueError when it is damaged."""
    rgb = cv2.resize(read_rgb(source), shape[::-1], interpolation=cv2.INTER_AREA)
    with atomic_write(target) as temporary:
        Image.fromarray(rgb).save(temporary, quality=quality)  # PNGs have none, and ignore it


def resize_mask(source: Path, target: Path, shape: tuple[int, int], soft: bool = False) -> None:
    """Write a mask with the ids of the nearest pixels, at `shape` (height, width), in the same mode and palette.

    A `soft` mask, a static picture's, may have grey edges. Raises ValueError when the file is damaged or no mask.
    """
    if not soft:
        read_mask(source)  # refuses what holds no ids
    try:
        with Image.open(source) as image, atomic_write(target) as temporary:
            image.resize(shape[::-1], Image.Resampling.NEAREST).save(temporary, format="PNG")
    except SyntaxError as error:  # PIL's word for some damaged PNGs
        raise ValueError(f"mask {source} is damaged ({error}). Copy or download it again.") from error


def smaller_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Return height and width with the shorter side at `size`; the same if it is not longer than that."""
    shorter = min(height, width)
    if shorter <= size:
        return height, width
    return round(height * size / shorter), round(width * size / shorter)


def _resize(source: Path, target: Path, task: Task) -> bool:
    """Resize a picture, or copy the file if it is small or something else; return whether it was resized."""
    suffix = source.suffix.lower()
    if suffix in IMAGE_SUFFIXES and task.role != "other":
        height, width = _shape(source)
        shape = smaller_shape(height, width, task.size)
        if shape != (height, width):
            if task.role == "masks" or (task.role == "static" and suffix == ".png"):
                resize_mask(source, target, shape, soft=task.role == "static")
            else:
                resize_frame(source, target, shape, task.quality)
            return True
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
    return False


def _shape(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is no image, or damaged ({error}). Copy or download it again.") from error


def _tasks(layout: Layout, config: ResizeConfig) -> Iterator[Task]:
    for folder, names in _walk(config.source):
        role = _role(layout, folder)
        for start in range(0, len(names), _FILES_PER_TASK):
            yield Task(
                source=folder,
                target=config.target / folder.relative_to(config.source),
                names=tuple(names[start : start + _FILES_PER_TASK]),
                role=role,
                size=config.size,
                quality=config.quality,
            )


def _role(layout: Layout, folder: Path) -> Role:
    if layout.sets:
        return "static"
    if any(folder.is_relative_to(part.frames) for part in layout.parts):
        return "frames"
    # Annotations, and those of other tasks beside them, such as Annotations_unsupervised.
    names = folder.relative_to(layout.root).parts
    return "masks" if any(name.startswith("Annotations") for name in names) else "other"


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder and its visible files in order; links are followed, but not in circles."""
    for place, folders, names in os.walk(root, followlinks=True):
        here = Path(place).resolve()
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not here.is_relative_to((here / name).resolve())
        )
        yield Path(place), sorted(name for name in names if not name.startswith(".") and name != MARKER)


def _prepare_target(config: ResizeConfig) -> None:
    """Make the target, or see that it was begun with the same settings, and clean up after a run that was killed."""
    source, target = config.source.resolve(), config.target.resolve()
    if target.is_relative_to(source):
        raise ValueError(f"the copy {config.target} would lie inside its source {config.source}. Choose another place.")
    settings = {**asdict(config), "source": str(source)}
    settings = {key: settings[key] for key in ("source", "size", "quality")}
    marker = target / MARKER
    if marker.is_file():
        begun = json.loads(marker.read_text())
        if begun != settings:
            raise ValueError(
                f"{config.target} holds a copy of other settings: {begun}, now {settings}. Choose another place, or "
                "remove it."
            )
        for leftover in target.rglob(".*.tmp*"):
            remove(leftover)
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(
            f"{config.target} exists and was not made by this program. Choose another place, or remove it."
        )
    with atomic_write(marker) as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")


if __name__ == "__main__":
    from util.cli import run  # not above: the processes that do the work import this file, too, but need no PyTorch

    run(main, ResizeConfig, "resize_dataset.py", __doc__ or "")
