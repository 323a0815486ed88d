"""`segment_video` and `step_rgb` with what a program holds: arrays, tensors, cameras, prompts, stretches, backwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.disk.frames import open_frames
from inference import InferenceConfig, build_segmenter, segment_video, step_rgb
from inference.output.film import OverlayVideo
from tests.support.toy_videos import HEIGHT, WIDTH, draw, toy_model, write_video
from util.files.palette import read_mask, write_mask

CONFIG = InferenceConfig(mem_every=2, top_k=5)
LENGTH = 7
FRAMES = [draw(number, (1, 2))[0] for number in range(LENGTH)]
FIRST = draw(0, (1, 2))[1]
LATER = draw(4, (1, 2))[1]


def run(frames: Any, masks: Any, **options: Any) -> dict[str, np.ndarray]:
    found = segment_video(toy_model(), frames, masks, config=CONFIG, **{"size": 32, **options})
    return {frame.name: frame.id_mask for frame in found}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture
def video(tmp_path: Path) -> tuple[Path, Path]:
    write_video(tmp_path / "frames", tmp_path / "masks", length=LENGTH)
    return tmp_path / "frames", tmp_path / "masks"


def test_every_kind_of_frames_and_masks_gives_the_same(video: tuple[Path, Path]) -> None:
    expected = run(*video)
    assert len(expected) == LENGTH and any(mask.any() for mask in expected.values())
    frames, masks = video
    png = masks / "00000.png"
    floats = torch.from_numpy(np.stack(FRAMES)).permute(0, 3, 1, 2).float() / 255
    for kind in (str(frames), FRAMES, np.stack(FRAMES), floats, list(floats), iter(FRAMES), tuple(FRAMES)):
        assert same(run(kind, png), expected), type(kind)
    for given in (FIRST, torch.from_numpy(FIRST), {0: FIRST}, {0: png}, {0: (FIRST, [1, 2])}):
        assert same(run(FRAMES, given), expected), type(given)
    assert same(run(frames, {"00000": FIRST}), expected) and same(run(frames, [png]), expected)


def test_a_camera_is_asked_for_one_frame_at_a_time() -> None:
    taken = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal taken
        for frame in FRAMES:
            taken += 1
            yield frame

    for number, _ in enumerate(segment_video(toy_model(), camera(), FIRST, size=32, config=CONFIG), start=1):
        assert taken == number


def test_prompts_on_several_frames(tmp_path: Path) -> None:
    alone = (np.where(LATER == 2, 2, 0), [2])
    found = run(FRAMES, {0: np.where(FIRST == 1, 1, 0), 4: alone}, size=-1)
    assert [bool((found[f"{number:05d}"] == 2).any()) for number in (0, 3, 4)] == [False, False, True]
    np.testing.assert_array_equal(found["00004"] == 2, LATER == 2)
    write_mask(tmp_path / "4.png", LATER.astype(np.uint8))
    write_mask(tmp_path / "0.png", FIRST.astype(np.uint8))
    by_files = run(FRAMES, [tmp_path / "0.png", tmp_path / "4.png"])
    assert same(by_files, run(FRAMES, {0: FIRST, 4: LATER}))
    assert not same(by_files, run(FRAMES, FIRST))


def test_an_object_can_be_said_to_be_absent() -> None:
    found = run(FRAMES, {0: FIRST, 4: (np.where(LATER == 2, 2, 0), [1, 2])}, size=-1)
    assert (found["00003"] == 1).any() and not (found["00004"] == 1).any()
    np.testing.assert_array_equal(found["00004"] == 2, LATER == 2)


def test_a_stretch_is_the_video_cut(video: tuple[Path, Path]) -> None:
    cut = run(FRAMES[4:6], LATER)
    for frames in (FRAMES, iter(FRAMES), video[0]):
        found = run(frames, {4: LATER}, start=4, stop=6)
        assert list(found) == ["00004", "00005"]
        assert all(np.array_equal(a, b) for a, b in zip(found.values(), cut.values(), strict=True))
    assert same(run(FRAMES, {0: FIRST, 4: LATER}, start=4), run(FRAMES, LATER, start=4))


def test_backwards_is_the_reversed_video(video: tuple[Path, Path]) -> None:
    turned = run(FRAMES[4::-1], {0: LATER, 4: FIRST})
    for frames in (FRAMES, video[0]):
        found = run(frames, {0: FIRST, 4: LATER}, stop=5, reverse=True)
        assert list(found) == [f"{number:05d}" for number in (4, 3, 2, 1, 0)]
        assert all(np.array_equal(a, b) for a, b in zip(found.values(), turned.values(), strict=True))


def test_backwards_through_a_film(tmp_path: Path) -> None:
    film = OverlayVideo(tmp_path / "clip.mp4", fps=10)
    for number in range(40):
        film.add(draw(number % 9, (1, 2))[0], np.zeros((HEIGHT, WIDTH), np.uint8))
    film.close()
    decoded = [rgb for _, rgb in open_frames(tmp_path / "clip.mp4").read()]
    found = run(tmp_path / "clip.mp4", LATER, start=3, stop=30, reverse=True)
    assert same(found, run(decoded, LATER, start=3, stop=30, reverse=True)) and len(found) == 27


def test_step_rgb_equals_segment_video(video: tuple[Path, Path]) -> None:
    expected = run(*video)
    segmenter = build_segmenter(toy_model(), CONFIG)
    for number, name in enumerate(expected):
        rgb = np.asarray(Image.open(video[0] / f"{name}.png"))
        mask = read_mask(video[1] / "00000.png") if number == 0 else None
        prob = step_rgb(segmenter, rgb, mask, size=32, last=number == LENGTH - 1)
        assert prob.shape == (3, HEIGHT, WIDTH)
        np.testing.assert_array_equal(segmenter.to_id_mask(prob), expected[name])


def test_unfit_input_is_refused() -> None:
    with pytest.raises(ValueError, match="mask given for frame 00000 holds no object"):
        run(FRAMES, np.zeros_like(FIRST))
    with pytest.raises(ValueError, match="mask given for frame 00000 has 64x9 pixels, its frame in frames 64x48"):
        run(FRAMES, FIRST[:9])
    with pytest.raises(ValueError, match=r"mask: expected \[48, 64\] like its frame, received \[9, 64\]"):
        step_rgb(build_segmenter(toy_model(), CONFIG), FRAMES[0], FIRST[:9], size=-1)
