"""Where results may go."""

import json
from pathlib import Path

import pytest

from inference.output.places import check_apart, claim, is_apart


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("output", "relation"),
    [
        ("in/clip", "is"),
        ("in/other/../clip", "is"),
        ("link", "is"),
        ("in", "contains"),
        (".", "contains"),
        ("in/clip/out", "lies inside"),
        ("link/new/out", "lies inside"),
        ("in/clip2", ""),
        ("new/out", ""),
    ],
)
def test_outputs_among_inputs(output: str, relation: str, tmp_path: Path) -> None:
    folders(tmp_path, "in/clip", "in/other")
    (tmp_path / "link").symlink_to(tmp_path / "in" / "clip")
    before = sorted(tmp_path.rglob("*"))
    place, given = tmp_path / output, tmp_path / "in" / "clip"
    assert is_apart(place, [given]) == (not relation)
    if relation:
        with pytest.raises(ValueError, match=f"{relation} --video .*clip: results would be .* Give another --output"):
            check_apart([tmp_path / "elsewhere", place], {"--video": given})
    else:
        check_apart([tmp_path / "elsewhere", place], {"--video": given})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_is_an_input_too(tmp_path: Path) -> None:
    film = tmp_path / "clip.mp4"
    film.touch()
    assert not is_apart(film, [film]) and not is_apart(tmp_path, [film]) and is_apart(tmp_path / "clip", [film])


def test_what_was_claimed_may_be_replaced_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "out"
    folders(output, "empty", "foreign")
    (output / "foreign" / "thesis.txt").touch()
    (tmp_path / "out.zip").touch()
    claim(output, [output / "empty", output / "bear", tmp_path / "out_probs" / "bear"])
    for name in ("out/bear/00000.png", "out_probs/bear/00000.npz"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    claim(output, [output / "bear", tmp_path / "out_probs" / "bear", output / "camel"])
    for place in (output / "foreign", tmp_path / "out.zip"):
        with pytest.raises(ValueError, match=f"{place.name} is there already, and no record says .* move it away"):
            claim(output, [output / "bear", place])
    (tmp_path / "moved").symlink_to(output / "nowhere")
    with pytest.raises(ValueError, match="moved .and 1 more. is there already"):
        claim(output, [tmp_path / "moved", output / "foreign"])
    assert json.loads((output / ".corrvos" / "places.json").read_text())["places"] == [
        "../out_probs/bear",
        "bear",
        "camel",
        "empty",
    ]


def test_results_of_earlier_versions_are_ours(tmp_path: Path) -> None:
    output = tmp_path / "out"
    folders(output, ".corrvos/videos", "bear", "camel")
    (output / ".corrvos" / "videos" / "bear.json").touch()
    for name in ("bear", "camel"):
        (output / name / "00000.png").touch()
    (output / "bear.mp4").touch()
    (tmp_path / "out.zip").touch()
    claim(output, [output / "bear", output / "bear.mp4", tmp_path / "out.zip"])
    with pytest.raises(ValueError, match="camel is there already"):
        claim(output, [output / "camel"])


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    folders(tmp_path, ".corrvos")
    (tmp_path / ".corrvos" / "places.json").write_text("{")
    with pytest.raises(ValueError, match="places.json is damaged"):
        claim(tmp_path, [tmp_path / "bear"])
