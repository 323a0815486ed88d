"""eval.py on small videos: its command line, what it wrote, and what it refused."""

import json
from pathlib import Path

import numpy as np
import pytest

import eval as program
from tests.support.toy_videos import write_video
from util.files.palette import read_mask

LENGTHS = {"bear": 5, "camel": 4}
D16 = ["--dataset", "d16", "--root", "davis/trainval"]
D17 = ["--dataset", "d17", "--root", "davis"]
TINY = ["--checkpoint", "tiny.pth", "--device", "cpu", "--size", "32"]


def evaluate(*words: object) -> None:
    program.command_line([str(word) for word in words])


def segment(*words: object, output: str = "out") -> None:
    d17 = ["--dataset", "d17", "--root", "davis"]
    evaluate(*d17, "--checkpoint", "tiny.pth", "--size", 32, "--device", "cpu", "--output", output, *words)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run eval.py, which must exit with status 2 and one line; returns it without `error: `."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        evaluate(*words)
    last = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and last.startswith("error: ")
    return last.removeprefix("error: ")


def masks(output: Path) -> dict[str, np.ndarray]:
    return {str(file.relative_to(output)): read_mask(file) for file in sorted(output.glob("*/*.png"))}


def times(output: Path) -> dict[str, int]:
    return {file.parent.name + file.name: file.stat().st_mtime_ns for file in output.glob("*/*.png")}


def youtube(root: Path) -> None:
    write_video(root / "valid/JPEGImages/fox", root / "valid/Annotations/fox", length=5)
    objects = {"1": {"category": "fox", "frames": ["00000", "00002"]}, "2": {"category": "fox", "frames": ["00004"]}}
    (root / "valid/meta.json").write_text(json.dumps({"videos": {"fox": {"objects": objects}}}))
