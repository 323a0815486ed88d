"""Inference settings as flags."""

import dataclasses

import pytest

from inference.options import InferenceFlags
from inference.segmenter import InferenceConfig


def test_every_setting_is_a_flag_and_unset_ones_are_the_defaults() -> None:
    flags = [field.name for field in dataclasses.fields(InferenceFlags)]
    assert flags == [field.name for field in dataclasses.fields(InferenceConfig)]
    assert InferenceFlags().resolve() == InferenceConfig()


@pytest.mark.parametrize(
    ("dataset", "split", "mem_every"),
    [("d17", "val", 5), ("d17", "test-dev", 3), ("lv1", "val", 5), ("lv3", "val", 10), ("y19", "val", 5)],
)
def test_memory_interval_of_the_benchmarks(dataset: str, split: str, mem_every: int) -> None:
    assert InferenceFlags().resolve(dataset, split).mem_every == mem_every
    assert InferenceFlags(mem_every=7).resolve(dataset, split).mem_every == 7


def test_flags_that_are_given_count() -> None:
    flags = InferenceFlags(top_k=0, enable_long_term=False, precision="bf16", object_chunk=2)
    expected = InferenceConfig(top_k=0, enable_long_term=False, precision="bf16", object_chunk=2, mem_every=10)
    assert flags.resolve("lv3") == expected


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match="mem_every=0: expected at least 1"):
        InferenceFlags(mem_every=0).resolve("d17")
