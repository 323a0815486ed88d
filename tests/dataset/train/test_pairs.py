"""Second views of frames: where their pixels come from, and how they are drawn."""

import cv2
import numpy as np
import pytest

from dataset.train.geometry import flip, window
from dataset.train.pairs import compose, draw_pairing, draw_views, render_view, share_geometry
from dataset.train.transforms import FILL, FrameTransform, draw_transforms, warp_image
from tests.support.runs import video_augmentation
from util.config.data import Augmentation
from util.config.train import CorrespondenceConfig

AUGMENTATION = video_augmentation(crop_size=128)
BOTH = CorrespondenceConfig()
RELEASED = CorrespondenceConfig(pcl_variant="released", ocl=False)


def draw(seed: int, augmentation: Augmentation = AUGMENTATION) -> tuple[np.random.Generator, list[FrameTransform]]:
    rng = np.random.default_rng(seed)
    return rng, draw_transforms(rng, augmentation, (240, 320), 3, static=False)


def centre(picture: np.ndarray) -> np.ndarray:
    """Return the centre of mass (x, y) of what is brighter than the fill."""
    weights = np.maximum(picture[..., 0].astype(np.float64) - max(FILL), 0)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


def plain(transform: FrameTransform) -> FrameTransform:
    return transform._replace(colours={})


def test_a_marked_point_lands_where_both_matrices_say() -> None:
    found = 0
    for seed in range(40):
        rng, transforms = draw(seed)
        (view,) = draw_views(rng, transforms, 1, AUGMENTATION, BOTH).values()
        # The point in the original picture that the view's middle shows.
        point = np.round(np.linalg.inv(view.matrix) @ (60, 66, 1))[:2]
        if not (20 < point[0] < 300 and 20 < point[1] < 220):
            continue
        spot = np.zeros((240, 320, 3), np.uint8)
        cv2.circle(spot, (int(point[0]), int(point[1])), 6, (255, 255, 255), -1)
        for transform in (view, transforms[1]):
            received = centre(warp_image(spot, plain(transform)))
            np.testing.assert_allclose(received, (transform.matrix @ (*point, 1))[:2], atol=0.5)
        found += 1
    assert found > 20


def test_a_view_is_a_window_of_the_crop() -> None:
    shares, mirrored, corners = [], [], []
    for seed in range(300):
        rng, transforms = draw(seed)
        views = draw_views(rng, transforms, 1, AUGMENTATION, BOTH)
        assert list(views) == [1] and views[1].size == 128
        inverse = np.linalg.inv(views[1].matrix @ np.linalg.inv(transforms[1].matrix))
        np.testing.assert_allclose(inverse[[0, 1, 2, 2], [1, 0, 0, 1]], 0, atol=1e-9)
        assert abs(inverse[0, 0]) == pytest.approx(inverse[1, 1])
        edges = inverse @ np.array([[-0.5, 127.5], [-0.5, 127.5], [1, 1]]) + 0.5
        assert edges[:2].min() > -1e-6 and edges[:2].max() < 128 + 1e-6
        shares.append(inverse[1, 1])
        mirrored.append(inverse[0, 0] < 0)
        corners.append(edges[1, 0])
    assert 0.5 <= min(shares) < 0.52 and 0.98 < max(shares) <= 1 and np.mean(shares) == pytest.approx(0.75, abs=0.03)
    assert 0.4 < np.mean(mirrored) < 0.6 and max(corners) > 50


@pytest.mark.parametrize(
    "crop, wanted, side", [(384, 0, 192), (256, 0, 128), (128, 0, 128), (96, 0, 96), (384, 96, 96)]
)
def test_the_side_of_the_view(crop: int, wanted: int, side: int) -> None:
    augmentation = video_augmentation(crop_size=crop)
    rng, transforms = draw(0, augmentation)
    views = draw_views(rng, transforms, 0, augmentation, CorrespondenceConfig(view_size=wanted))
    assert views[0].size == side


def test_a_spline_is_carried_into_the_view() -> None:
    """The view equals what the warped crop shows in the window."""
    augmentation = video_augmentation(crop_size=128, spline=1.0, spline_sigma=0.05)
    y, x = np.mgrid[:240, :320].astype(np.float32)
    picture = (np.stack([np.sin(x / 9), np.cos(y / 11), np.sin((x + y) / 15)], axis=-1) * 100 + 128).astype(np.uint8)
    for seed in range(5):
        _, transforms = draw(seed, augmentation)
        assert transforms[0].field is not None
        to_view = flip(96) @ window(20, 30, 72, 72, 96)
        view = compose(plain(transforms[0]), to_view, 96)
        received = warp_image(picture, view).astype(int)
        twice = cv2.warpAffine(warp_image(picture, plain(transforms[0])), to_view[:2], (96, 96)).astype(int)
        # Around the picture's edge, where colours jump, one resampling is sharper than two.
        differences = np.abs(received - twice)[2:-2, 2:-2]
        assert np.percentile(differences, 95) < 4
        without = warp_image(picture, view._replace(field=None)).astype(int)
        assert np.abs(received - without).mean() > 3 * differences.mean()


def test_a_view_that_shrinks_skips_no_pixel() -> None:
    y, x = np.mgrid[:240, :320]
    board = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    view = FrameTransform(window(10.3, 20.7, 200, 200, 60), None, {}, 60)
    assert np.abs(render_view(board, view, 1).astype(int) - 127.5).max() < 2
    assert np.abs(render_view(board[:, ::2], view, 2).astype(int) - 127.5).max() > 100


def test_only_colours_of_the_view_are_its_own() -> None:
    rng, transforms = draw(3)
    (view,) = draw_views(rng, transforms, 2, AUGMENTATION, BOTH).values()
    frame = transforms[2]
    assert list(view.colours) == list(frame.colours) == ["clip_jitter", "frame_jitter"]
    np.testing.assert_array_equal(view.colours["clip_jitter"], frame.colours["clip_jitter"])
    assert (np.asarray(view.colours["frame_jitter"]) != np.asarray(frame.colours["frame_jitter"])).any()


def test_the_released_variant_views_all_frames_alike() -> None:
    for seed in range(10):
        rng, transforms = draw(seed)
        shared, pairing = draw_pairing(rng, (4, 9, 11), transforms, AUGMENTATION, RELEASED)
        assert (pairing.pair, pairing.anchor, list(pairing.views)) == (0, 2, [0, 1, 2])
        assert all(a is b for a, b in zip(shared, transforms, strict=True))
        steps = [view.matrix @ np.linalg.inv(t.matrix) for view, t in zip(pairing.views.values(), shared, strict=True)]
        np.testing.assert_allclose(steps[1:], [steps[0]] * 2, atol=1e-9)
        assert {view.size for view in pairing.views.values()} == {128}


def test_without_the_pixel_loss_there_is_no_view() -> None:
    rng, transforms = draw(0)
    alone = CorrespondenceConfig(pcl=False, pcl_variant="released")
    _, pairing = draw_pairing(rng, (4, 5, 11), transforms, AUGMENTATION, alone)
    assert pairing.views == {} and (pairing.pair, pairing.anchor) == (0, 2)


def test_the_pair_shares_geometry_and_no_colour() -> None:
    _, transforms = draw(1, video_augmentation(crop_size=128, spline=0.5))
    for pair in (0, 1):
        shared = share_geometry(transforms, pair)
        assert len(shared) == 3 and shared[pair + 1].field is transforms[pair].field
        np.testing.assert_array_equal(shared[pair + 1].matrix, transforms[pair].matrix)
        assert all(shared[pair + 1].colours[k] is change for k, change in transforms[pair + 1].colours.items())
        assert all(shared[i] is transforms[i] for i in range(3) if i != pair + 1)
