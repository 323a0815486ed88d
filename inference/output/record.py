"""What an output folder holds: which run wrote it, and which videos are finished."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.output.places import FOLDER, claim
from util.files.atomic import atomic_write

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """What segmenting a video took: its objects, the frames that held any, and the seconds (reading, writing aside)."""

    name: str
    objects: int
    frames: int
    seconds: float


def digest(path: Path) -> str:
    """Return the name of a file, or of a folder of files, with the start of the SHA-256 of what it holds.

    Raises FileNotFoundError if it is missing.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    state = hashlib.sha256()
    for file in sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            state.update(file.name.encode())
        with file.open("rb") as content:
            while block := content.read(2**20):
                state.update(block)
    return f"{path.name} ({state.hexdigest()[:16]})"


def open_output(output: Path, settings: Mapping[str, Any], places: Iterable[Path], overwrite: bool) -> None:
    """Prepare an output folder for a run with these `settings` (JSON values) that writes these `places`.

    With the same settings as before, finished videos stay finished. `overwrite` forgets them.
    Raises ValueError if the folder was written with other settings (results of different runs never mix silently), or
    holds in one of the places what no run is known to have written. OSError if the folder can't be written.
    """
    record, videos = output / FOLDER / "run.json", output / FOLDER / "videos"
    goes_on = record.is_file() and any(videos.glob("*.json")) and not overwrite
    if goes_on:
        _check_same(record, settings)
    claim(output, places)
    if not goes_on:
        shutil.rmtree(videos, ignore_errors=True)
        with atomic_write(record) as temporary:
            temporary.write_text(json.dumps(settings, indent=1))


def read_result(output: Path, video: str) -> VideoResult | None:
    """Return the result of a video that this folder's run finished, or None."""
    path = _result_path(output, video)
    try:
        return VideoResult(**json.loads(path.read_text())) if path.is_file() else None
    except (ValueError, TypeError) as error:
        logger.warning("%s is damaged (%s): %s is segmented again", path, error, video)
        return None


def write_result(output: Path, result: VideoResult) -> None:
    """Record that a video is finished; call it when its masks are on disk."""
    with atomic_write(_result_path(output, result.name)) as temporary:
        temporary.write_text(json.dumps(asdict(result)))


def results_table(results: list[VideoResult]) -> str:
    """Return a table of the videos: objects, frames, and frames per second of segmenting."""
    total = VideoResult(
        name=f"all {len(results)} videos",
        objects=sum(result.objects for result in results),
        frames=sum(result.frames for result in results),
        seconds=sum(result.seconds for result in results),
    )
    width = max(len(result.name) for result in [total, *results])
    rows = [f"{'video':<{width}}  objects  frames     FPS"]
    for result in [*results, total]:
        speed = f"{result.frames / result.seconds:.1f}" if result.seconds else "-"
        rows.append(f"{result.name:<{width}}  {result.objects:>7}  {result.frames:>6}  {speed:>6}")
    rule = "-" * len(rows[0])
    return "\n".join([rows[0], rule, *rows[1:-1], rule, rows[-1]])


def _result_path(output: Path, video: str) -> Path:
    return output / FOLDER / "videos" / f"{video}.json"


def _check_same(record: Path, settings: Mapping[str, Any]) -> None:
    output = record.parent.parent
    try:
        before, now = dict(json.loads(record.read_text())), json.loads(json.dumps(settings))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{record} is damaged ({error}): how {output} was written is not known. Choose another --output, or start "
            "over with --overwrite."
        ) from error
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        differences = ", ".join(f"{key} {before.get(key)!r} (now {now.get(key)!r})" for key in changed)
        raise ValueError(
            f"{output} was written with other settings: {differences}: choose another --output, or start over with "
            "--overwrite"
        )
