"""The data sets of a run: by name, by flags, by a file."""

from pathlib import Path
from typing import Any

import pytest

from dataset.train.sources import UserSource, find_sources, read_user_sources
from dataset.train.videos import VideoSource
from tests.support.toy_datasets import add_text, add_video, davis_2017, static_set, youtube
from util.config.data import DataConfig


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


def test_sources_of_ones_own_from_a_file(tmp_path: Path) -> None:
    videos(tmp_path / "birds", "a", "b", "c")
    static_set(tmp_path / "BIG_small", 2)
    add_text(tmp_path / "lists/birds.txt", "a", "c")
    path = tmp_path / "lists" / "mine.toml"
    add_text(
        path,
        *("[[source]]", 'root = "../birds"', "weight = 4", "interval = 5", 'list = "birds.txt"', 'name = "my birds"'),
        *("[[source]]", f'root = "{tmp_path / "BIG_small"}"', 'kind = "static"', "weight = 2"),
    )
    first, second = read_user_sources(path)
    assert (first.interval, first.weight, first.name) == (5, 4, "my birds")
    assert second == UserSource(root=tmp_path / "BIG_small", kind="static", weight=2)
    assert found(dataset=(), user_sources=path) == {"my birds": (2, 4), "BIG_small": (2, 10)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[source]\n", "is not valid TOML"),
        ("", r"expected \[\[source\]\] tables and nothing else, received nothing"),
        ("[[source]]\nroot = 'a'\n[more]", r"expected \[\[source\]\] tables and nothing else, received source, more"),
        ("[[source]]\nweight = 2", "source 1: root is missing: expected the folder"),
        ("[[source]]\nroot = 'a'\n[[source]]\nwight = 2", "source 2: unknown wight; expected root, name, kind, weight"),
        ("[[source]]\nroot = 'a'\nweight = 0", "source 1: weight = 0: expected an integer >= 1"),
        ("[[source]]\nroot = 'a'\nweight = true", "source 1: weight = True: expected an integer >= 1"),
        ("[[source]]\nroot = 3", "source 1: root = 3: expected a text in quotes"),
        ("[[source]]\nroot = 'a'\nkind = 'film'", "source 1: kind = 'film': expected 'videos' or 'static'"),
        ("source = 3", r"expected \[\[source\]\] tables"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_user_sources(path)


def test_a_missing_file_and_missing_roots_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--user_sources: .*mine.toml does not exist: expected a TOML file"):
        read_user_sources(tmp_path / "mine.toml")
    for name in ("davis", "youtube", "mose", "bl30k"):
        with pytest.raises(FileNotFoundError, match=f"data set {name}: folder .*nowhere does not exist"):
            found(dataset=(name,), **{f"{name}_root": tmp_path / "nowhere"})
    with pytest.raises(FileNotFoundError, match="static pictures: folder .*nowhere does not exist"):
        found("0", dataset=("static",), static_root=tmp_path / "nowhere")
