"""Kills a training under torchrun again and again, and compares what it leaves with the same training left alone.

python -m tests.support.kills FOLDER COUNT goes on with what FOLDER holds until COUNT kills are on record.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tests.support.paths import ROOT
from tests.support.runs import ENVIRONMENT, flags
from tests.support.toy_videos import write_davis
from util.files.checkpoint import read_checkpoint
from util.run.folder import read_newest

STEPS = 40
# When a run is killed, and how: all of its processes at once, as by a machine that fails, or one of them.
MOMENTS = ("training", "validation", "writing")
WAYS = ("SIGTERM torchrun", "SIGKILL all", "SIGKILL torchrun", "SIGKILL rank 0", "SIGTERM all")
_TIMES = ("seconds", "config", "best", "validated")  # of a state, what a clock or a validation changes
_CLOCK = ("clips_per_second", "data_wait", "minutes")


def digest(state: Mapping[str, Any]) -> str:
    """Return a fingerprint of a training state, of all but its time and its best score."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.update(f"{value.dtype} {tuple(value.shape)}".encode())
            found.update(value.detach().contiguous().cpu().numpy().tobytes())
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                found.update(repr(key).encode())
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                add(item)
        else:
            found.update(repr(value).encode())

    add({name: value for name, value in state.items() if name not in _TIMES})
    return found.hexdigest()


def words(place: Path, run: Path) -> list[str]:
    """The command line of the training: two ranks, each with a process that loads, and validation every 6 steps."""
    root = place / "davis" / "trainval"
    if not root.is_dir():
        write_davis(place / "davis", {"a": 5, "b": 4})
    more = (
        f"--iterations {STEPS} --log_every 1 --save_every 2 --keep 3 --num_workers 1 --gather_negatives --resume auto"
    )
    more += f" --validate_every 6 --val_dataset d17 --val_root {place / 'davis'} --val_size -1 --ema 0.9"
    return flags(root, run, *more.split())


def start(place: Path, run: Path, case: str) -> "subprocess.Popen[bytes]":
    """Start or go on with the training."""
    (place / "words").write_text(" ".join(words(place, run)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(ROOT / "tests" / "support" / "ddp_worker.py"), case, str(place)]
    with (place / "log").open("ab") as log:
        return subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stdout=log, stderr=log)


def children(process: int) -> list[int]:
    """All processes below a process (of Linux), nearest first."""
    own = [int(word) for path in Path(f"/proc/{process}/task").glob("*/children") for word in path.read_text().split()]
    return own + [below for child in own for below in children(child)]


def wait(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = 150) -> bool:
    """Wait for a condition; False when the process has ended or the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def newest_step(run: Path) -> int:
    """Return the last step that a log tells of."""
    log = run / "metrics.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.is_file() else []
    return max((json.loads(line)["step"] for line in lines), default=0)


def kill_once(place: Path, run: Path, moment: str, way: str, draw: random.Random) -> dict[str, Any]:
    """Start the training, kill it at a moment, and say what became of it; "over" if it ended before."""
    began = newest_step(run)
    process = start(place, run, "words")
    # The log of a resumed run is cut back first; a step of its own shows that it trains.
    saved = len(list(run.glob("step-*.pth")))
    wait(lambda: (run / "run.lock").is_file(), process)
    patterns = {"validation": ".validation.*", "writing": ".*.tmp.pth"}
    if moment == "training":
        seen = wait(lambda: newest_step(run) > began, process)
        time.sleep(draw.uniform(0, 0.5))
    else:
        seen = wait(lambda: any(run.glob(patterns[moment])), process)
        time.sleep(draw.uniform(0, 0.02))
    if not seen and process.poll() is not None:
        return {"moment": moment, "way": way, "over": process.returncode}
    below = children(process.pid)
    number, whom = getattr(signal, way.split()[0]), way.partition(" ")[2]
    rank = below[:1]
    for target in {"torchrun": [process.pid], "rank 0": rank, "all": [process.pid, *below]}[whom]:
        try:
            os.kill(target, number)
        except ProcessLookupError:
            pass
    process.wait()
    end = time.monotonic() + 60
    while any(Path(f"/proc/{one}").exists() for one in below) and time.monotonic() < end:
        time.sleep(0.05)
    left = [one for one in below if Path(f"/proc/{one}").exists()]
    newest = read_newest(run)
    outcome = {"moment": moment, "way": way, "caught": seen, "checkpoints": saved, "left": len(left)}
    if newest is None:
        return outcome | {"step": 0, "same": True}
    truth = json.loads((place / "digests.json").read_text())
    step = newest[1]["step"]
    return outcome | {"step": step, "logged": newest_step(run), "same": digest(newest[1]) == truth[str(step)]}


def is_same(place: Path, run: Path) -> bool:
    """Return whether a training that has come to its end has left what the one left alone has left."""
    whole = place / "whole"
    names = ("last.pth", "best.pth")
    ours, theirs = ([read_checkpoint(folder / name) for name in names] for folder in (run, whole))
    same = [digest(a) == digest(b) for a, b in zip(ours, theirs, strict=True)]
    same += [ours[0][name] == theirs[0][name] for name in ("best", "validated", "step")]
    logs = []
    for folder in (run, whole):
        entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        logs.append([{name: value for name, value in entry.items() if name not in _CLOCK} for entry in entries])
    rest = [path.name for path in run.iterdir() if path.name.startswith(".") or path.name.endswith(".lock")]
    return all([*same, logs[0] == logs[1], not rest])


def campaign(place: Path, count: int) -> list[dict[str, Any]]:
    """Go on until `count` kills are on record, in as many trainings as that takes; return the record.

    The last training goes on to its end. Each record of a kill says whether the newest checkpoint was that of the
    training left alone at that step ("same"); each of an end, whether all that was left is ("finished").
    """
    place.mkdir(parents=True, exist_ok=True)
    record = place / "kills.json"
    kills: list[dict[str, Any]] = json.loads(record.read_text()) if record.is_file() else []
    if not (place / "digests.json").is_file():
        assert start(place, place / "whole", "digests").wait() == 0, (place / "log").read_text()[-2000:]

    def note(outcome: dict[str, Any]) -> None:
        kills.append(outcome)
        record.write_text(json.dumps(kills, indent=1))
        sys.stderr.write(f"{outcome}\n")

    while True:
        done = sum("same" in kill for kill in kills)
        run = place / f"run{sum('finished' in kill for kill in kills)}"
        if done >= count:
            break
        outcome = kill_once(place, run, MOMENTS[done % 3], WAYS[(done + done // 3) % len(WAYS)], random.Random(done))
        note(outcome | {"finished": is_same(place, run)} if "over" in outcome else outcome)
    if run.is_dir():
        start(place, run, "words").wait()
        note({"finished": is_same(place, run)})
    return kills


if __name__ == "__main__":
    campaign(Path(sys.argv[1]), int(sys.argv[2]))
