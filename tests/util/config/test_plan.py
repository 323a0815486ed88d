"""From a command line to a resolved run."""

import json

import pytest
import torch

import train
from util.config.train import OptimConfig

CPU = torch.device("cpu")
OPTIM = OptimConfig(optimizer="adam", lr=1.0, weight_decay=0.0)


def test_print_config_prints_the_resolved_run(capsys: pytest.CaptureFixture[str]) -> None:
    train.command_line(["--model", "stcn", "--stage=3", "--lr", "0.5", "--print_config"])
    shown = json.loads(capsys.readouterr().out)
    assert (shown["model"], shown["stage"], shown["iterations"]) == ("stcn", "3", 150_000)
    assert (shown["optim"]["lr"], shown["optim"]["optimizer"], shown["loss"]["dice"]) == (0.5, "adam", 0.0)


def test_the_help_groups_flags_and_shows_the_presets_values(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.command_line(["--model", "stcn", "--stage", "03", "--help"])
    assert stop.value.code in (0, None)
    shown = capsys.readouterr().out
    for word in ("data options", "clip options", "optim options", "validation options", "--accumulate", "300000"):
        assert word in shown


def test_a_chain_prints_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    train.command_line(["--stage", "012", "--batch_size", "4", "--print_config"])
    stages = json.loads(capsys.readouterr().out)
    assert [stage["stage"] for stage in stages] == ["0", "1", "2"]
    assert [stage["iterations"] for stage in stages] == [150_000, 250_000, 160_000]
    assert {stage["batch_size"] for stage in stages} == {4}
    assert [stage["checkpoint"] for stage in stages] == [
        None,
        "runs/xmem-base-s012/stage0/last.pth",
        "runs/xmem-base-s012/stage1/last.pth",
    ]
