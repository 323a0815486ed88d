"""The data sets of a run: the table, and flags."""

import json
from pathlib import Path
from typing import Any

import pytest

import train
from dataset.train.sources import TRAINING_SETS, Choice, TrainingSet, find_sources, open_videos
from dataset.train.videos import VideoSource
from tests.support.benchmarks import write_burst, write_lvos, write_mose, write_sav_train, write_vost
from tests.support.toy_datasets import add_text, add_video, davis_2017, static_set, youtube
from util.config.data import DataConfig
from util.config.plan import plan_run


def found(stage: str = "2", /, **fields: Any) -> dict[str, tuple[int, int]]:
    """Return length and weight of each source, by name."""
    sources = find_sources(DataConfig(**fields), 3, stage)
    return {source.name: (len(source), source.weight) for source in sources}


def videos(root: Path, *names: str) -> Path:
    for name in names:
        add_video(root / "JPEGImages" / name, root / "Annotations" / name)
    return root


def test_published_video_sets(tmp_path: Path) -> None:
    davis, tube = davis_2017(tmp_path / "DAVIS"), youtube(tmp_path / "YouTube") / "train_480p"
    mose, bl30k = videos(tmp_path / "MOSE", "m", "n"), videos(tmp_path / "BL30K", "x", "y", "z")
    roots: dict[str, Any] = {"davis_root": davis, "youtube_root": tube, "mose_root": mose, "bl30k_root": bl30k}
    assert found(dataset=("davis", "youtube", "mose", "bl30k"), davis_weight=5, mose_weight=2, **roots) == {
        "davis": (1, 5),
        "youtube": (1, 1),
        "mose": (2, 2),
        "bl30k": (3, 1),
    }
    # YouTube-VOS is annotated on every fifth frame: the gap of a source annotated on every frame is divided by 5.
    sources = find_sources(DataConfig(dataset=("davis", "youtube", "mose"), mose_interval=4, **roots), 3, "2")
    assert [source.interval for source in sources if isinstance(source, VideoSource)] == [1, 5, 4]


def test_a_subset_of_youtube(tmp_path: Path) -> None:
    root = videos(tmp_path, "a", "b", "c")
    add_text(tmp_path / "subset.txt", "b", "c")
    chosen = {"youtube_root": root, "youtube_list": tmp_path / "subset.txt", "youtube_weight": 3}
    assert found(dataset=("youtube",), **chosen) == {"youtube": (2, 3)}


def test_published_static_sets_and_their_multipliers(tmp_path: Path) -> None:
    for name in ("DUTS-TR", "DUTS-TE", "ecssd", "BIG_small", "HRSOD_small", "fss/ab", "fss/cd"):
        static_set(tmp_path / name, 2)
    assert found("0", dataset=("static",), static_root=tmp_path) == {
        "BIG_small": (2, 5),
        "DUTS-TE": (2, 1),
        "DUTS-TR": (2, 1),
        "HRSOD_small": (2, 5),
        "ecssd": (2, 1),
        "fss": (4, 1),
    }


def test_roots_of_ones_own_by_flags(tmp_path: Path) -> None:
    one, two = videos(tmp_path / "one", "a"), videos(tmp_path / "two", "a", "b")
    flags = {"user_roots": (one, two), "user_weights": (3, 1), "user_intervals": (2, 5)}
    assert found(dataset=(), **flags) == {"one": (1, 3), "two": (2, 1)}
    with pytest.raises(ValueError, match=r"--user_intervals \(0, 1\): expected 2 integers >= 1, one for each"):
        found(dataset=(), user_roots=(one, two), user_intervals=(0, 1))


def test_missing_roots_are_named(tmp_path: Path) -> None:
    for name in ("davis", "youtube", "mose", "bl30k"):
        with pytest.raises(FileNotFoundError, match=f"data set {name}: folder .*nowhere does not exist"):
            found(dataset=(name,), **{f"{name}_root": tmp_path / "nowhere"})
    with pytest.raises(FileNotFoundError, match="static pictures: folder .*nowhere does not exist"):
        found("0", dataset=("static",), static_root=tmp_path / "nowhere")


def test_flags_by_name_change_any_set(tmp_path: Path) -> None:
    mose = videos(tmp_path / "m", "a", "b")
    where: dict[str, Any] = {"dataset": ("mose",), "set_roots": (f"mose={mose}",)}
    assert found(**where, set_weights=("mose=3",)) == {"mose": (2, 3)}
    (source,) = find_sources(DataConfig(**where, set_intervals=("mose=2",)), 3, "2")
    assert isinstance(source, VideoSource) and source.interval == 2
    for flags, message in (
        ({"set_weights": ("moose=3",)}, r"--set_weights moose=3: expected NAME=VALUE, a name of --dataset \(mose\)\."),
        ({"set_weights": ("mose=0",)}, "--set_weights mose=0: expected an integer >= 1 after the name"),
        ({"set_intervals": ("mose",)}, "--set_intervals mose: expected NAME=VALUE"),
    ):
        with pytest.raises(ValueError, match=message):
            found(**where, **flags)


def test_one_row_adds_a_training_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = videos(tmp_path / "birds", "a", "b")
    row = TrainingSet(choose=lambda data: Choice(root=root, weight=2, interval=3), open=open_videos)
    monkeypatch.setitem(TRAINING_SETS, "birds", row)
    words = f"--size tiny --dataset birds --output {tmp_path}/run --device cpu --batch_size 2 --crop_size 32"
    train.command_line([*words.split(), "--iterations", "2", "--alpha", "0"])
    assert [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()][-1] == 2
    (source,) = find_sources(DataConfig(dataset=("birds",)), 3, "2")
    assert isinstance(source, VideoSource) and (len(source), source.weight, source.interval) == (2, 2, 3)


def test_the_mixture_of_cutie(tmp_path: Path) -> None:
    for name in ("DAVIS", "YouTube", "MOSE", "OVIS"):
        videos(tmp_path / name, "a")  # of 3 frames
    burst = write_burst(tmp_path / "BURST", "train")  # 2 sequences with 3 annotated frames
    (burst / "train/all_classes.json").rename(burst / "train/train.json")
    roots = [f"--{name.lower()}_root {tmp_path}/{name}" for name in ("DAVIS", "YouTube", "MOSE")]
    words = f"--data mega --set_roots burst={burst} ovis={tmp_path}/OVIS {' '.join(roots)}".split()
    (run,) = plan_run(words, "train.py", "").stages
    sources = find_sources(run.data, 3, run.stage, run.correspondence)
    assert {source.name: (len(source), source.weight) for source in sources} == {
        "davis": (3, 2),
        "youtube": (3, 1),
        "mose": (3, 1),
        "burst": (6, 1),
        "ovis": (3, 1),
    }
    assert [source.interval for source in sources if isinstance(source, VideoSource)] == [2, 5, 5, 5, 3]
    static, main = plan_run(["--data", "mega", "--stage", "03"], "train.py", "").stages
    assert static.data.dataset == ("static",) and main.data.dataset[-1] == "ovis" and not static.data.by_frame


def test_recent_sets_by_name(tmp_path: Path) -> None:
    lvos, vost = write_lvos(tmp_path / "LVOS") / "train", write_vost(tmp_path / "VOST")
    mose = write_mose(tmp_path / "MOSE") / "train"
    flags = (f"lvos={lvos}", f"lvos2={lvos}", f"vost={vost}", f"mose2={mose}")
    names = ("mose2", "lvos", "lvos2", "vost")
    assert found(dataset=names, set_roots=flags, by_frame=True) == {
        "mose2": (9, 1),
        "lvos": (8, 1),
        "lvos2": (8, 1),
        "vost": (9, 1),
    }
    with pytest.raises(FileNotFoundError, match="data set sav: folder .*nowhere does not exist. Give its place"):
        found(dataset=("sav",), set_roots=(f"sav={tmp_path}/nowhere",))


def test_films_count_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flags = (f"sav={write_sav_train(tmp_path)}",)
    assert found(dataset=("sav",), set_roots=flags, set_weights=("sav=40",), by_frame=True) == {"sav": (1, 40)}
    assert "sav: each of its videos counts once, not by its frames" in caplog.text
