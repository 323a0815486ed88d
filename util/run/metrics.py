"""Metrics of the steps since the last line of the log, of all processes."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from util.parallel import distributed

logger = logging.getLogger(__name__)

_NORM = "gradient_norm"  # the one metric that belongs to no clips of its own
# The loss scale starts at 2^16 and halves each time: what is not finite at 2^-16 is no overflow.
MOST_SKIPPED = 32


class StepMetrics:
    """Collects what steps return without waiting for a GPU; the values stay there until `flush`."""

    def __init__(self) -> None:
        """Start empty, with the clock at zero."""
        self._skipped = 0  # steps in a row
        self._start()

    def _start(self) -> None:
        self._steps: list[int] = []
        self._metrics: list[Mapping[str, Tensor]] = []
        self._clips: list[Sequence[Sequence[str]]] = []
        self._redraws = 0
        self._waited = 0.0
        self._since = time.monotonic()

    @property
    def pending(self) -> bool:
        """Whether there are steps since the last flush."""
        return bool(self._steps)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a `with` block as spent waiting for clips."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def add(self, step: int, metrics: Mapping[str, Tensor], clips: Sequence[Sequence[str]], redraws: int = 0) -> None:
        """Remember a step: each metric has a value for each of its parts, `clips` the names of each part's clips.

        `redraws` of these clips were drawn instead of others that could not be read.
        """
        self._redraws += redraws
        self._steps.append(step)
        self._metrics.append(metrics)
        self._clips.append(clips)

    def flush(self, fp16: bool = False) -> dict[str, float]:
        """Return the means since the last flush over all processes, and start anew; every process must come here.

        Beside the metrics: `steps_per_second`, `data_wait` (share of the time spent waiting for clips, of this
        process) and `redraws` (for each step of this process).

        Raises ValueError, with the step, the terms and the clips, if a value was not finite; with `fp16` a gradient
        that overflows is only logged, unless it does `MOST_SKIPPED` times in a row.
        """
        # A loss may begin or end between two lines: it counts in the steps that have it, and is 0 in the others.
        terms = list(dict.fromkeys(term for metrics in self._metrics for term in metrics))
        present = torch.tensor([[term in metrics for term in terms] for metrics in self._metrics])[None, :, None]
        nothing = torch.zeros_like(next(iter(self._metrics[0].values())), dtype=torch.float32)
        own = torch.stack(
            [
                torch.stack([metrics[term].float() if term in metrics else nothing for term in terms], dim=1)
                for metrics in self._metrics
            ]
        )
        seconds = max(time.monotonic() - self._since, 1e-9)  # after the values have come from the device
        gathered = distributed.gather_objects((own.tolist(), self._clips))
        values = torch.tensor([ranks_values for ranks_values, _ in gathered], dtype=torch.float64)  # [ranks,S,A,terms]
        for index, step in enumerate(self._steps):
            names = [part for _, clips in gathered for part in clips[index]]
            skipped = _check_finite(step, terms, values[:, index].flatten(0, 1), names, fp16)
            self._skipped = self._skipped + 1 if skipped else 0
            if self._skipped == MOST_SKIPPED:
                raise ValueError(
                    f"step {step}: gradients were not finite in {MOST_SKIPPED} steps in a row, at any loss scale; the "
                    "run stops. Try a smaller --lr or --precision fp32 or bf16."
                )
        finite = values.isfinite() & present
        rows = (0, 1, 2)
        means = values.where(finite, torch.zeros((), dtype=values.dtype)).sum(rows) / finite.sum(rows).clamp(min=1)
        scalars = dict(zip(terms, means.tolist(), strict=True)) | {
            "steps_per_second": len(self._steps) / seconds,
            "data_wait": self._waited / seconds,
            "redraws": self._redraws / len(self._steps),
        }
        self._start()
        return scalars


def _check_finite(step: int, terms: list[str], values: Tensor, clips: Sequence[Sequence[str]], fp16: bool) -> bool:
    """Raise for values [parts,terms] of a step that are not finite; `clips` are the names of each part's.

    Returns whether the step was skipped for its gradient in fp16.
    """
    bad = ~values.isfinite()
    if not bad.any():
        return False
    found = [term for term, is_bad in zip(terms, bad.any(dim=0).tolist(), strict=True) if is_bad]
    if fp16 and found == [_NORM]:
        logger.warning("step %d: gradients overflowed in fp16; the step was skipped, the loss scale halved", step)
        return True
    # One part's bad loss makes the gradient of all parts bad: its clips are to blame, not the others'.
    own = bad[:, [term != _NORM for term in terms]].any(dim=1).tolist()
    blamed = [part for part, is_bad in zip(clips, own, strict=True) if is_bad] or clips
    raise ValueError(
        f"step {step}: {', '.join(found)} not finite; the run stops. "
        f"Clips: {'; '.join(name for part in blamed for name in part)}. "
        "Try a smaller --lr, --clip_gradient 1 or --precision fp32."
    )
