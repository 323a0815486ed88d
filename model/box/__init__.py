"""The network in the box: a small trained XMem, so that the project segments a video without any download.

`MODEL_CARD.md` beside the weights says what they were trained on, what they reach and what they can't do.
"""

import os
from pathlib import Path

NAME = "box"
WEIGHTS = Path(__file__).with_name("xmem-small.pth")
SIZE = 240  # pixels of the shorter side that it was trained for
NOTICE = (
    "no checkpoint given: taking the small network in the box (XMem, trained for 240p on a CPU; good for a first look, "
    "not for results: model/box/MODEL_CARD.md). The large ones: scripts/download_checkpoints.py."
)


def checkpoint_path(path: str | os.PathLike[str]) -> Path:
    """Return the file that a checkpoint's name stands for: the packaged weights for `box`, else the path itself."""
    return WEIGHTS if os.fspath(path) == NAME else Path(path)
