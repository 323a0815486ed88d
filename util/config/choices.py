"""Choices that settings of training and of segmenting have in common."""

from typing import Literal

# auto is fp32 on a CPU and fp16 on a GPU.
Precision = Literal["auto", "fp32", "fp16", "bf16"]

# How memory is read; bijective is an experiment: a memory element's similarity counts for the positions that are most
# similar to it, and is its lowest for all others.
Matching = Literal["softmax", "bijective"]
