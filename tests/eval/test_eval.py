"""eval.py from its command line: what it writes, prints and refuses."""

import json
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from inference.output.coco import read_coco
from inference.output.writer import read_probabilities
from inference.propagate import segment_video
from inference.report import read_json
from model.weights import load_checkpoint
from tests.support.eval_runs import D16, D17, LENGTHS, TINY, evaluate, masks, refused, segment, times, youtube
from tests.support.paths import ROOT
from tests.support.toy_videos import HEIGHT, WIDTH, toy_checkpoint, write_video
from util.files.palette import read_mask, write_mask


def test_masks_of_a_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate("--dataset", "D17", "--root", "davis", "--checkpoint", "tiny.pth", "--size", 32, "--device", "cpu")
    output = Path("results/tiny/d17-val")
    written = masks(output)
    assert list(written) == [f"{name}/{i:05d}.png" for name, length in LENGTHS.items() for i in range(length)]
    part = Path("davis/trainval")
    for name in LENGTHS:
        frames, first = part / "JPEGImages/480p" / name, part / "Annotations/480p" / name / "00000.png"
        for frame in segment_video(load_checkpoint("tiny.pth"), frames, first, size=32):
            np.testing.assert_array_equal(written[f"{name}/{frame.name}.png"], frame.id_mask)
    with Image.open(output / "bear" / "00001.png") as image:
        assert image.mode == "P" and image.size == (WIDTH, HEIGHT)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["video", "objects", "frames", "FPS"]
    assert rows[2][:3] == ["bear", "2", "5"] and rows[3][:3] == ["camel", "2", "4"]
    assert rows[5][:5] == ["all", "2", "videos", "4", "9"] and float(rows[5][5]) > 0


def test_finished_videos_are_skipped_until_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    segment()
    output = Path("out")
    expected, before = masks(output), times(output)
    (output / "camel" / "00002.png").unlink()
    segment()
    assert "1 of 2 videos are finished" in capsys.readouterr().err
    after = times(output)
    assert {k: t for k, t in after.items() if k.startswith("bear")} == {
        k: t for k, t in before.items() if k.startswith("bear")
    }
    assert all(after[key] != before[key] for key in before if key.startswith("camel"))
    segment("--overwrite")
    assert all(times(output)[key] != after[key] for key in after)
    for name, mask in masks(output).items():
        np.testing.assert_array_equal(mask, expected[name])


def test_results_of_different_runs_never_mix(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    segment()
    d17 = ["--dataset", "d17", "--root", "davis", "--output", "out", "--device", "cpu"]
    line = refused(capsys, *d17, "--checkpoint", "tiny.pth", "--size", 32, "--mem_every", 2)
    assert line.startswith("out was written with other settings: mem_every 5 (now 2): choose another --output, or")
    toy_checkpoint(folder / "other.pth")
    line = refused(capsys, *d17, "--checkpoint", "other.pth", "--size", 32)
    assert "network 'tiny.pth (" in line and "now 'other.pth (" in line
    segment("--mem_every", 2, "--overwrite")
    assert json.loads(Path("out/.corrvos/run.json").read_text())["mem_every"] == 2


def test_an_interrupted_run_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    camel = Path("davis/trainval/JPEGImages/480p/camel/00003.png")
    content = camel.read_bytes()
    camel.write_bytes(b"damaged")
    with pytest.raises(SystemExit):
        segment()
    assert sorted(path.name for path in Path("out").iterdir()) == [".corrvos", "bear"]
    camel.write_bytes(content)
    before = times(Path("out"))
    segment()
    assert before.items() <= times(Path("out")).items() and len(masks(Path("out"))) == 9


def test_scores_after_segmenting_and_alone(capsys: pytest.CaptureFixture[str]) -> None:
    segment("--score")
    table = capsys.readouterr().out.splitlines()[-6:]
    assert table[0].split()[:3] == ["sequence", "objects", "J&F"]
    report = read_json("out/scores.json")
    assert list(report.sequences) == ["bear", "camel"] and Path("out/scores.csv").is_file()
    Path("out/scores.json").unlink()
    evaluate("--dataset", "d17", "--root", "davis", "--output", "out", "--score_only")
    assert capsys.readouterr().out.splitlines() == table
    assert read_json("out/scores.json") == report


def test_perfect_masks_score_100(capsys: pytest.CaptureFixture[str]) -> None:
    annotations = "davis/trainval/Annotations/480p"
    evaluate("--dataset", "d17", "--root", "davis", "--output", annotations, "--score_only")
    assert capsys.readouterr().out.splitlines()[-1].split()[:5] == ["mean", "over", "objects", "4", "100.0"]


def test_some_of_a_benchmarks_videos(capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.txt").write_text("camel\n")
    segment("--sequences", "list.txt", "--score")
    assert {name.split("/")[0] for name in masks(Path("out"))} == {"camel"}
    assert set(json.loads(Path("out/scores.json").read_text())["sequences"]) == {"camel"}
    Path("list.txt").write_text("dromedary\n")
    assert "dromedary" in refused(capsys, *D17, *TINY, "--sequences", "list.txt")


def test_coco_files_hold_the_same_masks() -> None:
    segment("--format", "coco")
    for name, length in LENGTHS.items():
        read = read_coco(f"out_coco/{name}.json")
        assert len(read.names) == length
        for frame in read.names:
            np.testing.assert_array_equal(read.id_mask(frame), read_mask(f"out/{name}/{frame}.png"))
    Path("out_coco/bear.json").unlink()
    segment("--format", "coco")
    assert Path("out_coco/bear.json").is_file()


def test_probabilities_overlay_flip_and_scales() -> None:
    segment("--save_probs", "--overlay", "--flip", "--scales", 32, 48)
    part = Path("davis/trainval")
    model, first = load_checkpoint("tiny.pth"), part / "Annotations/480p/bear/00000.png"
    frames = segment_video(model, part / "JPEGImages/480p/bear", first, flip=True, scales=[32, 48])
    for frame in frames:
        prob, ids = read_probabilities(f"out_probs/bear/{frame.name}.npz")
        assert ids == [1, 2]
        np.testing.assert_allclose(prob, frame.prob.numpy(), atol=1e-3)
        np.testing.assert_array_equal(read_mask(f"out/bear/{frame.name}.png"), frame.id_mask)
    with av.open("out/camel.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) == 4


def test_youtube_writes_the_wanted_frames_and_packs_them(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    youtube(folder / "youtube")
    line = refused(capsys, "--dataset", "y19", "--root", "youtube", *TINY)
    assert "youtube/all_frames/valid_all_frames/JPEGImages does not exist. The benchmark runs on all frames" in line
    words = ["--dataset", "y19", "--root", "youtube", "--sparse", "--checkpoint", "tiny.pth", "--size", 32]
    words += ["--device", "cpu"]
    evaluate(*words, "--zip", "--output", "wanted")
    names = ["00000.png", "00002.png", "00004.png"]
    assert sorted(file.name for file in Path("wanted/fox").iterdir()) == names
    with zipfile.ZipFile("wanted.zip") as archive:
        assert archive.namelist() == [f"Annotations/fox/{name}" for name in names]
    evaluate(*words, "--save_all", "--output", "all")
    assert len(list(Path("all/fox").iterdir())) == 5
    Path("wanted.zip").unlink()
    evaluate("--dataset", "y19", "--root", "youtube", "--sparse", "--output", "wanted", "--zip_only")
    assert Path("wanted.zip").is_file()


def test_a_video_of_ones_own(folder: Path) -> None:
    write_video(folder / "clip", folder / "masks", length=4, given=(0, 2))
    words = ["--checkpoint", "tiny.pth", "--size", -1, "--device", "cpu", "--video", "clip"]
    evaluate(*words, "--masks", "masks", "--output", "folder")
    evaluate(*words, "--mask", "masks/00000.png")
    by_folder, by_file = masks(Path("folder")), masks(Path("results/tiny/clip"))
    assert list(by_folder) == list(by_file) == [f"clip/{i:05d}.png" for i in range(4)]
    np.testing.assert_array_equal(by_folder["clip/00001.png"], by_file["clip/00001.png"])
    given = read_mask("masks/00002.png")
    np.testing.assert_array_equal(by_folder["clip/00002.png"][given > 0], given[given > 0])


def test_a_corrected_mask_is_not_taken_for_finished_work(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    write_video(folder / "clip", folder / "masks", length=3)
    words = ["--checkpoint", "tiny.pth", "--device", "cpu", "--video", "clip", "--mask", "masks/00000.png"]
    evaluate(*words)
    write_mask("masks/00000.png", np.where(read_mask("masks/00000.png") == 1, 1, 0).astype(np.uint8))
    line = refused(capsys, *words)
    assert line.startswith("results/tiny/clip was written with other settings: masks '00000.png (")
    evaluate(*words, "--overwrite")
    assert read_mask("results/tiny/clip/clip/00000.png").max() == 1


def test_a_benchmark_measures_and_writes_nothing(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    before = sorted(folder.iterdir())
    words = ["--dataset", "d17", "--root", "davis", "--size", 32, "--device", "cpu", "--benchmark"]
    evaluate(*words, "--model", "stcn", "--model_size", "tiny")
    shown = capsys.readouterr().out
    assert "all 2 videos        4       9" in shown and "peak resident memory of the process: " in shown
    assert sorted(folder.iterdir()) == before


def test_two_ranks_write_what_one_process_writes(folder: Path) -> None:
    segment("--score", output="one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", ROOT / "eval.py"]
    words = "--dataset d17 --root davis --checkpoint tiny.pth --size 32 --device cpu --score --output two"
    done = subprocess.run([*map(str, command), *words.split()], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mean over objects") == 1 and "all 2 videos" in done.stdout
    one, two = masks(Path("one")), masks(Path("two"))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    assert read_json("one/scores.json") == read_json("two/scores.json")


def test_official_scores_where_the_toolkit_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    class DAVISEvaluation:
        def __init__(self, davis_root: str, task: str, gt_set: str) -> None:
            calls.append((davis_root, task, gt_set))

        def evaluate(self, results: str) -> dict[str, dict[str, list[float]]]:
            calls.append(results)
            return {
                "J": {"M": [0.5, 0.7], "R": [1, 0], "D": [0, 0]},
                "F": {"M": [0.8, 0.8], "R": [1, 1], "D": [0, 0.1]},
            }

    package, module = types.ModuleType("davis2017"), types.ModuleType("davis2017.evaluation")
    package.__spec__ = types.SimpleNamespace(name="davis2017")  # type: ignore[assignment]
    module.DAVISEvaluation = DAVISEvaluation  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "davis2017", package)
    monkeypatch.setitem(sys.modules, "davis2017.evaluation", module)
    evaluate("--dataset", "d17", "--root", "davis", "--output", "out", "--score_only", "--official")
    assert calls == [("davis/trainval", "semi-supervised", "val"), "out"]
    expected = "J&F 70.0  J-Mean 60.0  J-Recall 50.0  J-Decay 0.0  F-Mean 80.0  F-Recall 100.0  F-Decay 5.0"
    assert capsys.readouterr().out == f"davis2017-evaluation: {expected}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (TINY, "give --dataset (d16, d17, y18, y19, lv1, lv3, g, sample, chair, mose, "),
        (["--dataset", "d18", *TINY], "unknown data set 'd18'; expected one of "),
        ([*D17, "--mem_evry", "3"], "unknown flag --mem_evry: the nearest is --mem_every; eval.py --help"),
        ([*D17, *TINY, "--split", "tset"], "data set d17 has no split 'tset'; expected val or test-dev or train"),
        (["--dataset", "d17", "--root", "nowhere", *TINY], "data set d17: folder nowhere does not exist."),
        ([*D17, "--video", "clip", "--mask", "m.png"], "--video and --dataset contradict each other: give one of them"),
        (["--masks", "masks", *D17], "--masks needs --video, the video that they belong to"),
        (
            ["--masks", "masks", "--score_only", *D17],
            "--masks needs --video, the video that they belong to; with a benchmark, --output has the masks to score",
        ),
        (["--sequences", "list.txt", "--zip", *D17], "--sequences chooses some of a benchmark's videos: servers, and"),
        (
            ["--sequences", "none.txt", *D17],
            "--sequences: none.txt does not exist: expected a video's name on each line",
        ),
        (["--mask", "m.png", *D17], "--mask needs --video, the video that it belongs to"),
        (["--video", "clip", *TINY], "--video needs --mask FIRST.png or --masks FOLDER"),
        (["--video", "c", "--mask", "m", "--masks", "n"], "--mask and --masks contradict each other: give one of them"),
        (["--video", "c", "--mask", "m", "--root", "davis"], "--root needs --dataset: it is the data set's folder"),
        (
            ["--video", "c", "--mask", "m", "--score"],
            "--score, --score_only and --official need --dataset: a video",
        ),
        (["--truth", "a", "--masks", "b"], "--truth is the ground truth of two folders: give it with --score_only"),
        (["--truth", "a", "--score_only", *D17], "--truth is the ground truth of two folders: give it with --score"),
        (["--score_only", "--metric", "vost", *D17], "--metric, --meta and --names need --truth: a data set"),
        (["--truth", "a", "--masks", "b", "--score_only"], "ground truth folder a does not exist"),
        (["--video", "c", "--mask", "m", "--zip"], "--zip and --zip_only need --dataset: no server takes a video of"),
        ([*D17, "--checkpoint", "nowhere.pth"], "checkpoint nowhere.pth does not exist. Check the path; released ones"),
        ([*D17, *TINY, "--model", "xmem"], "--checkpoint and --model contradict each other: --model is a network with"),
        ([*D17, "--model", "xmem"], "--model has random weights: only --benchmark takes it"),
        ([*D17, "--benchmark", "--model", "xmen"], "unknown model 'xmen'; did you mean 'xmem'?"),
        ([*D16, *TINY, "--zip"], "--zip: no server takes results of d16 val: score the masks with --score"),
        ([*D17, *TINY, "--benchmark", "--score"], "--benchmark writes no masks unless --output is given: give it, or"),
        ([*D17, "--score_only", "--benchmark"], "--score_only segments nothing: leave out --benchmark and --overwrite"),
        ([*D17, "--score_only"], "--score_only needs --output, the folder of the masks (or the --checkpoint that made"),
        ([*D17, "--score_only", "--output", "out"], "predictions folder out does not exist"),
        ([*D17, *TINY, "--score", "--official"], "--official needs davis2017-evaluation, which is not installed: pip"),
        ([*D17, *TINY, "--device", "gpu"], "unknown device 'gpu': expected auto, cpu, cuda, cuda:INDEX or mps"),
        ([*D17, *TINY, "--scales", "32", "32"], "sizes [32, 32]: expected one or several different ones"),
        ([*D17, *TINY, "--mem_every", "0"], "mem_every=0: expected at least 1"),
        (
            [*D17, *TINY, "--output", "davis/trainval/ImageSets/2017/val.txt"],
            "--output davis/trainval/ImageSets/2017/val.txt is a",
        ),
        ([*D17, *TINY, "--output", "tiny.pth"], "the output tiny.pth is --checkpoint tiny.pth: "),
        ([*D17, *TINY, "--output", "tiny.pth/out"], "the output tiny.pth/out lies inside --checkpoint tiny.pth: "),
        (
            [*D17, *TINY, "--output", "davis/trainval/Annotations/480p"],
            "the output davis/trainval/Annotations/480p is the masks of d17 val in davis/trainval/Annotations/480p: ",
        ),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert refused(capsys, *words).startswith(message)


def test_benchmarks_without_ground_truth_are_not_scored(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    youtube(folder / "youtube")
    words = ["--dataset", "y19", "--root", "youtube", "--sparse", *TINY]
    line = refused(capsys, *words, "--score")
    assert line == "--score: y19 val has no complete ground truth: pack the masks for its server with --zip"
    line = refused(capsys, "--dataset", "sample", *TINY, "--score", "--official", "--root", folder / "sample")
    assert line == "--official: davis2017-evaluation scores d17 only: use --score for sample"
