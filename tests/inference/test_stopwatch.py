"""Frames and seconds of a stopwatch."""

import time

import torch

from inference.stopwatch import Stopwatch


def test_it_counts_frames_and_the_seconds_of_work_alone() -> None:
    watch = Stopwatch()
    for _ in range(2):
        watch.start(torch.device("cpu"))
        time.sleep(0.01)
        watch.stop()
        time.sleep(0.05)
    assert watch.frames == 2 and 0.02 <= watch.seconds < 0.1


def test_waiting_for_results_is_work_but_no_frame() -> None:
    watch = Stopwatch()
    with watch.waiting():
        time.sleep(0.01)
    assert watch.frames == 0 and watch.seconds >= 0.01
