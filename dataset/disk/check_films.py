"""Checks sets whose masks are run lengths in JSON files: SA-V's training films, BURST's annotation files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset.disk.burst import read_burst
from dataset.disk.check_files import Findings, Size, examples, shape
from dataset.disk.frames import FolderFrames, VideoFileFrames
from dataset.disk.sav import MANUAL, SAV_STEP, film_of, read_masklets


@dataclass(frozen=True, kw_only=True)
class FilmTask:
    """A film of SA-V's training set: its masklets `VIDEO_manual.json`, beside which the film or its frames lie."""

    part: str
    annotations: Path
    quick: bool = False


def check_film(task: FilmTask) -> Findings:
    """Check a film and its masklets: there, readable, of one size, with a frame for every mask."""
    name, film = task.annotations.name.removesuffix(MANUAL), film_of(task.annotations)
    problems, sizes, frames, masks, objects = [], {}, 0, 0, 0
    if film is None:
        problems.append(f"{task.annotations} has no film: expected {name}.mp4 beside it. Unpack the archive again.")
    elif not task.quick:
        try:
            source = FolderFrames(film) if film.is_dir() else VideoFileFrames(film)
            frames, size = len(source.names), source.size
            sizes = {size: frames}
            found = read_masklets(task.annotations)
            masks, objects = len(found.masks), max((len(mask.counts) for mask in found.masks), default=0)
            if found.size != size:
                problems.append(f"{film} has {shape(size)} pixels, its masklets {shape(found.size)}. Copy both again.")
            if frames <= SAV_STEP * (masks - 1):
                problems.append(f"{film} has {frames} frames, its masklets {masks}, each {SAV_STEP}. Copy both again.")
            for mask in found.masks:
                mask.read()
        except (ValueError, OSError) as error:
            problems.append(str(error))
    return Findings(
        part=task.part,
        name=name,
        frames=frames,
        masks=masks,
        objects={number: "" for number in range(1, objects + 1)},
        sizes=sizes,
        problems=tuple(problems),
    )


def check_burst(path: Path, found: Mapping[str, Findings], quick: bool) -> list[str]:
    """Check an annotation file of BURST against the frames that were found, by `DATASET-SEQUENCE`.

    Every listed sequence and frame must be there, in the size that the file gives; every run length must be readable
    unless the check is `quick`. Returns the problems.
    """
    try:
        sequences = read_burst(path).sequences
    except ValueError as error:
        return [str(error)]
    missing = [name for name in sequences if name not in found]
    problems = []
    if missing:
        problems.append(
            f"{path} names {len(missing)} of {len(sequences)} sequences that have no frames ({examples(missing)}). "
            "Add the frames."
        )
    for name, sequence in sequences.items():
        if name not in found:
            continue
        lacking = [image for image in sequence.images if Path(image).stem not in found[name].frame_names]
        if lacking:
            problems.append(f"{path}: {name} lacks {len(lacking)} frames ({examples(lacking)}). Add the frames.")
        other: list[Size] = [size for size in found[name].sizes if size != sequence.size]
        if other:
            problems.append(f"{path}: {name} has {shape(sequence.size)} pixels, its frames {shape(other[0])}.")
        try:
            for mask in () if quick else sequence.masks.values():
                mask.read()
        except ValueError as error:
            problems.append(str(error))
    return problems
