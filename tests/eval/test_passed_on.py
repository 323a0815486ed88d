"""What eval.py passes on: the benchmarks' settings, which masks are written, and the networks' own settings."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from inference import InferenceConfig, build_segmenter
from tests.support.eval_runs import TINY, evaluate, masks, youtube
from tests.support.films import shown_times
from tests.support.toy_frames import FIRST, frame
from tests.support.toy_videos import toy_model, write_video


@pytest.mark.parametrize(
    ("dataset", "split", "mem_every"),
    [("d17", "val", 5), ("d17", "test-dev", 3), ("lv1", "val", 5), ("lv3", "val", 10)],
)
def test_the_published_memory_interval_reaches_the_network(
    dataset: str, split: str, mem_every: int, folder: Path
) -> None:
    shutil.copytree(folder / "davis" / "trainval", folder / "davis" / "test-dev")
    lists = folder / "davis" / "test-dev" / "ImageSets" / "2017"
    shutil.copy(lists / "val.txt", lists / "test-dev.txt")
    for part in ("long_video", "long_video_x3"):
        write_video(folder / "davis" / part / "JPEGImages/fox", folder / "davis" / part / "Annotations/fox", length=2)
    evaluate("--dataset", dataset, "--split", split, "--root", "davis", *TINY, "--output", "out")
    assert json.loads((folder / "out" / ".corrvos" / "run.json").read_text())["mem_every"] == mem_every


def test_unwanted_frames_are_in_the_overlay_and_have_no_masks(folder: Path) -> None:
    youtube(folder / "yt")
    words = ["--dataset", "y19", "--root", "yt", "--sparse", *TINY, "--output", "out", "--overlay"]
    evaluate(*words)
    assert [Path(name).stem for name in masks(folder / "out")] == ["00000", "00002", "00004"]
    assert len(shown_times(folder / "out" / "fox.mp4")) == 5


def test_masks_of_all_frames_are_missed_on_a_second_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    youtube(folder / "yt")
    words = ["--dataset", "y19", "--root", "yt", "--sparse", *TINY, "--output", "out", "--save_all"]
    evaluate(*words)
    (folder / "out" / "fox" / "00001.png").unlink()
    evaluate(*words)
    assert len(masks(folder / "out")) == 5 and "are finished" not in capsys.readouterr().err


def probabilities(name: str, **settings: object) -> torch.Tensor:
    segmenter = build_segmenter(toy_model(name), InferenceConfig(mem_every=1, **settings))  # type: ignore[arg-type]
    return torch.stack([segmenter.step(frame(t), FIRST if t == 0 else None) for t in range(8)])


@pytest.mark.parametrize(("name", "own", "other"), [("xmem", 30, 20), ("stcn", 20, 30)])
def test_each_network_reads_as_many_elements_as_published(name: str, own: int, other: int) -> None:
    usual = probabilities(name)
    assert torch.equal(usual, probabilities(name, top_k=own)) and not torch.equal(
        usual, probabilities(name, top_k=other)
    )


def test_a_long_term_memory_smaller_than_a_consolidation(folder: Path) -> None:
    limits = {"max_mid_term_frames": 3, "min_mid_term_frames": 2, "num_prototypes": 8, "max_long_term_elements": 4}
    assert torch.isfinite(probabilities("xmem", **limits)).all()
