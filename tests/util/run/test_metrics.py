"""Metrics of steps: what is not finite, and who is to blame."""

import pytest
import torch

from util.config.train import OptimConfig
from util.run.metrics import MOST_SKIPPED, StepMetrics

CPU = torch.device("cpu")
OPTIM = OptimConfig(optimizer="adam", lr=1.0, weight_decay=0.0)


def test_fp16_overflow_is_said_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    pending = StepMetrics()
    metrics = {"loss": torch.tensor([2.0]), "gradient_norm": torch.tensor([float("inf")])}
    pending.add(1, metrics, [("a",)])
    pending.add(2, metrics | {"gradient_norm": torch.tensor([4.0])}, [("b",)])
    scalars = pending.flush(fp16=True)
    assert (scalars["loss"], scalars["gradient_norm"]) == (2.0, 4.0)
    assert "step 1: gradients overflowed in fp16; the step was skipped" in caplog.text
    pending.add(3, metrics | {"loss": torch.tensor([float("inf")])}, [("c",)])
    with pytest.raises(ValueError, match="step 3: loss, gradient_norm not finite; the run stops. Clips: c. Try"):
        pending.flush(fp16=True)


def test_only_the_clips_of_a_part_that_is_not_finite_are_named() -> None:
    pending = StepMetrics()
    nan = float("nan")
    pending.add(
        7, {"loss": torch.tensor([1.0, nan]), "gradient_norm": torch.tensor([nan, nan])}, [("a", "b"), ("c", "d")]
    )
    with pytest.raises(ValueError, match="step 7: loss, gradient_norm not finite; the run stops. Clips: c; d. Try"):
        pending.flush()


def test_a_gradient_that_is_never_finite_ends_the_run() -> None:
    pending = StepMetrics()
    bad, good = ({"loss": torch.tensor([2.0]), "gradient_norm": torch.tensor([norm])} for norm in (float("nan"), 1.0))
    for step in range(1, MOST_SKIPPED):
        pending.add(step, bad, [("a",)])
    pending.add(MOST_SKIPPED, good, [("a",)])
    pending.flush(fp16=True)  # what ends in time is an overflow
    for step in range(100, 100 + MOST_SKIPPED):
        pending.add(step, bad, [("a",)])
        if step < 99 + MOST_SKIPPED:
            pending.flush(fp16=True)
    with pytest.raises(ValueError, match=f"step {99 + MOST_SKIPPED}: gradients were not finite in {MOST_SKIPPED} "):
        pending.flush(fp16=True)


def test_a_loss_may_begin_and_end_between_two_lines() -> None:
    pending = StepMetrics()
    one = {"loss": torch.tensor([1.0, 3.0])}
    pending.add(1, one | {"ends": torch.tensor([4.0, 6.0])}, [("a",), ("b",)])
    pending.add(2, one | {"begins": torch.tensor([7.0, 9.0])}, [("a",), ("b",)])
    pending.add(3, one | {"begins": torch.tensor([8.0, 8.0])}, [("a",), ("b",)])
    scalars = pending.flush()
    assert (scalars["loss"], scalars["ends"], scalars["begins"]) == (2.0, 5.0, 8.0)
    pending.add(4, one, [("a",), ("b",)])
    pending.add(5, one | {"begins": torch.tensor([1.0, float("nan")])}, [("a",), ("b",)])
    with pytest.raises(ValueError, match="step 5: begins not finite; the run stops. Clips: b"):
        pending.flush()
