import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.evaluate.protocols import DATASETS, find_evaluation_set, resolve_dataset
from dataset.evaluate.video import Video, open_dataset
from util.files.palette import write_mask

HEIGHT, WIDTH = 20, 24


def write_video(frames: Path, masks: Path, given: dict[int, tuple[int, ...]], numbers: range = range(6)) -> None:
    """Write frames 00000.jpg ... and the masks of `given`; each object is a column of 4 pixels at 4 times its id."""
    frames.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), number, np.uint8)).save(frames / f"{number:05d}.jpg")
    for number, objects in given.items():
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        for value in objects:
            ids[2:-2, 4 * (value % 5) : 4 * (value % 5) + 4] = value
        write_mask(masks / f"{number:05d}.png", ids)


def given(video: Video) -> dict[str, list[int] | None]:
    return {frame.name: frame.object_ids for frame in video.frames(-1) if frame.mask is not None}


def names(videos: list[Video]) -> list[str]:
    return [video.name for video in videos]


def write_davis(part: Path, videos: tuple[str, ...], objects: dict[int, tuple[int, ...]]) -> None:
    for video in videos:
        write_video(part / "JPEGImages" / "480p" / video, part / "Annotations" / "480p" / video, objects)


def write_list(path: Path, lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines)


def test_davis_2016_is_one_object_by_its_list(tmp_path: Path) -> None:
    write_davis(tmp_path, ("bear", "bus", "cows"), {0: (2, 255), 1: (3,)})
    write_list(tmp_path / "ImageSets" / "2016" / "val.txt", "cows\nbear\n\n")
    videos = open_dataset("D16", root=tmp_path)
    assert names(videos) == ["cows", "bear"]
    assert videos[0].object_ids == [1] and given(videos[0]) == {"00000": [1]}
    [frame, *_] = list(videos[0].frames(-1))
    assert frame.mask is not None and frame.mask.unique().tolist() == [0, 1]
    assert videos[0].wanted_names == videos[0].frame_names == [f"{number:05d}" for number in range(6)]


def test_davis_2016_with_the_official_list_or_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_davis(tmp_path, ("bear", "bus"), {0: (1,)})
    with caplog.at_level(logging.WARNING):
        assert names(open_dataset("d16", root=tmp_path)) == ["bear", "bus"]
    assert "taking all 2 videos" in caplog.text
    lines = "".join(f"/JPEGImages/480p/bus/{n:05d}.jpg /Annotations/480p/bus/{n:05d}.png \n" for n in range(6))
    write_list(tmp_path / "ImageSets" / "480p" / "val.txt", lines)
    assert names(open_dataset("d16", root=tmp_path)) == ["bus"]


def test_davis_2017_gives_the_first_mask_only(tmp_path: Path) -> None:
    write_davis(tmp_path / "trainval", ("dogs",), {0: (1, 2), 1: (1, 2, 3), 2: (1,)})
    write_list(tmp_path / "trainval" / "ImageSets" / "2017" / "val.txt", "dogs")
    [video] = open_dataset("d17", root=tmp_path)
    assert given(video) == {"00000": [1, 2]}
    write_davis(tmp_path / "test-dev", ("cats",), {0: (1,)})
    write_list(tmp_path / "test-dev" / "ImageSets" / "2017" / "test-dev.txt", "cats")
    evaluation = find_evaluation_set("d17", split="Test-Dev", root=tmp_path)
    assert (evaluation.videos, evaluation.mem_every, evaluation.archive) == (("cats",), 3, "davis")
    assert not evaluation.scored and find_evaluation_set("d17", root=tmp_path).mem_every == 5
    # The folder trainval itself is understood, too.
    assert names(open_dataset("d17", root=tmp_path / "trainval")) == ["dogs"]


def write_youtube(root: Path, masks: dict[int, tuple[int, ...]], every_frame: bool) -> None:
    """Object 1 is there from frame 0, object 2 from frame 10 on; every fifth frame is annotated."""
    valid, numbers = root / "valid", range(0, 21, 5)
    write_video(valid / "JPEGImages" / "zebra", valid / "Annotations" / "zebra", masks, numbers)
    objects = {"1": {"frames": ["00000", "00005"]}, "2": {"frames": ["00010", "00015"]}}
    (valid / "meta.json").write_text(json.dumps({"videos": {"zebra": {"objects": objects}}}))
    if every_frame:
        write_video(root / "all_frames" / "valid_all_frames" / "JPEGImages" / "zebra", root / "x", {}, range(21))


@pytest.mark.parametrize("every_frame", [False, True])
@pytest.mark.parametrize("dataset", ["y18", "y19"])
def test_youtube_writes_the_required_frames(tmp_path: Path, dataset: str, every_frame: bool) -> None:
    write_youtube(tmp_path, {0: (1,), 10: (2,)}, every_frame)
    [video] = open_dataset(dataset, root=tmp_path, sparse=not every_frame)
    assert len(video) == (21 if every_frame else 5)
    assert given(video) == {"00000": [1], "00010": [2]}
    assert [frame.name for frame in video.frames(-1) if frame.wanted] == ["00000", "00005", "00010", "00015"]
    assert video.wanted_names == ["00000", "00005", "00010", "00015"]
    assert find_evaluation_set(dataset, split="valid", root=tmp_path, sparse=True).archive == "youtube"


def test_youtube_without_all_frames_is_refused_unless_asked_for(tmp_path: Path) -> None:
    write_youtube(tmp_path, {0: (1,)}, False)
    with pytest.raises(FileNotFoundError) as caught:
        open_dataset("y19", root=tmp_path)
    wanted = tmp_path / "all_frames" / "valid_all_frames" / "JPEGImages"
    assert str(caught.value).startswith(f"y19 val: folder {wanted} does not exist. The benchmark runs on all frames")
    assert "--sparse" in str(caught.value)
    assert len(open_dataset("y19", root=tmp_path, sparse=True)[0]) == 5
    write_video(wanted / "zebra", tmp_path / "x", {}, range(21))
    assert len(open_dataset("y19", root=tmp_path)[0]) == 21
    assert len(open_dataset("y19", root=tmp_path, sparse=True)[0]) == 5


def test_youtube_gives_an_object_once(tmp_path: Path) -> None:
    """A later mask that repeats an object is no correction: only ids that are new count, zeros and old ids don't."""
    write_youtube(tmp_path, {0: (1,), 10: (1, 2), 15: (1, 2)}, False)
    [video] = open_dataset("y19", root=tmp_path, sparse=True)
    shown = {frame.name: frame for frame in video.frames(-1) if frame.mask is not None}
    assert {name: frame.object_ids for name, frame in shown.items()} == {"00000": [1], "00010": [2]}
    mask = shown["00010"].mask
    assert mask is not None and mask.unique().tolist() == [0, 2]


def test_youtube_without_its_list(tmp_path: Path) -> None:
    write_youtube(tmp_path, {0: (1,)}, False)
    meta = tmp_path / "valid" / "meta.json"
    meta.write_text('{"videos": {"zebra": {"objects": {"1": {"frames": ["00000", "00003"]}}}}}')
    with pytest.raises(FileNotFoundError, match=r"zebra lacks 1 frames that are to be written: 00003\."):
        open_dataset("y19", root=tmp_path, sparse=True)
    meta.write_text('{"videos": ["zebra"]}')
    with pytest.raises(ValueError, match=r"meta.json is not a YouTube-VOS meta.json: expected \{\"videos\""):
        open_dataset("y19", root=tmp_path, sparse=True)
    meta.unlink()
    with pytest.raises(FileNotFoundError, match="meta.json does not exist: it lists the frames to write"):
        open_dataset("y19", root=tmp_path, sparse=True)


@pytest.mark.parametrize(("dataset", "part", "mem_every"), [("lv1", "long_video", 5), ("lv3", "long_video_x3", 10)])
def test_long_videos_want_the_annotated_frames(tmp_path: Path, dataset: str, part: str, mem_every: int) -> None:
    write_video(tmp_path / part / "JPEGImages" / "rat", tmp_path / part / "Annotations" / "rat", {0: (1,), 3: (1, 2)})
    [video] = open_dataset(dataset, root=tmp_path)
    assert given(video) == {"00000": [1]}
    assert video.wanted_names == ["00000", "00003"] and len(video) == 6
    assert find_evaluation_set(dataset, root=tmp_path).mem_every == mem_every


def test_generic_takes_every_mask_wherever_it_is(tmp_path: Path) -> None:
    write_video(tmp_path / "JPEGImages" / "caps", tmp_path / "Annotations" / "caps", {1: (1,), 3: (1, 2), 5: ()})
    [video] = open_dataset("G", root=tmp_path)
    assert given(video) == {"00001": [1], "00003": [1, 2]}
    assert all(frame.wanted for frame in video.frames(-1))


def test_unknown_names_show_the_nearest_first() -> None:
    with pytest.raises(ValueError) as caught:
        resolve_dataset("d18")
    shown = str(caught.value).removeprefix("unknown data set 'd18'; expected one of ").removesuffix(".").split(", ")
    assert sorted(shown) == sorted(DATASETS) and set(shown[:4]) >= {"d16", "d17"}
    with pytest.raises(ValueError, match="expected one of sample, "):
        open_dataset("sampel")
    with pytest.raises(ValueError, match="data set d16 has no split 'test-dev'; expected val or train"):
        open_dataset("d16", split="test-dev")


def test_missing_parts_are_named(tmp_path: Path) -> None:
    root = tmp_path / "DAVIS" / "2017"
    with pytest.raises(FileNotFoundError) as caught:
        open_dataset("d17", root=root)
    assert str(caught.value) == (
        f"data set d17: folder {root} does not exist. Give its place with --root, or get it: "
        "python scripts/download_datasets.py says how."
    )
    write_davis(root / "trainval", ("dogs", "cats"), {0: (1,)})
    with pytest.raises(FileNotFoundError, match="list of videos .*val.txt does not exist. It comes with the data set"):
        open_dataset("d17", root=root)
    names_file = root / "trainval" / "ImageSets" / "2017" / "val.txt"
    write_list(names_file, "")
    with pytest.raises(ValueError, match="val.txt is empty: expected one name per line"):
        open_dataset("d17", root=root)
    write_list(names_file, "dogs\nlost\ncats\ngone\n")
    with pytest.raises(FileNotFoundError) as caught:
        open_dataset("d17", root=root)
    assert str(caught.value) == (
        f"2 of 4 videos of d17 val have no folder in {root / 'trainval' / 'JPEGImages' / '480p'}: lost, gone. "
        "Complete the data or give another root."
    )
    with pytest.raises(FileNotFoundError, match="DAVIS-2016: folder .* does not exist. The root is the folder that"):
        open_dataset("d16", root=tmp_path)


def test_missing_masks_are_named(tmp_path: Path) -> None:
    write_davis(tmp_path, ("bear",), {1: (1,)})
    masks = tmp_path / "Annotations" / "480p" / "bear"
    with pytest.raises(ValueError) as caught:
        open_dataset("d16", root=tmp_path)
    assert str(caught.value) == f"no mask for the first frame: {masks / '00000'}.png is missing."
    (masks / "00001.png").unlink()
    with pytest.raises(ValueError, match=r"no mask in .*bear: expected PNGs named like the frames"):
        open_dataset("d16", root=tmp_path)
    masks.rmdir()
    with pytest.raises(
        FileNotFoundError, match=r"masks .*bear of video .*bear do not exist: expected a folder of PNGs"
    ):
        open_dataset("d16", root=tmp_path)
