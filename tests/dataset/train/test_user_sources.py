"""A user's own training data, from a TOML file."""

from pathlib import Path

import pytest

from dataset.train.sources import find_sources
from dataset.train.user_sources import UserSource, read_user_sources
from tests.support.toy_datasets import add_text, add_video, static_set
from util.config.data import DataConfig


def test_sources_of_ones_own_from_a_file(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        add_video(tmp_path / "birds" / "JPEGImages" / name, tmp_path / "birds" / "Annotations" / name)
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
    sources = find_sources(DataConfig(dataset=(), user_sources=path), 3, "2")
    assert {source.name: (len(source), source.weight) for source in sources} == {
        "my birds": (2, 4),
        "BIG_small": (2, 10),
    }


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


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--user_sources: .*mine.toml does not exist: expected a TOML file"):
        read_user_sources(tmp_path / "mine.toml")
