"""The released XMem beside ours, frame by frame in turns; `scripts/benchmark.py --against FOLDER` runs it.

Each code has a process of its own. The parent asks both for the same frame, one after the other, and changes who is
first from frame to frame, so that noise hits both alike: the ratio of a frame's two times swings less than either.
"""

import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks.peer import Task

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("model/network.py", "inference/inference_core.py")  # by which the released XMem is known
WARM_UP = 2  # ordinary frames that are not counted

Ask = Callable[[str, Any], Any]  # request, argument -> answer: see `peer.Side`


@dataclass(frozen=True, kw_only=True)
class Row:
    """What two codes took for the same frames.

    Attributes:
        ours: median seconds of a frame.
        released: the same of the released code.
        ratio: median of the frame-by-frame ratios, ours / released.
        peak_ours: peak memory of the process in MB.
        peak_released: the same of the released code.
        difference: the largest difference of a probability on the last frame.
    """

    ours: float
    released: float
    ratio: float
    peak_ours: float
    peak_released: float
    difference: float


def check_folder(folder: Path) -> None:
    """Raise ValueError for a folder that is no checkout of the released XMem."""
    for name in NEEDED:
        if not (folder / name).is_file():
            raise ValueError(
                f"--against {folder}: no {name} there: expected a checkout of the released XMem "
                "(git clone https://github.com/hkchengrex/XMem)"
            )


@contextlib.contextmanager
def peer(kind: str, folder: Path) -> Iterator[Ask]:
    """Start a process of `scripts/benchmarks/peer.py`; yields what asks it. Ends it afterwards."""
    here, there = multiprocessing.Pipe()
    words = [sys.executable, str(ROOT / "scripts" / "benchmarks" / "peer.py"), kind, str(folder), str(there.fileno())]
    # The released constructor talks on standard output.
    process = subprocess.Popen(words, pass_fds=(there.fileno(),), stdout=subprocess.DEVNULL)
    there.close()

    def ask(request: str, argument: Any = None) -> Any:
        try:
            here.send((request, argument))
            fine, answer = here.recv()
        except (EOFError, OSError):
            fine, answer = False, f"its process ended with status {process.wait()}"
        if not fine:
            raise ValueError(f"the {kind} code in {folder} can't {request}: {answer}")
        return answer

    try:
        yield ask
    finally:
        here.close()
        process.wait()


def compare(ours: Ask, released: Ask, frames: int) -> Row:
    """Ask two started peers for the same frames in turns, the first of a frame being the second of the next."""
    pairs = []
    for number in range(1, WARM_UP + frames + 1):
        taken = {ask: ask("frame", number) for ask in ((ours, released) if number % 2 else (released, ours))}
        if number > WARM_UP:
            pairs.append((taken[ours], taken[released]))
    peaks = ours("peak", None), released("peak", None)
    apart = np.abs(ours("probabilities", None) - released("probabilities", None))
    return Row(
        ours=statistics.median(a for a, _ in pairs),
        released=statistics.median(b for _, b in pairs),
        ratio=statistics.median(a / b for a, b in pairs),
        peak_ours=peaks[0],
        peak_released=peaks[1],
        difference=float(apart.max()),
    )


def measure(folder: Path, task: Task, frames: int) -> Row:
    """Start both sides, ours first, whose weights the released code then reads, and compare them."""
    with peer("ours", ROOT) as ours, peer("released", folder.resolve()) as released:
        for ask in (ours, released):
            ask("start", asdict(task))
        return compare(ours, released, frames)


def print_rows(folder: Path, objects: Sequence[int], frames: int, **task: Any) -> None:
    """Print a line for each number of objects; `task` is the rest of a `Task`, without its weights.

    Raises ValueError for a folder without the released code, and where one of the codes fails.
    """
    check_folder(folder)
    print("XMem, ours and released: ordinary frames, one frame in memory, the same random weights and frames, in turns")
    print("objects  s/frame ours  released  ratio  peak MB ours  released  largest difference")
    for count in objects:
        with tempfile.TemporaryDirectory() as place:
            row = measure(folder, Task(weights=f"{place}/weights.pth", objects=count, **task), frames)
        print(
            f"{count:>7}{row.ours:14.3f}{row.released:10.3f} {row.ratio:6.3f}"
            f"{row.peak_ours:14.0f}{row.peak_released:10.0f}{row.difference:20.1e}",
            flush=True,
        )
