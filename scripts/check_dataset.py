"""Checks a data set before hours are spent on it: layout, counts, masks, sizes, damaged files, lists, meta.json.

python scripts/check_dataset.py data/DAVIS/2017/trainval
python scripts/check_dataset.py data/YouTube --quick

Prints what is there and, for each problem, what to mend. Exit status: 0 sound, 1 problems, 2 no data set there.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataset.disk.check import Task, VideoTask, check
from dataset.disk.check_files import Findings, Size, examples
from dataset.disk.check_films import FilmTask, check_burst
from dataset.disk.check_pictures import PicturesTask, pictures_of
from dataset.disk.layout import Part
from dataset.disk.lists import read_lines, read_names, subfolders
from dataset.disk.recognise import Layout, find_layout
from util.parallel.workers import default_processes, map_processes
from util.run.progress import with_progress

_PICTURES_PER_TASK = 50
_SIZES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What to check.

    Attributes:
        root: the data set: a folder in one of the layouts of DAVIS, YouTube-VOS, MOSE, LVOS, VOST, BURST, SA-V, BL30K,
            LongVideo, static pictures (one set or several), or one's own with JPEGImages and Annotations.
        quick: read the headers of the files only: finds neither truncated files nor wrong ids.
        every_frame: every frame needs a mask, as training on one's own videos does.
        lists: more files with names of videos, one per line, such as subsets of YouTube-VOS.
        processes: how many processes read files; 0 for one per core, at most 16.
        show: how many problems to print; 0 for all.
    """

    root: Annotated[Path, tyro.conf.Positional]
    quick: bool = False
    every_frame: bool = False
    lists: tuple[Path, ...] = ()
    processes: int = 0
    show: int = 50


def main(config: CheckConfig) -> None:
    """Check the data set and print the outcome; exits with status 1 if there are problems."""
    layout, findings, problems = check_dataset(config)
    print(summary(layout, findings, config.quick))
    shown = problems[: config.show or None]
    for problem in shown:
        print(f"- {problem}")
    if len(shown) < len(problems):
        print(f"- and {len(problems) - len(shown)} more (--show 0 prints all)")
    if problems:
        print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: see above what to mend")
        raise SystemExit(1)
    print("no problems" + (" in layout and headers (--quick reads no further)" if config.quick else ""))


def check_dataset(config: CheckConfig) -> tuple[Layout, list[Findings], list[str]]:
    """Return the layout, what was found in each video or group of pictures, and all problems.

    Raises:
        FileNotFoundError: when there is no such folder, or no such list in `config.lists`.
        ValueError: when the folder has none of the layouts.
    """
    layout = find_layout(config.root)
    own_lists = {path: _read_list(path) for path in config.lists}
    problems: list[str] = []
    tasks: list[Task] = [
        *_video_tasks(layout, config, problems),
        *_picture_tasks(layout, config, problems),
        *(FilmTask(part="sav_train", annotations=path, quick=config.quick) for path in layout.films),
    ]
    processes = min(config.processes or default_processes(), max(len(tasks), 1))
    results = map_processes(check, tasks, processes)
    findings = list(with_progress(results, len(tasks), "checking"))
    problems += [problem for found in findings for problem in found.problems]
    everything = {found.name for found in findings}
    for path, names in own_lists.items():
        problems += _missing_videos(path, names, everything, config.root)
    for part in layout.parts:
        videos = {found.name: found for found in findings if found.part == part.name}
        problems += [problem for path in part.lists for problem in _check_list(path, part, videos)]
        if part.meta is not None:
            problems += _check_meta(part.meta, part, videos, config.quick)
    for path in layout.annotations:
        by_name = {f"{found.part.split('/')[-1]}-{found.name}": found for found in findings if _is_of(found, path)}
        problems += check_burst(path, by_name, config.quick)
    return layout, findings, list(dict.fromkeys(problems))


def _is_of(found: Findings, path: Path) -> bool:
    """Return whether a video is of the split that an annotation file of BURST lies in."""
    return found.part.split("/")[0] == path.parent.name


def summary(layout: Layout, findings: Sequence[Findings], quick: bool) -> str:
    """Return a table of what is there, a line for each part or set."""
    by_part: dict[str, list[Findings]] = defaultdict(list)
    for found in findings:
        by_part[found.part].append(found)
    names = [part.name for part in layout.parts] + [entry.name for entry in layout.sets]
    names += ["sav_train"] if layout.films else []
    rows = [["part", "videos", "frames", "masks", "objects", "width x height"]]
    for name in names:
        group = by_part[name]
        videos = "" if layout.sets else str(len(group))
        frames, masks = sum(found.frames for found in group), sum(found.masks for found in group)
        objects = "?" if quick else str(sum(len(found.objects) + found.pictured for found in group))
        sizes = sum((Counter(found.sizes) for found in group), Counter[Size]())
        rows.append([name, videos, str(frames), str(masks), objects, _describe(sizes)])
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5)), row[5]]).rstrip()
        for row in rows
    ]
    return "\n".join([f"{layout.root}: {layout.name}", *lines, *_list_lines(layout)])


def _video_tasks(layout: Layout, config: CheckConfig, problems: list[str]) -> Iterator[VideoTask]:
    for part in layout.parts:
        if not part.frames.is_dir():
            problems.append(f"{part.frames} does not exist, {part.masks} does. Add the frames.")
        masks = part.masks if part.masks is not None and part.masks.is_dir() else None
        if part.masks is not None and masks is None:
            problems.append(f"{part.masks} does not exist, {part.frames} does. Add the masks.")
        videos, first_only = part.videos(), part.first_only()
        alone = [name for name in subfolders(masks) if name not in set(videos)] if masks else []
        problems += [f"{part.masks}/{name} has no frames in {part.frames}. Add them or remove it." for name in alone]
        annotated = "every" if config.every_frame and masks else part.annotated
        for name in videos:
            yield VideoTask(
                part=part.name,
                name=name,
                frames=part.frames / name,
                masks=masks and masks / name,
                annotated="first" if name in first_only else annotated,
                quick=config.quick,
                void=part.void,
                objects=part.objects,
            )


def _picture_tasks(layout: Layout, config: CheckConfig, problems: list[str]) -> Iterator[PicturesTask]:
    for entry in layout.sets:
        for folder in entry.folders:
            stems = pictures_of(folder, problems)
            for start in range(0, len(stems), _PICTURES_PER_TASK):
                some = tuple(stems[start : start + _PICTURES_PER_TASK])
                yield PicturesTask(part=entry.name, folder=folder, stems=some, quick=config.quick)


def _check_list(path: Path, part: Part, videos: Mapping[str, Findings]) -> list[str]:
    """Check a list of the data set: names of videos, or in the first release of DAVIS-2016 pairs of files."""
    try:
        names = read_names(path)
    except ValueError as error:
        return [str(error)]
    words = [word for line in read_lines(path) for word in line.split()]
    if not any("/" in word for word in words):
        return _missing_videos(path, names, set(videos), part.frames)
    base = path.parents[2]
    missing = [word for word in words if word.startswith("/") and not (base / word[1:]).is_file()]
    if not missing:
        return []
    return [f"{path} names {len(missing)} files that are not in {base} ({examples(missing)}). Add them."]


def _missing_videos(path: Path, names: Sequence[str], videos: set[str], place: Path) -> list[str]:
    if not names:
        return [f"list {path} is empty: expected one video per line. Copy it again or remove it."]
    missing = [name for name in names if name not in videos]
    if not missing:
        return []
    return [
        f"list {path} names {len(missing)} videos that are not in {place} ({examples(missing)}). "
        "Add the videos or remove the lines."
    ]


def _check_meta(meta: Path, part: Part, videos: Mapping[str, Findings], quick: bool) -> list[str]:
    """Check a meta.json: its videos, the frames that it asks for, the objects that it names."""
    if not meta.is_file():
        return [
            f"{meta} does not exist: it lists objects and the frames to write. Copy it from the data set's archive."
        ]
    try:
        objects = part.read_meta(meta)
    except ValueError as error:
        return [str(error)]
    frames = {name: {frame for some in found.values() for frame in some} for name, found in objects.items()}
    problems = _missing_videos(meta, list(frames), set(videos), part.frames)
    extra = [name for name in videos if name not in frames]
    if extra:
        problems.append(f"{meta} lacks {len(extra)} videos of {part.frames} ({examples(extra)}). Copy it again.")
    for name, found in videos.items():
        missing = sorted(frames.get(name, set()) - found.frame_names)
        if missing:
            problems.append(f"{part.frames / name}: {len(missing)} frames of {meta} are missing ({examples(missing)}).")
        hidden = [] if quick else sorted(set(objects.get(name, ())) - {str(number) for number in found.objects})
        if hidden and found.masks:
            shown = examples(hidden)
            problems.append(
                f"{part.masks}/{name}: no mask shows object {shown}, which {meta} names. Copy the masks again."
            )
    return problems


def _list_lines(layout: Layout) -> list[str]:
    paths = dict.fromkeys(path for part in layout.parts for path in part.lists)
    return [f"list {path.relative_to(layout.root)}: {len(read_lines(path))} names" for path in paths]


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"list {path} does not exist: expected a text file with one video per line.")
    return read_names(path)


def _describe(sizes: Mapping[Size, int]) -> str:
    common = sorted(sizes, key=lambda size: -sizes[size])
    shown = ", ".join(f"{width}x{height}" for height, width in common[:_SIZES_SHOWN])
    return shown + (f" and {len(common) - _SIZES_SHOWN} more" if len(common) > _SIZES_SHOWN else "")


if __name__ == "__main__":
    from util.cli import run  # not above: the processes that read files import this file, too, but need no PyTorch

    run(main, CheckConfig, "check_dataset.py", __doc__ or "")
