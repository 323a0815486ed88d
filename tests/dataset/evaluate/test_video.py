import json
import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.evaluate.prepare import IMAGENET_MEAN, IMAGENET_STD, prepare_image, prepare_mask
from dataset.evaluate.video import Video, open_video
from inference.output.film import OverlayVideo
from util.files.palette import write_mask

HEIGHT, WIDTH = 36, 48


def picture(level: int = 100, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), level, np.uint8))


def ids(*objects: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Each object is a column of 8 pixels."""
    mask = np.zeros((height, width), np.uint16)
    for place, value in enumerate(objects):
        mask[4:-4, 8 * place + 2 : 8 * place + 10] = value
    return mask


def write_frames(folder: Path, count: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture(10 * index).save(folder / f"{index}.png")
    return folder


def write_masks(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        write_mask(folder / f"{name}.png", mask)
    return folder


def given(video: Video, size: int = -1) -> dict[str, list[int] | None]:
    return {frame.name: frame.object_ids for frame in video.frames(size) if frame.mask is not None}


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "clip")


def test_frames_in_natural_order_with_the_first_mask(tmp_path: Path) -> None:
    clip = write_frames(tmp_path / "clip", 12)
    write_mask(tmp_path / "m.png", ids(3, 9))
    video = open_video(clip, tmp_path / "m.png")
    assert (video.name, len(video), video.size, video.object_ids) == ("clip", 12, (HEIGHT, WIDTH), [3, 9])
    shown = list(video.frames(-1))
    assert [frame.name for frame in shown] == [str(index) for index in range(12)]
    assert [frame.last for frame in shown] == [False] * 11 + [True]
    assert all(frame.wanted for frame in shown)
    assert all(int(frame.rgb[0, 0, 0]) == 10 * index for index, frame in enumerate(shown))
    first = shown[0]
    assert first.mask is not None and first.mask.dtype == torch.int64 and first.object_ids == [3, 9]
    assert np.array_equal(first.mask.numpy(), ids(3, 9))
    assert all(frame.mask is None and frame.object_ids is None for frame in shown[1:])
    assert [frame.name for frame in video.frames(-1)] == [frame.name for frame in shown], "it can be read again"


def test_images_are_normalised_by_hand(tmp_path: Path) -> None:
    rgb = np.array([[[255, 0, 128]]], np.uint8).repeat(5, 0).repeat(7, 1)
    image = prepare_image(rgb, -1)
    expected = [(v / 255 - m) / s for v, m, s in zip((255, 0, 128), IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    assert image.shape == (3, 5, 7) and image.dtype == torch.float32
    torch.testing.assert_close(image[:, 2, 3], torch.tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((480, 854), 480, (480, 854)),
        ((1080, 1920), 480, (480, 853)),
        ((1920, 1080), 480, (853, 480)),
        ((30, 40), 60, (60, 80)),
        ((30, 40), -1, (30, 40)),
        ((40, 40), 20, (20, 20)),
    ],
)
def test_the_shorter_side_gets_the_size(shape: tuple[int, int], size: int, expected: tuple[int, int]) -> None:
    assert prepare_image(np.zeros((*shape, 3), np.uint8), size).shape == (3, *expected)
    assert prepare_mask(np.zeros(shape, np.uint8), size).shape == expected


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = prepare_image(stripes, 16)
    grey = prepare_image(np.full((16, 16, 3), 128, np.uint8), -1)
    torch.testing.assert_close(shrunk, grey, rtol=0, atol=1e-5)


def test_small_objects_survive_resizing() -> None:
    mask = np.zeros((64, 64), np.uint16)
    mask[33, 17] = 700
    mask[10:30, 10:30] = 2
    resized = prepare_mask(mask, 8)
    assert resized.unique().tolist() == [0, 2, 700] and int(resized[33 // 8, 17 // 8]) == 700


def test_a_mask_on_any_frame_counts(frames: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks", {"2": ids(1), "4": ids(1, 300)})
    video = open_video(frames, masks)
    assert video.object_ids == [1, 300]
    assert given(video) == {"2": [1], "4": [1, 300]}


def test_empty_mask_between_others_is_skipped_and_logged(
    frames: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    masks = write_masks(tmp_path / "masks", {"0": ids(1), "3": ids(), "5": ids(2)})
    with caplog.at_level(logging.WARNING):
        assert given(open_video(frames, masks)) == {"0": [1], "5": [2]}
    assert [record.getMessage() for record in caplog.records] == [
        f"video clip: mask {masks / '3.png'} holds no object and is skipped."
    ]


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", ids(255))
    [frame] = list(open_video(write_frames(tmp_path / "clip", 1), tmp_path / "m.png").frames(20))
    assert frame.last and frame.object_ids == [255] and frame.image.shape == (3, 20, 26)
    assert frame.rgb.shape == (HEIGHT, WIDTH, 3)


def write_film(path: Path, count: int) -> None:
    film = OverlayVideo(path, fps=25)
    for index in range(count):
        film.add(np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8))
    film.close()


def test_video_file_with_one_mask_or_numbered_ones(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", 7)
    write_mask(tmp_path / "first.png", ids(5))
    video = open_video(tmp_path / "film.mp4", tmp_path / "first.png")
    assert (video.name, len(video), video.size, video.fps) == ("film", 7, (HEIGHT, WIDTH), 25)
    assert given(video) == {"00000": [5]}
    masks = write_masks(tmp_path / "masks", {"0": ids(1), "00004": ids(2)})
    assert given(open_video(tmp_path / "film.mp4", masks)) == {"00000": [1], "00004": [2]}
    write_masks(masks, {"7": ids(2)})
    with pytest.raises(
        ValueError, match=r"1 masks in .*masks match no frame of .*film.mp4: 7.png. Name each mask like"
    ):
        open_video(tmp_path / "film.mp4", masks)


def test_stopping_early_ends_the_thread(frames: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", ids(1))
    stream = open_video(frames, tmp_path / "m.png").frames()
    next(stream)
    assert [thread for thread in threading.enumerate() if thread.name == "prefetch"]
    stream.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def message_of(frames: Path, masks: Path) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        list(open_video(frames, masks).frames())
    return str(caught.value)


def test_mask_of_another_size(frames: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", ids(1, height=50, width=60))
    assert message_of(frames, tmp_path / "m.png") == (
        f"mask {tmp_path / 'm.png'} has 60x50 pixels, its frame in {frames} 48x36. "
        "Resize the mask to the frame's size with nearest neighbour."
    )


def test_missing_and_empty_masks(frames: Path, tmp_path: Path) -> None:
    assert message_of(frames, tmp_path / "none.png") == (
        f"mask {tmp_path / 'none.png'} does not exist: expected a mask PNG or a folder of them."
    )
    (tmp_path / "masks").mkdir()
    assert message_of(frames, tmp_path / "masks") == (
        f"no mask in {tmp_path / 'masks'}: expected PNGs named like the frames in {frames}."
    )
    write_masks(tmp_path / "masks", {"0": ids(), "2": ids()})
    assert message_of(frames, tmp_path / "masks") == (
        f"video clip: all 2 masks in {tmp_path / 'masks'} hold no object, only zeros. "
        "Give a mask with at least one object."
    )
    assert message_of(frames, tmp_path / "masks" / "0.png") == (
        f"video clip: mask {tmp_path / 'masks' / '0.png'} holds no object, only zeros. "
        "Give a mask with at least one object."
    )


def test_mask_names_that_match_no_frame(frames: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks", {"0": ids(1), "00007": ids(1), "x": ids(1)})
    assert message_of(frames, masks) == (
        f"2 masks in {masks} match no frame of {frames}: 00007.png, x.png. "
        "Name each mask like its frame (0.png ... 5.png)."
    )


def test_unfit_masks_are_refused_as_they_are_read(frames: Path, tmp_path: Path) -> None:
    picture().save(tmp_path / "rgb.png")
    assert f"mask {tmp_path / 'rgb.png'} has mode RGB: colours are not object ids" in message_of(
        frames, tmp_path / "rgb.png"
    )
    soft = np.tile(np.clip(np.arange(WIDTH) * 10 - 100, 0, 255).astype(np.uint8), (HEIGHT, 1))
    Image.fromarray(soft).save(tmp_path / "soft.png")
    assert "is anti-aliased" in message_of(frames, tmp_path / "soft.png")


def test_damaged_frames(frames: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", ids(1))
    (frames / "3.png").write_text("no picture")
    assert f"frame {frames / '3.png'} is not an image" in message_of(frames, tmp_path / "m.png")
    (frames / "3.png").unlink()
    noise = np.random.RandomState(0).randint(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(frames / "3.jpg")
    content = (frames / "3.jpg").read_bytes()
    (frames / "3.jpg").write_bytes(content[: len(content) // 2])
    assert f"frame {frames / '3.jpg'} is truncated or damaged" in message_of(frames, tmp_path / "m.png")


def test_frame_sizes_that_change_midway(frames: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", ids(1))
    picture(height=40, width=50).save(frames / "4.png")
    assert message_of(frames, tmp_path / "m.png") == (
        f"video {frames}: frame 4 has 50x40 pixels, the frames before it 48x36. Resize all frames to one size."
    )


def test_frames_before_the_error_are_delivered(frames: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", ids(1))
    (frames / "3.png").write_text("no picture")
    names = []
    with pytest.raises(ValueError, match="is not an image"):
        for frame in open_video(frames, tmp_path / "m.png").frames():
            names.append(frame.name)
    assert names[:2] == ["0", "1"]


def test_json_is_serialisable(frames: Path, tmp_path: Path) -> None:
    """Ids are Python integers, so that they can go into reports."""
    write_mask(tmp_path / "m.png", ids(1, 2))
    [frame, *_] = list(open_video(frames, tmp_path / "m.png").frames())
    assert json.dumps(frame.object_ids) == "[1, 2]"
