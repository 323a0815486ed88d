"""Scalars and pictures of a run: JSON lines for programs, TensorBoard for people."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import Self

from util.files.atomic import atomic_write

FILE = "metrics.jsonl"


class MetricLog:
    """Writes `metrics.jsonl` and TensorBoard's event files into the folder of a run; use it in a `with` block."""

    def __init__(self, folder: Path, resumed_at: int | None = None) -> None:
        """Open both files; what is added follows what is there.

        Args:
            folder: of the run; made if it is missing.
            resumed_at: the steps that the run continues from. What the log says of later steps is taken back: they
                are done again. None keeps all.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        if resumed_at is not None and path.exists():
            _truncate(path, resumed_at)
        self._lines = path.open("a", encoding="utf-8")
        # TensorBoard hides what earlier files say of steps from `purge_step` on.
        self._board = SummaryWriter(str(folder), purge_step=None if resumed_at is None else resumed_at + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write named scalars of a step; a value that is not finite becomes null in the JSON line."""
        plain = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **plain}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def images(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Show named pictures [H,W,3] uint8 of a step in TensorBoard."""
        for name, picture in pictures.items():
            self._board.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Close both files."""
        self._lines.close()
        self._board.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close both files."""
        self.close()


def read_scalars(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a `metrics.jsonl`, each with "step" and named scalars; None for one that was not finite.

    A last line that a killed run left unfinished is left out.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when another line is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: expected the log that train.py writes into the run's folder.")
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    entries = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line break was never finished
        try:
            entry = json.loads(line)
            int(entry["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path}, line {number}: expected {{"step": ..., ...}}, received {line[:60]!r}. Remove the line.'
            ) from error
        entries.append(entry)
    return entries


def _truncate(path: Path, last_step: int) -> None:
    kept = [entry for entry in read_scalars(path) if entry["step"] <= last_step]
    with atomic_write(path) as temporary:
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
