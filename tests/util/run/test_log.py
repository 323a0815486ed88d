"""The log of a run: lines, what a resume takes back, TensorBoard."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from util.run.log import FILE, MetricLog, read_scalars


def steps(folder: Path) -> list[int]:
    return [entry["step"] for entry in read_scalars(folder / FILE)]


def board(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return events


def test_scalars_and_images_arrive(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    with MetricLog(tmp_path) as log:
        log.scalars(3, {"loss": 1.5, "gap": 5.0, "gradient_norm": math.inf})
        log.images(3, {"clip": picture})
    assert read_scalars(tmp_path / FILE) == [{"step": 3, "loss": 1.5, "gap": 5.0, "gradient_norm": None}]
    events = board(tmp_path)
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(3, 1.5)]
    (image,) = events.Images("clip")
    assert (image.step, image.width, image.height) == (3, 6, 4)


def test_a_run_that_starts_anew_takes_all_lines_back(tmp_path: Path) -> None:
    # As after a kill before the first checkpoint, in the middle of a line.
    for _ in range(2):
        with MetricLog(tmp_path) as log:
            for step in (1, 2):
                log.scalars(step, {"loss": 1.0})
        assert steps(tmp_path) == [1, 2]
        with (tmp_path / FILE).open("a") as file:
            file.write('{"step": 3, "lo')
    with MetricLog(tmp_path, 2) as log:
        log.scalars(3, {"loss": 1.0})
    assert steps(tmp_path) == [1, 2, 3]
    assert [event.step for event in board(tmp_path).Scalars("loss")] == [1, 2, 3]


def test_damaged_lines_do_not_stop_a_resume(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_text('{"step": 1}\n{"step": 2, "lo{"step": 2}\n\0\0\0\n[]\n{"step": 3}\n')
    with MetricLog(tmp_path, 3) as log:
        log.scalars(4, {"loss": 1.0})
    assert steps(tmp_path) == [1, 3, 4]
    assert 'metrics.jsonl, line 2 is damaged and left out: \'{"step": 2, "lo{"step": 2}\'' in caplog.text
    assert "line 3 is damaged" in caplog.text and "line 4 is damaged" in caplog.text


def test_entries_of_the_last_step_can_be_taken_back_too(tmp_path: Path) -> None:
    with MetricLog(tmp_path) as log:
        for step in (1, 2):
            log.scalars(step, {"loss": 1.0})
            log.scalars(step, {"validation/J&F": 0.5})
    with MetricLog(tmp_path, 2, keep=lambda entry: entry["step"] < 2 or "loss" in entry):
        pass
    assert [sorted(entry)[-1] for entry in read_scalars(tmp_path / FILE)] == ["step", "validation/J&F", "step"]


def test_a_resume_takes_back_later_steps_and_the_line_that_was_cut(tmp_path: Path) -> None:
    with MetricLog(tmp_path) as log:
        for step in (1, 2, 3, 4):
            log.scalars(step, {"loss": float(step)})
    with (tmp_path / FILE).open("a") as file:
        file.write('{"step": 5, "lo')
    with MetricLog(tmp_path, step=2) as log:
        log.scalars(3, {"loss": 30.0})
    assert [(e["step"], e["loss"]) for e in read_scalars(tmp_path / FILE)] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert [(e.step, e.value) for e in board(tmp_path).Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_resuming_without_a_log_starts_one(tmp_path: Path) -> None:
    with MetricLog(tmp_path, step=7) as log:
        log.scalars(8, {"loss": 1.0})
    assert steps(tmp_path) == [8]


def test_missing_and_damaged_logs_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="metrics.jsonl does not exist: expected the log that train.py writes"):
        read_scalars(tmp_path / FILE)
    (tmp_path / FILE).write_text(json.dumps({"step": 1}) + "\nhello\n")
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: expected .*, received 'hello'. Remove the line."):
        read_scalars(tmp_path / FILE)
