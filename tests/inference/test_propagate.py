"""Whole videos: flip and scales, sizes, ids, late masks, streaming."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dataset.evaluate.video import open_video
from inference.propagate import (
    SegmentedFrame,
    build_variants,
    merge_probabilities,
    one_late,
    propagate,
    segment_video,
)
from inference.segmenter import InferenceConfig, build_segmenter
from inference.stopwatch import Stopwatch
from tests.support.toy_videos import HEIGHT, WIDTH, toy_model, write_video

CONFIG = InferenceConfig(mem_every=2, top_k=5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def video(tmp_path: Path) -> tuple[Path, Path]:
    write_video(tmp_path / "frames", tmp_path / "masks", length=6)
    return tmp_path / "frames", tmp_path / "masks"


def probabilities(frames: Path, masks: Path, **options: object) -> Tensor:
    result = segment_video(toy_model(), frames, masks, config=CONFIG, **options)  # type: ignore[arg-type]
    return torch.stack([frame.prob for frame in result])


def test_frames_come_in_order_at_the_original_size(video: tuple[Path, Path]) -> None:
    result = list(segment_video(toy_model(), *video, size=32, config=CONFIG))
    assert [frame.name for frame in result] == [f"{number:05d}" for number in range(6)]
    for frame in result:
        assert frame.prob.shape == (3, HEIGHT, WIDTH) and frame.prob.dtype == torch.float32
        assert frame.id_mask.shape == (HEIGHT, WIDTH) and frame.id_mask.dtype == np.uint8
        assert frame.object_ids == [1, 2] and frame.wanted
        assert not frame.prob.requires_grad
        torch.testing.assert_close(frame.prob.sum(dim=0), torch.ones(HEIGHT, WIDTH))
        np.testing.assert_array_equal(frame.id_mask, frame.prob.argmax(dim=0).numpy())
        np.testing.assert_array_equal(frame.rgb, np.asarray(Image.open(video[0] / f"{frame.name}.png")))


def test_native_size_equals_the_segmenter_by_hand(video: tuple[Path, Path]) -> None:
    segmenter = build_segmenter(toy_model(), CONFIG)
    frames = open_video(*video).frames(-1)
    by_hand = [segmenter.step(frame.image, frame.mask, frame.object_ids, frame.last) for frame in frames]
    torch.testing.assert_close(probabilities(*video, size=-1), torch.stack(by_hand), rtol=0, atol=0)
    torch.testing.assert_close(probabilities(*video, size=HEIGHT), torch.stack(by_hand), rtol=0, atol=0)


def test_flip_is_the_average_with_the_mirrored_video(video: tuple[Path, Path], tmp_path: Path) -> None:
    mirrored = tmp_path / "mirrored frames", tmp_path / "mirrored masks"
    for folder, target in zip(video, mirrored, strict=True):
        target.mkdir()
        for file in folder.iterdir():
            with Image.open(file) as image:
                image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target / file.name)
    plain, other = probabilities(*video, size=-1), probabilities(*mirrored, size=-1).flip(-1)
    assert (plain - other).abs().max() > 1e-4  # the network is not symmetric, so the test can fail
    torch.testing.assert_close(probabilities(*video, size=-1, flip=True), (plain + other) / 2, rtol=0, atol=1e-6)


def test_scales_are_averaged_and_one_scale_is_a_size(video: tuple[Path, Path]) -> None:
    small, large = probabilities(*video, size=32), probabilities(*video, size=64)
    assert (small - large).abs().max() > 1e-4
    torch.testing.assert_close(probabilities(*video, scales=[32, 64]), (small + large) / 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(probabilities(*video, size=64, scales=[32]), small, rtol=0, atol=0)


def test_scales_and_flip_together(video: tuple[Path, Path]) -> None:
    parts = [probabilities(*video, size=size, flip=True) for size in (32, 64)]
    merged = probabilities(*video, scales=[32, 64], flip=True)
    torch.testing.assert_close(merged, (parts[0] + parts[1]) / 2, rtol=0, atol=1e-6)


def test_frames_before_the_first_mask_are_background(tmp_path: Path) -> None:
    write_video(tmp_path / "frames", tmp_path / "masks", length=5, given=(2,))
    result = list(segment_video(toy_model(), tmp_path / "frames", tmp_path / "masks", size=32))
    assert [frame.object_ids for frame in result] == [[], [], [1, 2], [1, 2], [1, 2]]
    for frame in result[:2]:
        assert not frame.id_mask.any() and frame.prob.shape == (1, HEIGHT, WIDTH)
        torch.testing.assert_close(frame.prob, torch.ones(1, HEIGHT, WIDTH))


@pytest.mark.parametrize(("ids", "dtype"), [((3, 200), np.uint8), ((7, 300), np.uint16)])
def test_the_users_own_ids(tmp_path: Path, ids: tuple[int, int], dtype: type) -> None:
    write_video(tmp_path / "frames", tmp_path / "masks", length=2, ids=ids)
    first = next(segment_video(toy_model(), tmp_path / "frames", tmp_path / "masks", size=-1))
    assert first.object_ids == list(ids) and first.id_mask.dtype == dtype
    assert set(np.unique(first.id_mask)) == {0, *ids}


def test_one_mask_file_is_the_first_frames(video: tuple[Path, Path]) -> None:
    torch.testing.assert_close(
        probabilities(video[0], video[1] / "00000.png", size=32), probabilities(*video, size=32), rtol=0, atol=0
    )


def test_streaming(video: tuple[Path, Path]) -> None:
    (video[0] / "00005.png").write_bytes(b"not an image")
    result: list[SegmentedFrame] = []
    with pytest.raises(ValueError, match="00005.png is not an image"):
        for frame in segment_video(toy_model(), *video, size=32, config=CONFIG):
            result.append(frame)
    assert len(result) >= 4  # the frame ahead of the damaged one waits to know whether it is the last


def test_variants_serve_one_video_after_the_other(video: tuple[Path, Path]) -> None:
    variants = build_variants(toy_model(), (32,), flip=True, config=CONFIG)
    source = open_video(*video)
    first = [frame.prob for frame in propagate(variants, source)]
    next(iter(propagate(variants, source)))  # given up midway
    again = [frame.prob for frame in propagate(variants, source)]
    torch.testing.assert_close(torch.stack(again), torch.stack(first), rtol=0, atol=0)


def test_unwanted_frames_are_segmented_but_not_yielded(video: tuple[Path, Path]) -> None:
    source = open_video(*video)
    source._wanted = frozenset(["00001", "00004"])
    variants, watch = build_variants(toy_model(), (32,), config=CONFIG), Stopwatch(synchronise=True)
    everything = {frame.name: frame for frame in propagate(variants, source)}
    wanted = list(propagate(variants, source, stopwatch=watch, wanted_only=True))
    assert [frame.name for frame in wanted] == ["00001", "00004"]
    assert [name for name, frame in everything.items() if frame.wanted] == ["00001", "00004"]
    torch.testing.assert_close(wanted[1].prob, everything["00004"].prob, rtol=0, atol=0)
    assert watch.frames == 6 and watch.seconds > 0


def test_the_stopwatch_leaves_out_frames_without_objects(tmp_path: Path) -> None:
    write_video(tmp_path / "frames", tmp_path / "masks", length=5, given=(3,))
    watch = Stopwatch()
    list(
        propagate(
            build_variants(toy_model(), (32,)), open_video(tmp_path / "frames", tmp_path / "masks"), stopwatch=watch
        )
    )
    assert watch.frames == 2


def test_probabilities_are_resized_before_the_argmax() -> None:
    # Two columns become four: bilinear weights of the right column are 0, 1/4, 3/4 and 1.
    prob = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    merged = merge_probabilities([prob], (1, 4))
    torch.testing.assert_close(merged[1], torch.tensor([[0.0, 0.25, 0.75, 1.0]]))
    both = merge_probabilities([prob, torch.tensor([[[1.0]], [[0.0]]])], (1, 4))
    torch.testing.assert_close(both[1], torch.tensor([[0.0, 0.125, 0.375, 0.5]]))
    with pytest.raises(ValueError, match="merge_probabilities: expected at least one map, received none"):
        merge_probabilities([], (1, 4))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((8,), "size 8: expected the shorter side in pixels, at least 16, or -1 for native"),
        ((32, 32), r"sizes \[32, 32\]: expected one or several different ones"),
        ((), r"sizes \[\]: expected one or several different ones"),
    ],
)
def test_sizes_that_make_no_sense(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_variants(toy_model(), sizes)


def test_missing_frames_and_masks_are_named_at_once(video: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.mp4 does not exist"):
        segment_video(toy_model(), tmp_path / "nowhere.mp4", video[1])
    with pytest.raises(FileNotFoundError, match="nowhere.png does not exist"):
        segment_video(toy_model(), video[0], tmp_path / "nowhere.png")


def test_one_late_keeps_order_and_loses_nothing() -> None:
    said: list[str] = []

    def items() -> Iterator[int]:
        for number in range(3):
            said.append(f"queued {number}")
            yield number

    for number in one_late(items()):
        said.append(f"read {number}")
    assert said == ["queued 0", "queued 1", "read 0", "queued 2", "read 1", "read 2"]
    assert list(one_late(iter([]))) == []


def test_what_is_held_comes_before_an_error() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise ValueError("damaged")

    found = one_late(items())
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="damaged"):
        next(found)
