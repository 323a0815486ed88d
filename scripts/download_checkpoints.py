"""Downloads released checkpoints: resumes what was broken off, checks what came, and says where the others are.

python scripts/download_checkpoints.py

python scripts/download_checkpoints.py XMem.pth stcn.pth
"""

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model.network import ModelConfig
from model.weights import extract_weights, identify
from util.cli import run
from util.files.checkpoint import read_checkpoint
from util.files.download import Options, download, file_sha256

_XMEM = "https://github.com/hkchengrex/XMem/releases"
_STCN = "https://github.com/hkchengrex/STCN/releases"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A released file.

    Attributes:
        what: the network and its training.
        url: direct link, or None for a file that only a browser gets.
        page: the page that links to it.
        size: its bytes, where known.
        sha256: its checksum, where known. None is published for the files below: those are checked by loading them.
        steps: how to get it by hand, without a direct link.
    """

    what: str
    page: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    steps: str = ""


def _xmem(name: str, what: str) -> Release:
    return Release(what=what, url=f"{_XMEM}/download/v1.0/{name}", page=f"{_XMEM}/tag/v1.0")


RELEASES = {
    "XMem.pth": _xmem("XMem.pth", "XMem, all stages"),
    "XMem-s012.pth": _xmem("XMem-s012.pth", "XMem, stages 0, 1 and 2"),
    "XMem-s2.pth": _xmem("XMem-s2.pth", "XMem, stage 2 alone"),
    "XMem-no-sensory.pth": _xmem("XMem-no-sensory.pth", "XMem without sensory memory"),
    "stcn.pth": Release(what="STCN, all stages", url=f"{_STCN}/download/1.0/stcn.pth", page=f"{_STCN}/tag/1.0"),
    "stcn-corr": Release(
        what="STCN + correspondence, by the paper's authors",
        page="https://github.com/wenguanwang/VOS_Correspondence/releases/tag/CKPT",
        steps="open the page, download the checkpoint that its assets list (unpack it if it is an archive), and give "
        "it to --checkpoint: the network is read from the file",
    ),
}


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """What to download.

    Attributes:
        names: files to download, as the list shows them (`.pth` may be left out); without any, the list is shown.
        list: list the files and stop.
        output: folder to put them into.
        tries: how often to try without receiving anything before giving up.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    list: bool = False
    output: Path = Path("checkpoints")
    tries: int = 5


def main(config: DownloadConfig) -> None:
    """Download the files, or list them."""
    if config.list or not config.names:
        print(listing())
        return
    names = [find_release(name) for name in config.names]
    for name in names:
        fetch(name, RELEASES[name], config.output, Options(tries=config.tries))


def find_release(name: str) -> str:
    """Return the table's name of a file; raises ValueError for one that is not in it."""
    by_lower = {known.lower(): known for known in RELEASES}
    for candidate in (name.lower(), f"{name.lower()}.pth"):
        if candidate in by_lower:
            return by_lower[candidate]
    near = difflib.get_close_matches(candidate, by_lower, n=1)
    hint = f", the nearest is {by_lower[near[0]]}" if near else ""
    raise ValueError(f"unknown file {name!r}{hint}. Known: {', '.join(RELEASES)}")


def fetch(name: str, release: Release, output: Path, options: Options) -> None:
    """Download one file and check that it is a checkpoint of a known network; prints where it is and what it holds."""
    if release.url is None:
        raise ValueError(f"{name} has no direct link: {release.steps}. Page: {release.page}")
    path = download(release.url, output / name, size=release.size, sha256=release.sha256, options=options)
    config = describe(path)
    print(f"{path}: {config.name} ({config.size}), {path.stat().st_size:,} bytes, SHA-256 {file_sha256(path)}")


def describe(path: Path) -> ModelConfig:
    """Return the architecture that a checkpoint is for; raises ValueError if the file is damaged or something else."""
    source = f"checkpoint {path}"
    return identify(extract_weights(read_checkpoint(path), source), source)


def listing() -> str:
    """Return the table of files, one for each line, with those that only a browser gets at the end."""
    width = max(map(len, RELEASES))
    lines = [
        f"{name.ljust(width)}  {release.what}: {release.url or release.page}" for name, release in RELEASES.items()
    ]
    by_hand = [f"{name}: {release.steps}." for name, release in RELEASES.items() if release.url is None]
    return "\n".join([*lines, "", *by_hand])


if __name__ == "__main__":
    run(main, DownloadConfig, "download_checkpoints.py", __doc__ or "")
