"""Inference settings as flags."""

import dataclasses

import pytest

from inference.options import InferenceFlags
from inference.segmenter import InferenceConfig


def test_every_setting_is_a_flag_and_unset_ones_are_the_defaults() -> None:
    flags = [field.name for field in dataclasses.fields(InferenceFlags)]
    assert flags == [field.name for field in dataclasses.fields(InferenceConfig)]
    assert InferenceFlags().resolve() == InferenceConfig()


def test_the_benchmark_sets_the_memory_interval_unless_a_flag_does() -> None:
    assert InferenceFlags().resolve(mem_every=3).mem_every == 3
    assert InferenceFlags(mem_every=7).resolve(mem_every=3).mem_every == 7


def test_flags_that_are_given_count() -> None:
    flags = InferenceFlags(top_k=0, enable_long_term=False, precision="bf16", object_chunk=2)
    expected = InferenceConfig(top_k=0, enable_long_term=False, precision="bf16", object_chunk=2, mem_every=10)
    assert flags.resolve(mem_every=10) == expected


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match="mem_every=0: expected at least 1"):
        InferenceFlags(mem_every=0).resolve()
