"""Training clips from videos and static pictures, and the loader that joins them."""

import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.clip import ClipBatch, ClipRequest
from dataset.disk.frames import read_reduced
from dataset.train.loader import build_loader
from dataset.train.sources import find_sources
from dataset.train.videos import VideoSource, find_videos
from tests.support.runs import video_augmentation, video_clip
from tests.support.toy_videos import HEIGHT, WIDTH, write_davis, write_video
from util.config.data import DataConfig
from util.config.presets import preset
from util.config.train import CorrespondenceConfig, TrainConfig
from util.files.palette import write_mask

CLIP = video_clip(frames=3, max_objects=2)
SMALL = video_augmentation(crop_size=32, crop_scale=(0.9, 1.0), crop_ratio=1.0, degrees=0.0, shear=0.0)


def request(video: int = 0, seed: int = 0, frames: tuple[int, ...] | None = None) -> ClipRequest:
    return ClipRequest(source=0, video=video, max_gap=5, seed=seed, frames=frames)


def write_root(root: Path, lengths: dict[str, int], ids: tuple[int, ...] = (1, 2)) -> Path:
    for name, length in lengths.items():
        write_video(root / "JPEGImages" / name, root / "Annotations" / name, length, ids, given=tuple(range(length)))
    return root


def write_list(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def names(source: VideoSource) -> list[str]:
    return [video.name for video in source.videos]


def test_a_clip_has_the_requested_frames_and_objects(tmp_path: Path) -> None:
    source = find_videos("toy", write_davis(tmp_path, {"a": 6, "b": 4}) / "trainval", frames=3)
    still = replace(SMALL, crop_size=48, crop_scale=(1.0, 1.0), clip_jitter=(0, 0, 0, 0), frame_jitter=(0, 0, 0, 0))
    clip = source.load(request(1, frames=(3, 0)), CLIP, replace(still, flip=0.0, grey=0.0))
    assert clip.name == "toy/b frames 00003, 00000" and clip.objects == 2 and clip.redraws == 0
    assert clip.images_T3HW.shape == (2, 3, 48, 48) and clip.images_T3HW.dtype == torch.uint8
    # The largest square of a 48x64 picture, not scaled: a window of the file itself, up to a fraction of a pixel.
    shift = round(-clip.matrices_T33[0, 0, 2].item())
    truth = np.array(Image.open(tmp_path / "trainval/Annotations/480p/b/00003.png"))[:, shift : shift + 48]
    agreement = (clip.labels_THW[0].numpy() == truth).mean()
    assert agreement > 0.97 and torch.allclose(clip.matrices_T33[:, 0, 0], torch.ones(2))


def test_the_same_request_gives_the_same_clip(tmp_path: Path) -> None:
    source = find_videos("toy", write_root(tmp_path, {"a": 8}), frames=3)
    first, second = (source.load(request(seed=5), CLIP, SMALL) for _ in range(2))
    assert torch.equal(first.images_T3HW, second.images_T3HW) and first.name == second.name
    assert not torch.equal(first.images_T3HW, source.load(request(seed=6), CLIP, SMALL).images_T3HW)


@pytest.mark.parametrize("ids", [(7, 200), (300, 4000)])
def test_any_ids_become_1_to_n(tmp_path: Path, ids: tuple[int, ...]) -> None:
    source = find_videos("toy", write_root(tmp_path, {"a": 4}, ids), frames=3)
    for seed in range(5):
        clip = source.load(request(seed=seed), replace(CLIP, max_objects=1), SMALL)
        assert clip.objects == 1 and set(clip.labels_THW.unique().tolist()) == {0, 1}
        assert source.load(request(seed=seed), CLIP, SMALL).labels_THW.unique().tolist() == [0, 1, 2]


def test_lists_and_the_single_object_release(tmp_path: Path) -> None:
    root = write_root(tmp_path / "a", {"bear": 3, "bike": 3, "10": 3, "9": 3}, (255, 7))
    assert names(find_videos("toy", root, frames=3)) == ["9", "10", "bear", "bike"]
    write_list(root / "ImageSets/480p/train.txt", "/JPEGImages/480p/bike/00000.jpg /Annotations/480p/bike/00000.png")
    source = find_videos("toy", root, frames=3)
    assert names(source) == ["bike"] and source.single_object
    assert source.load(request(), CLIP, SMALL).objects == 1
    write_list(root / "ImageSets/480p/train.txt", "bear")
    assert names(find_videos("toy", root, frames=3)) == ["bear"]
    write_list(root / "ImageSets/2017/train.txt", "bear", "bike")
    source = find_videos("toy", root, frames=3)
    assert names(source) == ["bear", "bike"] and not source.single_object


def test_a_list_of_ones_own_chooses_videos(tmp_path: Path) -> None:
    root = write_root(tmp_path, {"a": 3, "b": 3, "c": 3})
    write_list(tmp_path / "subset.txt", "c", "a", "")
    assert names(find_videos("toy", root, frames=3, listed=tmp_path / "subset.txt")) == ["c", "a"]
    write_list(tmp_path / "subset.txt", "c", "z")
    with pytest.raises(ValueError, match="data set toy: list .*subset.txt names 1 videos that .* lacks, such as z"):
        find_videos("toy", root, frames=3, listed=tmp_path / "subset.txt")
    write_list(tmp_path / "subset.txt")
    with pytest.raises(ValueError, match="subset.txt is empty. Expected a video's name on each line"):
        find_videos("toy", root, frames=3, listed=tmp_path / "subset.txt")
    with pytest.raises(FileNotFoundError, match="data set toy: list .*nowhere.txt does not exist"):
        find_videos("toy", root, frames=3, listed=tmp_path / "nowhere.txt")


def test_gap_is_divided_by_the_interval(tmp_path: Path) -> None:
    source = find_videos("toy", write_root(tmp_path, {"a": 20}, (1,)), frames=3, interval=5)
    for seed in range(20):
        frames = source.load(request(seed=seed), CLIP, SMALL).name.split("frames ")[1].split(", ")
        assert {abs(int(a) - int(b)) for a, b in zip(frames, frames[1:], strict=False)} == {1}


def test_short_videos_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_root(tmp_path, {"long": 4, "short": 2})
    assert names(find_videos("toy", root, frames=4)) == ["long"]
    assert "toy: 1 videos with less than 4 frames are left out" in caplog.text
    with pytest.raises(ValueError, match="holds no video of at least 9 frames .2 videos in all."):
        find_videos("toy", root, frames=9)


def test_another_video_is_taken_when_there_is_no_object(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_root(tmp_path, {"empty": 3, "full": 3})
    for mask in (root / "Annotations" / "empty").iterdir():
        write_mask(mask, np.zeros((HEIGHT, WIDTH), np.uint8))
    with caplog.at_level(logging.INFO):
        clip = find_videos("toy", root, frames=3).load(request(0), CLIP, SMALL)
    assert clip.name.startswith("toy/full") and clip.objects == 2 and clip.redraws >= 5
    assert "toy/empty: no object in 5 drawn first frames; taking full" in caplog.text
    assert re.search(r"toy/empty frames 0000\d, .*: no mask holds an object; drawing another clip", caplog.text)
    for mask in (root / "Annotations" / "full").iterdir():
        write_mask(mask, np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(ValueError, match="data set toy: no video has a frame with an object"):
        find_videos("toy", root, frames=3).load(request(0), CLIP, SMALL)


def test_missing_and_empty_roots_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder .*nowhere does not exist. Expected a folder with JPEGImages"):
        find_videos("davis", tmp_path / "nowhere", frames=3)
    with pytest.raises(FileNotFoundError, match="lacks JPEGImages or Annotations; found: nothing"):
        find_videos("davis", tmp_path, frames=3)
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(ValueError, match="holds no video of at least 3 frames .0 videos in all."):
        find_videos("davis", tmp_path, frames=3)


def test_a_frame_without_mask_is_named(tmp_path: Path) -> None:
    root = write_root(tmp_path, {"a": 4})
    (root / "Annotations/a/00002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"a/00002.png has no mask: expected .*Annotations/a/00002.png"):
        find_videos("toy", root, frames=3)


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    source = find_videos("toy", write_root(tmp_path, {"a": 3}), frames=3)
    write_mask(tmp_path / "Annotations/a/00001.png", np.ones((20, 30), np.uint8))
    with pytest.raises(ValueError, match="00001.png is 20x30 .height x width., others of its video are 48x64"):
        source.load(request(frames=(0, 1, 2)), CLIP, SMALL)
    for t in range(3):
        write_mask(tmp_path / f"Annotations/a/{t:05d}.png", np.ones((60, 80), np.uint8))
    with pytest.raises(ValueError, match="a frame is 48x64 .height x width., its mask 60x80"):
        source.load(request(frames=(0, 1, 2)), CLIP, replace(SMALL, crop_size=80))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_reduced_decoding_averages_blocks(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.stack([2 * x, 255 - 2 * y, x + y], axis=-1).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    if suffix == "jpg":
        Image.fromarray(image).save(path, quality=98, subsampling=0)
    else:
        Image.fromarray(image).save(path)
    np.testing.assert_allclose(read_reduced(path, 1), image, atol=6)
    for r in (2, 4, 8):
        received = read_reduced(path, r)
        rows, columns = size[0] // r, size[1] // r
        expected = image[: rows * r, : columns * r].reshape(rows, r, columns, r, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(received[:rows, :columns], expected, atol=6)


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="a.jpg is truncated or damaged"):
        read_reduced(path, 2)
    path.write_text("no picture")
    with pytest.raises(ValueError, match="a.jpg is not an image"):
        read_reduced(path, 1)
    with pytest.raises(FileNotFoundError, match="b.jpg does not exist"):
        read_reduced(tmp_path / "b.jpg", 1)


def run_config(root: Path, workers: int) -> TrainConfig:
    data = DataConfig(dataset=(), user_roots=(root, root), user_weights=(2, 1), num_workers=workers)
    alone = CorrespondenceConfig(alpha=0)
    return replace(
        preset("xmem"), data=data, clip=CLIP, augment=SMALL, correspondence=alone, batch_size=3, iterations=4
    )


def same(a: ClipBatch, b: ClipBatch) -> bool:
    tensors = ("images_BT3HW", "labels_BTHW", "valid_BO", "matrices_BT33")
    return a.names == b.names and all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)


def test_the_stream_is_the_same_for_any_number_of_workers_and_after_a_resume(tmp_path: Path) -> None:
    root, cpu = write_root(tmp_path, {"a": 4, "b": 5}), torch.device("cpu")
    alone = list(build_loader(run_config(root, 0), cpu))
    shared = list(build_loader(run_config(root, 2), cpu))
    resumed = list(build_loader(run_config(root, 0), cpu, first_step=2))
    assert len(alone) == len(shared) == 4 and len(resumed) == 2
    assert all(same(a, b) for a, b in zip(alone, shared, strict=True))
    assert all(same(a, b) for a, b in zip(alone[2:], resumed, strict=True))


def test_wrong_sets_and_weights_are_refused(tmp_path: Path) -> None:
    root = write_root(tmp_path, {"a": 4})
    with pytest.raises(
        ValueError, match="unknown training set 'davids': expected davis, youtube, mose, bl30k, static, sample, mose2"
    ):
        find_sources(DataConfig(dataset=("davids",)), 3, "2")
    with pytest.raises(ValueError, match="no training set: give --dataset, --user_roots or --user_sources"):
        find_sources(DataConfig(dataset=()), 3, "2")
    with pytest.raises(ValueError, match=r"--user_weights \(1, 2\): expected 1 integers >= 1"):
        find_sources(DataConfig(dataset=(), user_roots=(root,), user_weights=(1, 2)), 3, "2")
