"""Progress bars on stderr: for work done piece by piece, and for a training run."""

import io
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import progressbar

R = TypeVar("R")

_SHOWN = "step %(step)d  loss %(loss).3f  IoU %(iou).3f  data wait %(wait)3.0f%%  "
_LEFT = "  %(left)s left"
_UNITS = 10_000  # the bar counts the share of the run, so that its end fits runs limited by time, too


class CurrentStderr(io.TextIOBase):
    """The standard error of the moment: progressbar keeps that of its first bar, which may be closed by now."""

    def write(self, text: str) -> int:
        """Write to it."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush it."""
        sys.stderr.flush()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return sys.stderr.isatty()


class TenthsBar(progressbar.ProgressBar):  # type: ignore[misc]
    """A bar for a log file: a line for each tenth of the way."""

    _told = -1

    def update(self, value: Any = None, force: bool = False, **variables: Any) -> None:
        """Show a value if it is in another tenth than the one shown last."""
        if self.start_time is None:
            self.start()  # shows the beginning
        end = self.max_value
        tenth = int(10 * value / end) if isinstance(value, int | float) and isinstance(end, int | float) and end else -1
        if tenth > self._told:
            self._told = tenth
            super().update(value, force=True, **variables)


def bar_kind(shown: bool = True) -> type[progressbar.ProgressBar]:
    """Return the kind of bar for standard error as it is now: moving, in lines of a log, or none."""
    if not shown:
        return progressbar.NullBar
    return progressbar.ProgressBar if sys.stderr.isatty() else TenthsBar


def with_progress(results: Iterable[R], total: int, label: str, units: Callable[[R], int] = lambda _: 1) -> Iterator[R]:
    """Yield the results and show on stderr how many of `total` are done; a result may count for several."""
    done = 0
    with bar_kind()(max_value=max(total, 1), prefix=f"{label} ", fd=CurrentStderr()) as bar:
        for result in results:
            yield result
            done += units(result)
            bar.update(min(done, max(total, 1)))


def with_speed(
    results: Iterable[R], total: int, label: str, unit: str, units: Callable[[R], int] = lambda _: 1
) -> Generator[R, None, None]:
    """Do as `with_progress`, and show how many of the `unit`, such as "frames", are done per second, and the time left.

    Results may be taken at any pace: what is shown is the mean since the first was asked for.
    """
    done, began = 0, time.monotonic()
    text = progressbar.FormatCustomText("  %(speed).2f " + unit + "/s" + _LEFT, {"speed": 0.0, "left": "?"})
    widgets = [f"{label} ", progressbar.SimpleProgress(), " ", progressbar.Bar(), text]
    with bar_kind()(max_value=max(total, 1), widgets=widgets, fd=CurrentStderr()) as bar:
        for result in results:
            done += units(result)
            seconds = max(time.monotonic() - began, 1e-9)
            text.update_mapping(speed=done / seconds, left=time_left(0.0, min(done / max(total, 1), 1.0), seconds))
            bar.update(min(done, max(total, 1)))
            yield result


class TrainingBar:
    """Shows the share done, step, loss, IoU, share of time spent waiting for data, and the time left."""

    def __init__(self, start: float = 0.0, shown: bool = True) -> None:
        """Start where the run starts: `start`, in [0, 1], is above 0 for one that is resumed.

        Only one of several processes should have its bar `shown`.
        """
        self._start, self._began = start, time.monotonic()
        self._progress = start
        # progressbar's own share is that before the first line, and 100 % after the last.
        self._share = progressbar.FormatCustomText("%(share)3d%%", {"share": 0})
        self._text = progressbar.FormatCustomText(_SHOWN, {"step": 0, "loss": 0.0, "iou": 0.0, "wait": 0.0})
        # progressbar's own estimate would count what was done before a resume as done now.
        self._left = progressbar.FormatCustomText(_LEFT, {"left": "?"})
        widgets = [self._share, " ", self._text, progressbar.Bar(), self._left]
        kind = progressbar.ProgressBar if shown else progressbar.NullBar  # in a log, too: its lines say how it learns
        self._bar = kind(max_value=_UNITS, widgets=widgets, fd=CurrentStderr())

    def show(self, progress: float, step: int, scalars: Mapping[str, float]) -> None:
        """Show the state after a step: `progress` in [0, 1], and the scalars loss, iou and data_wait."""
        wait = 100 * scalars["data_wait"]
        self._progress = progress
        self._share.update_mapping(share=min(int(100 * progress), 100))
        self._text.update_mapping(step=step, loss=scalars["loss"], iou=scalars["iou"], wait=wait)
        self._left.update_mapping(left=time_left(self._start, progress, time.monotonic() - self._began))
        self._bar.update(min(int(progress * _UNITS), _UNITS))

    def close(self) -> None:
        """Leave the bar as it is; a run that stopped early does not show 100 %."""
        self._bar.finish(dirty=self._progress < 1)


def time_left(start: float, progress: float, seconds: float) -> str:
    """Return the time left, such as "2 d 3:04:05", when `seconds` took a run from the share `start` to `progress`."""
    if progress <= start:
        return "?"
    left = round(seconds * max(1 - progress, 0.0) / (progress - start))
    days, hours, minutes = left // 86400, left // 3600 % 24, left // 60 % 60
    return f"{f'{days} d ' if days else ''}{hours}:{minutes:02d}:{left % 60:02d}"


@contextmanager
def training_bar(start: float = 0.0, shown: bool = True) -> Iterator[TrainingBar]:
    """Show a bar on stderr for the length of a `with` block; arguments as `TrainingBar`."""
    bar = TrainingBar(start, shown)
    try:
        yield bar
    finally:
        bar.close()
