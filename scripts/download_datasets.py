"""Says where each data set is, downloads those with a direct link, and gives the steps for the others.

python scripts/download_datasets.py
python scripts/download_datasets.py davis2017 davis2017-test-dev duts-tr

Downloads resume where they broke off. A data set's folder appears when it is complete; one that is there is left alone.
Exit status: 0 everything is there, 1 some must be got by hand (the steps are printed), 2 an error.
"""

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.dataset_sources import SOURCES
from util.cli import run
from util.files.archive import unpack
from util.files.download import Options, download


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """What to download.

    Attributes:
        names: data sets; without any, all are listed.
        root: folder that holds the data sets.
        keep_archives: keep the zip files (in ROOT/downloads) after unpacking.
        tries: how often to try without receiving anything before giving up.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    root: Path = Path("data")
    keep_archives: bool = False
    tries: int = 5


def main(config: DownloadConfig) -> None:
    """Download the data sets, or list all; exits with status 1 if some must be got by hand."""
    if not config.names:
        print(listing(config.root))
        return
    names = list(dict.fromkeys(find_source(name) for name in config.names))
    by_hand = [name for name in names if not fetch(name, config)]
    if by_hand:
        print(f"to be got by hand: {', '.join(by_hand)}")
        raise SystemExit(1)


def find_source(name: str) -> str:
    """Return the table's name of a data set; raises ValueError for one that is not in it."""
    key = name.lower()
    if key in SOURCES:
        return key
    near = difflib.get_close_matches(key, SOURCES, n=1, cutoff=0.0)[0]
    raise ValueError(f"unknown data set {name!r}, the nearest is {near}. Known: {', '.join(SOURCES)}.")


def fetch(name: str, config: DownloadConfig) -> bool:
    """Download and unpack a data set unless it is there; without a direct link print the steps and return False."""
    source, place = SOURCES[name], config.root / SOURCES[name].place
    if is_there(place):
        print(f"{name}: {place} is there already (remove it to get it anew)")
        return True
    if source.url is None:
        print(describe(name, config.root))
        return False
    archive = config.root / "downloads" / source.url.rsplit("/", 1)[-1]
    download(source.url, archive, options=Options(tries=config.tries))
    count = unpack(archive, place, required=source.required, flat=source.flat)
    if not config.keep_archives:
        archive.unlink()
    print(f"{name}: {count} files in {place} (to check them: python scripts/check_dataset.py {place})")
    return True


def is_there(place: Path) -> bool:
    """Return whether the folder exists and holds something."""
    return place.is_dir() and any(place.iterdir())


def listing(root: Path) -> str:
    """Return all data sets with page, licence, size, layout, and how to get them."""
    blocks = [describe(name, root) for name in SOURCES]
    return "\n\n".join([*blocks, "Please read the licences on the pages: most allow research only."])


def describe(name: str, root: Path) -> str:
    """Return what there is to know of a data set, in a few lines."""
    source = SOURCES[name]
    place = root / source.place
    lines = [
        f"{name}: {source.title}{' (there)' if is_there(place) else ''}",
        f"  page     {source.page}",
        f"  licence  {source.licence}",
        f"  size     {source.size}",
        f"  layout   {place}: {source.layout}",
    ]
    if source.url is not None:
        lines.append(f"  get it   python scripts/download_datasets.py {name}   (from {source.url})")
    steps = (*source.steps, "check it: python scripts/check_dataset.py {place}") if source.steps else ()
    lines += [f"  {number}. {step.replace('{place}', str(place))}" for number, step in enumerate(steps, 1)]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, DownloadConfig, "download_datasets.py", __doc__ or "")
