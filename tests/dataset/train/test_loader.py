"""Bad files in the middle of training: named, or skipped by rule; and the processes that load."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from dataset.clip import ClipRequest
from dataset.train import loader
from dataset.train.loader import BadSampleError, build_loader, load_clip, read_batches
from dataset.train.videos import find_videos
from tests.support.bombs import write_bomb, write_jpeg_bomb
from tests.support.paths import ROOT
from tests.support.runs import ENVIRONMENT, small_run, video_augmentation, video_clip
from tests.support.toy_videos import write_davis
from util.config.data import DataConfig
from util.config.presets import preset
from util.config.train import CorrespondenceConfig

CLIP, SMALL = video_clip(frames=3, max_objects=2), video_augmentation(crop_size=32, crop_scale=(0.5, 1.0))


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Yield a data set of three videos, the frames of the second of which are all damaged."""
    place = write_davis(tmp_path, {"a": 3, "b": 3, "c": 3}) / "trainval"
    for frame in (place / "JPEGImages/480p/b").iterdir():
        frame.write_bytes(frame.read_bytes()[:200])
    yield place


def load(root: Path, video: int, on_bad_sample: Literal["raise", "skip"] = "skip") -> list[str]:
    sources = [find_videos("toy", root, frames=3)]
    request = ClipRequest(source=0, video=video, max_gap=5, seed=3)
    clips = [load_clip(sources, request, CLIP, SMALL, on_bad_sample) for _ in range(2)]
    assert torch.equal(clips[0].images_T3HW, clips[1].images_T3HW)
    return [clip.name.split()[0] for clip in clips]


def test_the_next_clip_is_taken_by_rule_and_the_file_is_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert load(root, 1) == ["toy/c", "toy/c"]
    assert "bad sample skipped, the next clip of toy is taken: frame" in caplog.text
    assert "JPEGImages/480p/b/0000" in caplog.text
    caplog.clear()
    assert load(root, 0) == ["toy/a", "toy/a"] and not caplog.text


def test_the_next_video_is_taken_where_frames_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MOST_SKIPPED", 2)
    source = replace(find_videos("toy", root, frames=3), by_frame=True)
    clips = [
        load_clip([source], ClipRequest(source=0, video=video, max_gap=5, seed=3), CLIP, SMALL, "skip")
        for video in (3, 5)
    ]
    assert len(source) == 9 and clips[0].name.startswith("toy/c")
    assert torch.equal(clips[0].images_T3HW, clips[1].images_T3HW)


def test_the_run_stops_with_the_name_of_the_file(root: Path) -> None:
    with pytest.raises(BadSampleError, match=r"b/0000\d.png is truncated or damaged .* --on_bad_sample skip"):
        load(root, 1, "raise")


@pytest.mark.parametrize("kind", ["jpg", "png", "mask"])
def test_headers_that_promise_too_much_are_bad_samples(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_davis(tmp_path, {"a": 3, "b": 3, "c": 3}) / "trainval"
    for path in sorted((root / ("Annotations" if kind == "mask" else "JPEGImages") / "480p/b").iterdir()):
        if kind == "jpg":
            path.unlink()
            write_jpeg_bomb(path.with_suffix(".jpg"))
        else:
            write_bomb(path, 50_000, 50_000)
    assert load(root, 1) == ["toy/c", "toy/c"]
    assert "bad sample skipped, the next clip of toy is taken: " in caplog.text
    assert "has too many pixels" in caplog.text
    with pytest.raises(BadSampleError, match="has too many pixels .* --on_bad_sample skip"):
        load(root, 1, "raise")


def test_a_program_ends_though_its_loader_is_still_there(root: Path) -> None:
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path; import torch\n"
        "from dataset.train.loader import build_loader; from tests.support.runs import small_run\n"
        "run = small_run(Path(sys.argv[1]), iterations=50)\n"
        "run = replace(run, data=replace(run.data, num_workers=1, on_bad_sample='skip'))\n"
        "batches = iter(build_loader(run, torch.device('cpu'))); next(batches); print('ended')\n"
        "sys.last_value = batches\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(root)], cwd=ROOT, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0


def test_workers_go_on_when_a_cluster_ends_all_processes(root: Path) -> None:
    # The training process ends its step first, for which it needs its clips.
    run = small_run(root, iterations=20)
    others = multiprocessing.active_children()
    data = replace(run.data, num_workers=1, on_bad_sample="skip")
    batches = read_batches(build_loader(replace(run, data=data), torch.device("cpu")))
    next(batches)
    (worker,) = [process for process in multiprocessing.active_children() if process not in others]
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGTERM)
    os.kill(worker.pid, signal.SIGINT)
    assert len(list(batches)) == 19
    assert not worker.is_alive()


def test_a_data_set_without_a_good_clip_is_given_up(root: Path) -> None:
    for name in ("a", "c"):
        for mask in (root / "Annotations/480p" / name).iterdir():
            mask.write_text("no picture")
    with pytest.raises(BadSampleError, match="data set toy: too many bad clips in a row; the last: mask .*a/"):
        load(root, 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_passes_on_or_skips_whatever_process_meets_the_file(root: Path, workers: int) -> None:
    data = DataConfig(dataset=(), user_roots=(root,), num_workers=workers)
    alone = CorrespondenceConfig(alpha=0)
    run = replace(preset("xmem"), data=data, clip=CLIP, augment=SMALL, correspondence=alone, batch_size=3, iterations=2)
    cpu = torch.device("cpu")
    with pytest.raises(ValueError) as error:
        list(read_batches(build_loader(run, cpu)))
    message = str(error.value)
    assert message.startswith("frame ") and "b/0000" in message and "\n" not in message
    batches = list(read_batches(build_loader(replace(run, data=replace(data, on_bad_sample="skip")), cpu)))
    shown = [name.split()[0].split("/")[1] for batch in batches for name in batch.names]
    assert len(shown) == 6 and set(shown) == {"a", "c"} and np.unique(shown, return_counts=True)[1].tolist() == [2, 4]
