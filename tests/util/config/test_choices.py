"""Every choice is accepted wherever it is offered, on the command line too, and nothing else is."""

from typing import get_args

import pytest
import torch

from inference import InferenceConfig
from util import cli
from util.config.choices import Matching, Precision
from util.device import resolve_precision

CHOICES = {"precision": get_args(Precision), "matching": get_args(Matching)}
FLAGS = [(name, value) for name, values in CHOICES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), FLAGS)
def test_every_choice_is_a_flags_value(name: str, value: str) -> None:
    config = cli.parse(InferenceConfig, "program", "", [f"--{name}", value])
    assert getattr(config, name) == value


@pytest.mark.parametrize("name", CHOICES)
def test_other_values_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.parse(InferenceConfig, "program", "", [f"--{name}", "fp8"])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and all(value in message for value in CHOICES[name])


def test_every_precision_becomes_one_to_compute_in() -> None:
    resolved = {name: resolve_precision(torch.device("cpu"), name) for name in get_args(Precision)}
    assert resolved.pop("auto") == "fp32"
    assert all(name == received for name, received in resolved.items()) and len(resolved) == 3
