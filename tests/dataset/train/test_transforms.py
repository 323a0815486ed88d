"""Augmentation: geometry against step-by-step geometry and true points, colours against the plain formulas."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dataset.train import transforms
from dataset.train.geometry import about, flip, random_resized_crop, rotation_shear, window
from dataset.train.transforms import (
    FILL,
    Change,
    Colour,
    FrameTransform,
    Pictures,
    apply_colour,
    decode_reduction,
    draw_transforms,
    warp_image,
    warp_mask,
)
from tests.support.runs import video_augmentation
from util.config.data import Augmentation

GREY = np.array([1.0, 1, 0, 0])
STILL = video_augmentation(
    crop_size=64, crop_scale=(1.0, 1.0), crop_ratio=1.0, flip=0.0, grey=0.0, degrees=0.0, shear=0.0,
    clip_jitter=(0.0, 0.0, 0.0, 0.0), frame_jitter=(0.0, 0.0, 0.0, 0.0),
)  # fmt: skip
RICH = video_augmentation(crop_size=64, spline=0.5, zoom=(0.8, 1.5), clip_jitter=(0.1, 0.1, 0.1, 0.05))


def smooth_picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    planes = [np.sin(x / 9 + y / 17), np.cos(x / 13 - y / 11), np.sin((x + y) / 15)]
    return (np.stack(planes, axis=-1) * 100 + 128).astype(np.uint8)


def transform(
    matrix: np.ndarray, field: np.ndarray | None = None, size: int = 64, grey: bool = False
) -> FrameTransform:
    return FrameTransform(matrix, field, {"grey": GREY} if grey else {}, size)


def moved(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    return (matrix @ (x, y, 1))[:2]


@pytest.mark.parametrize("seed", range(5))
def test_one_resampling_equals_one_step_after_another(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = smooth_picture(80, 120)
    crop = random_resized_crop(rng, 80, 120, (0.4, 0.8), 4 / 3, 64)
    turn = about(rotation_shear(rng.uniform(-15, 15), rng.uniform(-10, 10), 1.0), 31.5, 31.5)
    once = warp_image(image, transform(turn @ crop @ flip(120)))
    step = image[:, ::-1].copy()
    step = warp_image(step, transform(crop))
    step = warp_image(step, transform(turn))
    # Corners: the second step has lost what lies outside the crop.
    inside = warp_mask(np.ones((64, 64), np.uint8), transform(about(np.diag([0.9, 0.9, 1]), 31.5, 31.5)))
    inside &= warp_mask(np.ones((64, 64), np.uint8), transform(turn))
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8)).astype(bool)
    assert inside.mean() > 0.5
    difference = np.abs(once.astype(int) - step)[inside]
    assert difference.max() <= 8 and difference.mean() < 1


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("reduction", [1, 2])
def test_matrix_takes_points_where_the_picture_shows_them(static: bool, reduction: int) -> None:
    config = replace(RICH, spline=0.0, crop_scale=(0.5, 0.9))
    for seed in range(8):
        (drawn,) = draw_transforms(np.random.default_rng(seed), config, (160, 200), 1, static=static)
        inverse = np.linalg.inv(drawn.matrix)
        x, y = np.round(moved(inverse, 20, 40))
        if not (8 <= x < 192 and 8 <= y < 152):
            continue
        image = np.zeros((160, 200, 3), np.uint8)
        cv2.circle(image, (int(x), int(y)), 7, (255, 255, 255), -1)
        small = cv2.resize(image, (200 // reduction, 160 // reduction), interpolation=cv2.INTER_AREA)
        crop = warp_image(small, drawn, reduction)[..., 0].astype(float)
        crop[crop <= FILL[0]] = 0  # outside the picture, soft edges to it included
        rows, columns = np.mgrid[:64, :64]
        centre = (crop * columns).sum() / crop.sum(), (crop * rows).sum() / crop.sum()
        np.testing.assert_allclose(centre, moved(drawn.matrix, x, y), atol=0.35)


@pytest.mark.parametrize("static", [False, True])
def test_masks_and_pictures_stay_in_step(static: bool) -> None:
    mask = np.zeros((120, 160), np.uint8)
    cv2.circle(mask, (80, 60), 40, 1, -1)
    image = np.repeat(mask[..., None] * 255, 3, axis=2)
    config = replace(RICH, crop_scale=(0.5, 1.0), clip_jitter=(0, 0, 0, 0), frame_jitter=(0, 0, 0, 0), grey=0)
    for seed in range(10):
        drawn = draw_transforms(np.random.default_rng(seed), config, (120, 160), 3, static=static)
        for one in drawn:
            crop, label = apply_colour(warp_image(image, one), one)[..., 0], warp_mask(mask, one)
            square, edge = np.ones((5, 5), np.uint8), cv2.BORDER_CONSTANT
            inside = cv2.erode(label, square, borderType=edge, borderValue=0) == 1
            outside = cv2.dilate(label, square, borderType=edge, borderValue=1) == 0
            assert inside.any() and (crop[inside] == 255).all()
            assert (crop[outside] < 130).all()  # 0, or the fill outside the picture


def test_what_holds_for_the_clip_and_what_for_a_frame() -> None:
    still = draw_transforms(np.random.default_rng(0), replace(STILL, crop_scale=(0.3, 0.6)), (90, 90), 4, static=False)
    assert all(np.array_equal(one.matrix, still[0].matrix) for one in still)
    moving = draw_transforms(np.random.default_rng(0), RICH, (90, 90), 4, static=False)
    assert len({one.matrix.tobytes() for one in moving}) == 4
    assert len({np.asarray(one.colours["clip_jitter"]).tobytes() for one in moving}) == 1
    assert len({"grey" in one.colours for one in moving}) == 1
    flips = [draw_transforms(np.random.default_rng(s), RICH, (90, 90), 2, static=False) for s in range(100)]
    mirrored = [[np.linalg.det(one.matrix) < 0 for one in clip] for clip in flips]
    assert all(len(set(clip)) == 1 for clip in mirrored) and 30 < sum(clip[0] for clip in mirrored) < 70


def test_identity_changes_nothing() -> None:
    image = smooth_picture(64, 64)
    (still,) = draw_transforms(np.random.default_rng(0), STILL, (64, 64), 1, static=False)
    np.testing.assert_array_equal(apply_colour(warp_image(image, still), still), image)
    (static,) = draw_transforms(np.random.default_rng(0), STILL, (64, 64), 1, static=True)
    np.testing.assert_allclose(static.matrix, np.eye(3), atol=1e-12)


def test_spline_composes_with_the_matrix() -> None:
    image = smooth_picture(64, 64)
    shift = np.array([[1.0, 0, 3], [0, 1, -2], [0, 0, 1]])
    field = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).astype(np.float32) + np.array([5, 1], np.float32)
    warped = warp_image(image, transform(shift, field))
    # Crop pixel (x, y) shows (x + 5, y + 1) of the shifted crop, that is (x + 2, y + 3) of the picture.
    np.testing.assert_array_equal(warped[:60, :60], image[3:63, 2:62])


def test_reduction_never_asks_for_enlarging() -> None:
    expected = {1.5: 1, 1.0: 1, 0.51: 1, 0.5: 2, 0.3: 2, 0.25: 4, 0.125: 8, 0.01: 8}
    for scale, reduction in expected.items():
        assert decode_reduction(transform(np.diag([scale, -scale, 1]))) == reduction


def test_a_reduced_picture_gives_nearly_the_same_crop() -> None:
    image = smooth_picture(256, 256)
    small = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    matrix = window(30, 40, 150, 150, 64)
    difference = warp_image(image, transform(matrix)).astype(int) - warp_image(small, transform(matrix), 2)
    assert np.abs(difference).max() <= 6


def plain_jitter(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    image = image * brightness
    image = contrast * image + (1 - contrast) * (image @ (0.299, 0.587, 0.114)).mean()
    return saturation * image + (1 - saturation) * (image @ (0.299, 0.587, 0.114))[..., None]


def test_colours_equal_one_change_after_another() -> None:
    image = (smooth_picture(32, 32) // 2 + 60).astype(np.uint8)
    jitters = {"clip_jitter": np.array([1.1, 0.9, 1.2, 0.0]), "frame_jitter": np.array([0.95, 1.1, 0.8, 0.0])}
    expected = plain_jitter(plain_jitter(image, 1.1, 0.9, 1.2), 0.95, 1.1, 0.8)
    received = apply_colour(image, FrameTransform(np.eye(3), None, jitters, 32))
    np.testing.assert_allclose(received, expected, atol=1)  # OpenCV rounds the coefficients of bytes


def test_hue_keeps_the_luma_and_a_full_turn_changes_nothing() -> None:
    image = (smooth_picture(32, 32) // 4 + 90).astype(np.uint8)
    for turn in (0.05, 0.5, 1.0):
        jitters = {"clip_jitter": np.array([1.0, 1.0, 1.0, turn])}
        received = apply_colour(image, FrameTransform(np.eye(3), None, jitters, 32)).astype(float)
        np.testing.assert_allclose(received @ (0.299, 0.587, 0.114), image @ (0.299, 0.587, 0.114), atol=1)
        assert (np.abs(received - image).max() <= 1) == (turn == 1.0)


def test_grey() -> None:
    image = smooth_picture(8, 8)
    received = apply_colour(image, transform(np.eye(3), grey=True))
    np.testing.assert_allclose(received, np.repeat((image @ (0.299, 0.587, 0.114))[..., None], 3, 2), atol=0.51)


def draw_blur(rng: np.random.Generator, config: Augmentation, pictures: Pictures) -> Colour | None:
    sigma = rng.uniform(1, 3)
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma)


@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_augmentation_is_a_function_and_a_line(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = list(transforms.PHOTOMETRIC)
    listed.insert(place, Change("blur", "frame", draw_blur))
    config = replace(RICH, grey=0.5)
    before = draw_transforms(np.random.default_rng(3), config, (90, 90), 1, static=False)[0]
    monkeypatch.setattr(transforms, "PHOTOMETRIC", tuple(listed))
    blurred, other = draw_transforms(np.random.default_rng(3), config, (90, 90), 2, static=False)
    # Nothing else is drawn otherwise, and every frame has a blur of its own.
    np.testing.assert_array_equal(blurred.matrix, before.matrix)
    assert [name for name in blurred.colours if name != "blur"] == list(before.colours)
    assert list(blurred.colours).index("blur") == place if place < 3 else list(blurred.colours)[-1] == "blur"
    image = warp_image(smooth_picture(90, 90), blurred)
    received = apply_colour(image, blurred)
    expected = image
    for change in blurred.colours.values():
        one = blurred._replace(colours={"any": change})
        expected = change(expected) if callable(change) else apply_colour(expected, one)
    assert np.abs(received.astype(int) - expected).max() <= 2, "in the order of the list, up to rounding"
    assert np.abs(received.astype(int) - apply_colour(image, before)).max() > 2
    assert np.abs(received.astype(int) - apply_colour(image, other)).max() > 2


def test_what_is_listed_is_what_happens() -> None:
    names = [change.name for change in transforms.GEOMETRIC], [change.name for change in transforms.PHOTOMETRIC]
    assert names == (
        ["vertical_flip", "flip", "crop", "affine", "spline"],
        ["clip_jitter", "frame_jitter", "grey"],
    )
    (drawn,) = draw_transforms(np.random.default_rng(0), replace(RICH, grey=1.0), (90, 90), 1, static=False)
    assert list(drawn.colours) == names[1]
