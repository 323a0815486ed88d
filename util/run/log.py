"""Scalars and pictures of a run: JSON lines for programs, TensorBoard for people."""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import Self

from util.files.atomic import atomic_write

logger = logging.getLogger(__name__)

FILE = "metrics.jsonl"
JUDGED = "validation/"  # begins the names of a validation's figures


class MetricLog:
    """Writes `metrics.jsonl` and TensorBoard's event files into the folder of a run; use it in a `with` block."""

    def __init__(self, folder: Path, step: int = 0, keep: Callable[[Mapping[str, Any]], bool] | None = None) -> None:
        """Open both files; what is added follows what is there.

        Args:
            folder: of the run; made if it is missing.
            step: the steps that the run continues from. What the log says of later steps is taken back: they are done
                again. So are lines that a kill or a disk has damaged.
            keep: whether an entry of `step` or before stays; all do without it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        if path.exists():
            _truncate(path, lambda entry: entry["step"] <= step and (keep is None or keep(entry)))
        self._lines = path.open("a", encoding="utf-8")
        # TensorBoard hides what earlier files say of steps from `purge_step` on.
        self._board = SummaryWriter(str(folder), purge_step=step + 1)

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
    entries = []
    for number, line, entry in _lines(path):
        if entry is None:
            raise ValueError(
                f'{path}, line {number}: expected {{"step": ..., ...}}, received {line[:60]!r}. Remove the line.'
            )
        entries.append(entry)
    return entries


def _lines(path: Path) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
    """Yield the number and the text of each finished line, and what it says; None for a damaged one."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line break was never finished
        try:
            entry = json.loads(line)
            int(entry["step"])
        except (ValueError, KeyError, TypeError):
            yield number, line, None
        else:
            yield number, line, entry


def open_log(folder: Path, step: int, again: bool) -> MetricLog:
    """Open a run's log at `step`; the figures of its validation, if it is to be done `again`, are taken back."""

    def keep(entry: Mapping[str, Any]) -> bool:
        return not (again and entry["step"] == step and any(name.startswith(JUDGED) for name in entry))

    return MetricLog(folder, step, keep)


def _truncate(path: Path, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    kept = []
    for number, line, entry in _lines(path):
        if entry is None:
            logger.warning("%s, line %d is damaged and left out: %r", path, number, line[:60])
        elif keep(entry):
            kept.append(line + "\n")
    with atomic_write(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
