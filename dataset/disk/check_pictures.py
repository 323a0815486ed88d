"""Checks static pictures: are they there, readable, with masks that hold an object?"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dataset.disk.check_files import Findings, Size, examples, read_all, read_size, size_and_ids, wrong_sizes


@dataclass(frozen=True, kw_only=True)
class PicturesTask:
    """Static pictures to check: stems of one folder; the picture is `stem.jpg`, its mask `stem.png`."""

    part: str
    folder: Path
    stems: tuple[str, ...]
    quick: bool = False


def check_pictures(task: PicturesTask) -> Findings:
    """Check static pictures: each readable, with a mask of its size that holds an object."""
    # Imported here: the reader of soft masks lies with the training data and brings PyTorch with it.
    from dataset.train.pictures import read_static_mask

    def read_static(path: Path) -> tuple[Size, list[int]]:
        return (read_size(path, True), []) if task.quick else size_and_ids(read_static_mask(path))

    problems: list[str] = []
    pictures = {stem: task.folder / f"{stem}.jpg" for stem in task.stems}
    masks = {stem: path.with_suffix(".png") for stem, path in pictures.items()}
    missing = [stem for stem, path in masks.items() if not path.is_file()]
    if missing:
        problems.append(
            f"{task.folder}: {len(missing)} of {len(pictures)} pictures have no mask beside them "
            f"({examples(f'{stem}.jpg' for stem in missing)}). Put each mask x.png beside its picture x.jpg."
        )
    present = {stem: path for stem, path in masks.items() if stem not in set(missing)}
    sizes = read_all(pictures, lambda path: read_size(path, task.quick), problems)
    found = read_all(present, read_static, problems)
    empty = [] if task.quick else [f"{stem}.png" for stem, (_, ids) in found.items() if not ids]
    if empty:
        problems.append(
            f"{task.folder}: {len(empty)} masks without an object ({examples(empty)}). Remove these pictures."
        )
    problems += wrong_sizes(sizes, {stem: size for stem, (size, _) in found.items()}, masks)
    return Findings(
        part=task.part,
        frames=len(pictures),
        masks=len(present),
        objects={},
        pictured=sum(bool(ids) for _, ids in found.values()),
        sizes=Counter(sizes.values()),
        problems=tuple(problems),
    )


def pictures_of(folder: Path, problems: list[str]) -> list[str]:
    """Return the stems of the pictures `*.jpg` in a folder; adds to `problems` what training would not find or read."""
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    jpegs = [name for name in names if Path(name).suffix.lower() in (".jpg", ".jpeg")]
    other = [name for name in jpegs if not name.endswith(".jpg")]
    if other:
        problems.append(f"{folder}: {len(other)} pictures are not named x.jpg ({examples(other)}). Rename them.")
    stems = {Path(name).stem for name in jpegs}
    alone = [name for name in names if name.endswith(".png") and Path(name).stem not in stems]
    if alone:
        problems.append(
            f"{folder}: {len(alone)} masks x.png without a picture x.jpg ({examples(alone)}). Add or remove them."
        )
    return [Path(name).stem for name in jpegs if name.endswith(".jpg")]
