"""eval.py on miniatures of MOSE, LVOS, VOST, BURST and SA-V: segmented, packed."""

import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as run_lengths

import eval as program
from dataset.disk.burst import read_burst
from dataset.disk.masks import VoidMask
from dataset.evaluate.protocols import find_evaluation_set
from dataset.evaluate.video import open_videos
from inference.eval_config import EvalConfig
from inference.report import read_json
from tests.support.benchmarks import FRAMES, WRITERS, write_burst, write_lvos, write_mose, write_sav
from tests.support.toy_videos import HEIGHT, WIDTH, toy_checkpoint
from util.files.palette import read_mask, write_mask

NUMBERED = [f"{frame:05d}" for frame in range(FRAMES)]
LVOS = [f"{1 + 5 * frame:08d}" for frame in range(FRAMES)]
# What eval.py writes: the names of the PNGs in each video's folder.
WRITTEN = {
    "mose": dict.fromkeys(("a1b2", "c3d4"), NUMBERED),
    "mose2": dict.fromkeys(("a1b2", "c3d4"), NUMBERED),
    "lvos": dict.fromkeys(("Ab1", "Cd2"), LVOS),
    "lvos2": dict.fromkeys(("Ab1", "Cd2"), LVOS),
    "vost": {"2_break_egg": [f"frame{6 * frame + 12:05d}" for frame in range(FRAMES)]},
    "burst": dict.fromkeys(("LaSOT-bear-2", "YFCC100M-v_f69e"), ["img0001", "img0004", "img0007"]),
    "sav": {
        f"{video}/{number}": [f"{4 * frame:05d}" for frame in range(FRAMES)]
        for video in ("sav_000001", "sav_000002")
        for number in ("000", "001")
    },
}

# Scores of the sets whose ground truth is complete.
COLUMNS = {
    "lvos": ("J&F", "J", "F", "V", "J-Seen", "F-Unseen"),
    "lvos2": ("J&F", "J", "F", "V", "J-Seen", "F-Unseen"),
    "vost": ("J", "J_tr"),
    "burst": ("HOTA", "DetA", "AssA", "HOTA-Common", "HOTA-Uncommon"),
    "sav": ("J&F", "J", "F"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder that holds tiny.pth, in one thread."""
    toy_checkpoint(tmp_path / "tiny.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORRVOS_DEBUG", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def evaluate(dataset: str, *words: object) -> Path:
    given = ["--dataset", dataset, "--root", "data", "--output", "out", "--checkpoint", "tiny.pth", "--size", 32]
    program.command_line([str(word) for word in (*given, "--device", "cpu", *words)])
    return Path("out")


def written(output: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(output.rglob("*.png")):
        found.setdefault(path.parent.relative_to(output).as_posix(), []).append(path.stem)
    return found


@pytest.mark.parametrize("dataset", [*WRITERS])
def test_what_is_written(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    WRITERS[dataset](Path("data"))
    output = evaluate(dataset, *(["--score"] if dataset in COLUMNS else []))
    assert written(output) == WRITTEN[dataset]
    if dataset in COLUMNS:
        mean = read_json(output / "scores.json").mean
        assert mean.keys() >= set(COLUMNS[dataset]) and all(0 <= mean[column] <= 1 for column in COLUMNS[dataset])
    assert all(read_mask(path).shape == (HEIGHT, WIDTH) for path in output.rglob("*.png"))
    # Nothing is segmented twice: all that is wanted is there.
    evaluate(dataset)
    videos = {name.split("/")[0] for name in WRITTEN[dataset]}
    assert f"{len(videos)} of {len(videos)} videos are finished" in capsys.readouterr().err


def copy_truth(root: Path, dataset: str, split: str) -> None:
    """Put the ground truth where eval.py would have written its masks."""
    evaluation = find_evaluation_set(dataset, split=split, root=root)
    for video in open_videos(evaluation):
        if video.objects:
            shutil.copytree(evaluation.annotations / video.name, Path("out") / video.name)
        elif dataset == "burst":
            for name, mask in read_burst(root / "val/all_classes.json").sequences[video.name].masks.items():
                write_mask(Path("out") / video.name / f"{name}.png", mask.read())
        else:
            for path in (evaluation.annotations / video.name).glob("*.png"):
                write_mask(Path("out") / video.name / path.name, VoidMask(path).read())


@pytest.mark.parametrize(
    ("dataset", "split"),
    [("mose", "train"), ("mose2", "train"), ("lvos", "val"), ("vost", "val"), ("burst", "val"), ("sav", "val")],
)
def test_the_truth_scores_full_marks(dataset: str, split: str) -> None:
    WRITERS[dataset](Path("data"))
    copy_truth(Path("data"), dataset, split)
    evaluate(dataset, "--split", split, "--score_only")
    figures = read_json(Path("out/scores.json")).mean
    expected = {"lvos": "J&F", "vost": "J_tr", "burst": "HOTA", "sav": "J&F", "mose2": "J&F_dot"}
    assert figures[expected.get(dataset, "J&F")] == pytest.approx(1)


def test_objects_have_a_folder_each() -> None:
    write_sav(Path("data"))
    output = evaluate("sav")
    for frame in ("00000", "00016"):
        first, second = (read_mask(output / "sav_000001" / number / f"{frame}.png") for number in ("000", "001"))
        assert {*np.unique(first), *np.unique(second)} <= {0, 1} and not (first & second).any()
    assert read_mask(output / "sav_000001/000/00000.png").any()
    (output / "sav_000001/001/00016.png").unlink()
    evaluate("sav")
    assert (output / "sav_000001/001/00016.png").is_file()


def test_mose_packs_every_frame() -> None:
    write_mose(Path("data"))
    for dataset in ("mose", "mose2"):
        evaluate(dataset, "--overwrite", "--zip")
        with zipfile.ZipFile("out.zip") as archive:
            names = archive.namelist()
        assert names == [f"{video}/{name}.png" for video in ("a1b2", "c3d4") for name in NUMBERED]
        Path("out.zip").unlink()
    Path("out/a1b2/00000.png").unlink()
    with pytest.raises(SystemExit) as stop:
        evaluate("mose2", "--zip_only")
    assert stop.value.code == 2 and not Path("out.zip").exists()


def test_lvos_packs_its_test_set(capsys: pytest.CaptureFixture[str]) -> None:
    write_lvos(Path("data"))
    evaluate("lvos", "--split", "test", "--zip")
    with zipfile.ZipFile("out.zip") as archive:
        assert archive.namelist() == [f"Annotations/Ef3/{name}.png" for name in LVOS]
    for dataset, split in (("lvos", "val"), ("lvos2", "test"), ("vost", "val"), ("sav", "val")):
        if dataset in ("vost", "sav"):
            WRITERS[dataset](Path("data"))
        with pytest.raises(SystemExit):
            evaluate(dataset, "--split", split, "--zip")
        assert f"--zip: no server takes results of {dataset} {split}" in capsys.readouterr().err


def test_burst_packs_its_json() -> None:
    root = write_burst(Path("data"))
    output = evaluate("burst", "--zip")
    truth, packed = json.loads((root / "val/all_classes.json").read_text()), json.loads(Path("out.json").read_text())
    assert packed["split"] == "val" and packed["categories"] == truth["categories"]
    for expected, entry in zip(truth["sequences"], packed["sequences"], strict=True):
        assert {**entry, "segmentations": 0} == {**expected, "segmentations": 0}
        assert len(entry["segmentations"]) == len(entry["annotated_image_paths"]) == 3
        for image, tracks in zip(entry["annotated_image_paths"], entry["segmentations"], strict=True):
            name = f"{entry['dataset']}-{entry['seq_name']}"
            ids = read_mask(output / name / f"{Path(image).stem}.png")
            assert set(tracks) == {str(number) for number in np.unique(ids) if number}  # no empty masks
            for track, mask in tracks.items():
                plane = run_lengths.decode({"size": [HEIGHT, WIDTH], "counts": mask["rle"].encode()})
                np.testing.assert_array_equal(plane, ids == int(track))


def test_the_benchmark_decides_size_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for words, expected in ((["--dataset", "burst"], (600, 10)), (["--dataset", "lvos"], (480, 5))):
        seen: list[EvalConfig] = []
        monkeypatch.setattr(program, "main", seen.append)
        monkeypatch.setattr(sys, "argv", ["eval.py", *words, "--checkpoint", "tiny.pth"])
        program.command_line()
        assert [(config.size, config.inference.mem_every) for config in seen] == [expected]
