"""The progress bars of work done piece by piece, and of a training run."""

import progressbar
import pytest

import util.run.progress
from util.run.progress import CurrentStderr, TrainingBar, bar_kind, time_left, training_bar, with_speed

SCALARS = {"loss": 1.234, "iou": 0.5, "data_wait": 0.07}


@pytest.mark.parametrize(
    ("start", "progress", "seconds", "left"),
    [
        (0.0, 0.25, 30.0, "0:01:30"),
        (0.5, 0.75, 60.0, "0:01:00"),  # after a resume: a quarter took a minute
        (0.0, 0.5, 2 * 86400 + 3661, "2 d 1:01:01"),
        (0.5, 0.5, 10.0, "?"),
        (0.0, 1.2, 10.0, "0:00:00"),
    ],
)
def test_time_left_by_hand(start: float, progress: float, seconds: float, left: str) -> None:
    assert time_left(start, progress, seconds) == left


def test_the_bar_shows_loss_iou_wait_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    with training_bar(start=0.5) as bar:
        bar.show(0.75, 30, SCALARS)
    shown = capsys.readouterr().err
    assert "step 30  loss 1.234  IoU 0.500  data wait   7%" in shown and "0:00:00 left" in shown


def test_a_run_that_stops_early_shows_its_share_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    with training_bar(start=0.4) as bar:
        bar.show(0.5, 20, SCALARS)
    shown = capsys.readouterr().err
    assert " 50% step 20" in shown and "100%" not in shown and "  0%" not in shown


def test_a_bar_that_is_not_shown_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TrainingBar(shown=False)
    bar.show(0.5, 1, SCALARS)
    bar.close()
    assert capsys.readouterr().err == ""


def test_speed_and_time_left_of_work_in_pieces(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((100.0, 102.0, 110.0))  # the start, and after each piece
    monkeypatch.setattr(util.run.progress.time, "monotonic", lambda: next(clock))
    assert list(with_speed([[1] * 4, [1] * 4], 16, "searching", "frames", len)) == [[1] * 4, [1] * 4]
    shown = capsys.readouterr().err
    assert "searching 0 of 16" in shown
    assert "0.80 frames/s  0:00:10 left" in shown  # 8 in 10 s, 8 to go


@pytest.mark.parametrize(("total", "lines"), [(237, 11), (5, 6)])
def test_a_log_file_gets_a_line_for_each_tenth(total: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    with bar_kind()(max_value=total, fd=CurrentStderr()) as bar:
        for done in range(1, total + 1):
            bar.update(done)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) <= lines and "100%" in shown[-1] and shown[0].split()[0] in ("0%", "20%")


def test_a_terminal_gets_a_bar_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert bar_kind() is progressbar.ProgressBar and bar_kind(shown=False) is progressbar.NullBar
