"""Configurations as plain values."""

from util.config.plain import from_plain, plain
from util.config.presets import preset
from util.config.train import TrainConfig


def test_a_configuration_comes_back_from_json() -> None:
    for model, stage in (("xmem", "0"), ("stcn-corr", "3")):
        run = preset(model, "base", stage)
        assert from_plain(TrainConfig, plain(run)) == run
    newer = {**plain(preset("xmem")), "of_a_newer_program": 1}
    del newer["seed"]
    assert from_plain(TrainConfig, newer) == preset("xmem"), "what is missing takes its default"
