"""Where results may go: not among the inputs, nor in the place of what no earlier run is known to have written."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from util.files.atomic import atomic_write

FOLDER = ".corrvos"  # in an output folder; hidden, so that scorers and servers see folders of masks only
_RECORD = "places.json"


def check_apart(outputs: Iterable[Path], inputs: Mapping[str, Path]) -> None:
    """Raise ValueError if a place for results is, holds, or lies in one of the inputs (by what they are called)."""
    for output in outputs:
        for what, given in inputs.items():
            relation = _relation(output, given)
            if relation:
                raise ValueError(
                    f"the output {output} {relation} {what} {given}: results would be written among what they are made "
                    "from. Give another --output."
                )


def is_apart(output: Path, inputs: Iterable[Path]) -> bool:
    """Return whether a place is not, holds not, and lies in none of the inputs."""
    return not any(_relation(output, given) for given in inputs)


def claim(output: Path, places: Iterable[Path]) -> None:
    """Record that this program writes these places, in or beside an output folder; later runs may then replace them.

    Raises ValueError, before anything is written, for a place where something lies that no record says is ours.
    OSError if the record can't be written.
    """
    ours = _claimed(output)
    wanted = {_relative(output, place): place for place in places}
    foreign = [place for name, place in wanted.items() if name not in ours and _holds_something(place)]
    if foreign:
        others = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        raise ValueError(
            f"{foreign[0]}{others} is there already, and no record says that this program wrote it: it is kept. "
            "Choose another --output, or move it away."
        )
    if not wanted.keys() <= ours:
        with atomic_write(output / FOLDER / _RECORD) as temporary:
            temporary.write_text(json.dumps({"places": sorted(ours | wanted.keys())}, indent=1))


def _claimed(output: Path) -> set[str]:
    record = output / FOLDER / _RECORD
    if record.is_file():
        try:
            return {str(name) for name in json.loads(record.read_text())["places"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{record} is damaged ({type(error).__name__}: {error}): what is whose in {output} is not known. "
                "Choose another --output, or move this one away."
            ) from error
    # Earlier versions recorded finished videos alone.
    names = [path.stem for path in (output / FOLDER / "videos").glob("*.json")]
    beside = [f"{output.name}_probs/{name}" for name in names] + [f"{output.name}_coco/{name}.json" for name in names]
    own = [*names, *(f"{name}.mp4" for name in names), "scores.json", "scores.csv"]
    return {*own, *(f"../{name}" for name in [*beside, f"{output.name}.zip"])} if names else set()


def _relative(output: Path, place: Path) -> str:
    return Path(os.path.relpath(place, output)).as_posix()


def _holds_something(place: Path) -> bool:
    if place.is_symlink() or not place.is_dir():
        return os.path.lexists(place)
    return any(place.iterdir())


def _relation(output: Path, given: Path) -> str:
    ours, theirs = output.resolve(), given.resolve()
    if _same(ours, theirs):
        return "is"
    if any(_same(ours, parent) for parent in theirs.parents):
        return "contains"
    return "lies inside" if any(_same(parent, theirs) for parent in ours.parents) else ""


def _same(a: Path, b: Path) -> bool:
    """Return whether both are one, on file systems too that do not mind case."""
    try:
        return os.path.samefile(a, b)
    except OSError:  # one of them does not exist
        return a == b
