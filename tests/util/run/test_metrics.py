"""Metrics of steps: what is not finite, and who is to blame."""

import pytest
import torch

from util.config.train import OptimConfig
from util.run.metrics import StepMetrics

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
