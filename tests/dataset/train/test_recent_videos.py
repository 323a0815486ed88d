"""Training clips of LVOS, VOST, BURST and SA-V: frames, masks, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset.clip import Clip, ClipRequest
from dataset.train.recent_videos import find_burst, find_partly, find_sav, find_vost
from dataset.train.videos import VideoSource
from tests.support.benchmarks import (
    FRAMES,
    ids_of,
    overlapping,
    write_burst,
    write_lvos,
    write_sav_train,
    write_vost,
)
from tests.support.runs import video_augmentation, video_clip
from tests.support.toy_videos import HEIGHT, WIDTH, draw

STILL = video_augmentation(
    crop_size=48,
    crop_scale=(1.0, 1.0),
    crop_ratio=1.0,
    clip_jitter=(0, 0, 0, 0),
    frame_jitter=(0, 0, 0, 0),
    flip=0.0,
    grey=0.0,
    degrees=0.0,
    shear=0.0,
)


def clip_of(source: VideoSource, frames: tuple[int, ...]) -> Clip:
    request = ClipRequest(source=0, video=0, max_gap=5, seed=0, frames=frames)
    return source.load(request, video_clip(frames=len(frames), max_objects=4), STILL)


def test_lvos_counts_annotated_frames_only(tmp_path: Path) -> None:
    root = write_lvos(tmp_path)
    (root / "train/Annotations/Gh4/00000031.png").unlink()
    source = find_partly("lvos", root / "train", frames=3)
    (video,) = source.videos
    assert video.frames == ("00000006.jpg", *(f"{1 + 5 * f:08d}.jpg" for f in (2, 3, 4, 5, 7, 8)))
    assert clip_of(source, (0, 2, 6)).name == "lvos/Gh4 frames 00000006, 00000016, 00000041"
    with pytest.raises(ValueError, match="data set lvos: .* holds no video of at least 9 frames"):
        find_partly("lvos", root / "train", frames=9)


def test_vost_trains_on_its_list_without_void(tmp_path: Path) -> None:
    source = find_vost("vost", write_vost(tmp_path), frames=3)
    assert [video.name for video in source.videos] == ["1_cut_onion"]
    np.testing.assert_array_equal(source.videos[0].read_mask(5), ids_of(5, {1: 0, 2: 4}) * (np.arange(WIDTH) < 61))
    assert clip_of(source, (5, 6, 7)).objects == 2
    (tmp_path / "ImageSets/train.txt").unlink()
    with pytest.raises(FileNotFoundError, match="data set vost: list .*train.txt does not exist"):
        find_vost("vost", tmp_path, frames=3)


def test_burst_trains_on_annotated_frames(tmp_path: Path) -> None:
    root = write_burst(tmp_path, "train")
    (root / "train/all_classes.json").rename(root / "train/train.json")
    source = find_burst("burst", root, frames=3)
    assert [video.name for video in source.videos] == ["LaSOT-bear-2", "YFCC100M-v_f69e"]
    assert source.videos[0].frames == ("img0001.jpg", "img0004.jpg", "img0007.jpg")
    np.testing.assert_array_equal(source.videos[0].read_mask(1), np.array([0, 7, 9])[draw(3, (1, 2))[1]])
    clip = clip_of(source, (2, 1, 0))
    assert clip.objects == 2 and clip.name == "burst/LaSOT-bear-2 frames img0007, img0004, img0001"
    with pytest.raises(ValueError, match="data set burst has no object proposals: .*--ocl_objects manual"):
        source.check_proposals()
    (root / "frames/train/LaSOT/bear-2/img0004.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="bear-2 lacks 1 of 3 annotated frames, such as img0004"):
        find_burst("burst", root, frames=3)


def test_sav_reads_films_at_annotated_frames(tmp_path: Path) -> None:
    source = find_sav("sav", write_sav_train(tmp_path), frames=3)
    (video,) = source.videos
    assert list(video.frames) == ["00000", "00004", "00008", "00012", "00016", "00020"]
    for index in (5, 0, 3):  # in any order, by number of the annotated frame
        assert abs(int(video.read_frame(index, 1).mean()) - 32 * index) <= 4
    assert video.read_frame(1, 4).shape == (HEIGHT // 4, WIDTH // 4, 3)
    whole, part = overlapping(2)
    np.testing.assert_array_equal(video.read_mask(2), np.where(part, 2, np.where(whole, 1, 0)))
    assert clip_of(source, (0, 2, 4)).objects == 2
    assert "sav_000001_manual.json, frame 00008" in video.mask_place(2)


def test_sav_takes_extracted_frames(tmp_path: Path) -> None:
    source = find_sav("sav", write_sav_train(tmp_path, as_film=False), frames=3)
    found = source.videos[0].read_frame(3, 1).astype(int)
    assert np.argmin([np.abs(found - draw(frame, (1, 2))[0]).mean() for frame in range(6)]) == 3


def test_sav_without_films_or_masklets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data set sav: .* holds no \*_manual.json"):
        find_sav("sav", tmp_path, frames=3)
    write_sav_train(tmp_path)
    path = tmp_path / "sav_000/sav_000001_manual.json"
    content = json.loads(path.read_text())
    content["masklet"][1][0]["size"] = [2, 2]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a mask of annotated frame 1 has size \[2, 2\], the film \[48, 64\]"):
        clip_of(find_sav("sav", tmp_path, frames=3), (0, 1, 2))
    (tmp_path / "sav_000/sav_000001.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="has no film: expected sav_000001.mp4 beside it"):
        find_sav("sav", tmp_path, frames=3)


def test_videos_count_by_their_frames(tmp_path: Path) -> None:
    root = write_burst(tmp_path, "train")
    source = replace(find_burst("burst", root, frames=3), by_frame=True)
    assert len(source) == 6 and FRAMES == 9
    names = [
        source.load(ClipRequest(source=0, video=video, max_gap=5, seed=0), video_clip(frames=3), STILL).name
        for video in range(6)
    ]
    assert [name.split(" ")[0] for name in names] == 3 * ["burst/LaSOT-bear-2"] + 3 * ["burst/YFCC100M-v_f69e"]
    assert [source.alike(video) for video in range(6)] == 3 * [range(3)] + 3 * [range(3, 6)]
    assert replace(source, by_frame=False).alike(1) == range(1, 2)
