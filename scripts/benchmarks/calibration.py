"""Honest times on shared machines: next to a convolution that calibrates them, each row in a process of its own."""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F

from scripts.benchmarks.peer import clock
from util.device import synchronize

T = TypeVar("T")

CALIBRATION_GFLOP = 30.6  # 256 -> 256 channels, 3x3, on 120x216, fp32


def seconds(device: torch.device, block: Callable[[], object]) -> float:
    """Time one call, synchronised; on a CPU with one thread in processor time, see `clock`."""
    now = clock() if device.type == "cpu" else time.perf_counter
    synchronize(device)
    began = now()
    block()
    synchronize(device)
    return now() - began


def against_calibration(device: torch.device, block: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Run the calibrating convolution and `block` in turn, and return medians.

    Returns:
        The seconds of `block`, and the rate of the convolution in GFLOP/s.
    """
    weight, x = torch.randn(256, 256, 3, 3, device=device), torch.randn(1, 256, 120, 216, device=device)
    block_times, calibration_times = [], []
    for _ in range(repeats):
        with torch.no_grad():
            calibration_times.append(seconds(device, lambda: F.conv2d(x, weight, padding=1)))
        block_times.append(seconds(device, block))
    return statistics.median(block_times), CALIBRATION_GFLOP / statistics.median(calibration_times)


def in_own_process(measure: Callable[..., T], *arguments: Any) -> T:
    """Call an importable function in a fresh process: the peak memory of a process never falls."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(measure, arguments)
