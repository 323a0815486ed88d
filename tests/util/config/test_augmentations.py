"""The published augmentations, against RECIPES §1."""

from util.config.augmentations import augmentation, twoframe_augmentation


def test_videos() -> None:
    video = augmentation("2")
    assert video == augmentation("3")
    assert (video.crop_size, video.crop_scale, video.flip, video.grey) == (384, (0.36, 1.0), 0.5, 0.05)
    assert video.clip_jitter == (0.1, 0.03, 0.03, 0.0) and video.frame_jitter == (0.01, 0.01, 0.01, 0.0)
    assert (video.degrees, video.shear, video.frame_scale, video.spline) == (15.0, 10.0, (1.0, 1.0), 0.0)
    assert video.zoom == (1.0, 1.0) and video.vertical_flip == video.paste == 0


def test_bl30k_shows_more_and_turns_nothing() -> None:
    bl30k, video = augmentation("1"), augmentation("2")
    assert (bl30k.crop_scale, bl30k.degrees, bl30k.shear) == ((0.25, 1.0), 0.0, 0.0)
    assert (bl30k.clip_jitter, bl30k.frame_jitter, bl30k.flip) == (video.clip_jitter, video.frame_jitter, video.flip)


def test_static_pictures() -> None:
    static = augmentation("0")
    assert (static.zoom, static.flip, static.grey) == ((0.8, 1.5), 0.5, 0.05)
    assert static.clip_jitter == (0.1, 0.05, 0.05, 0.05) and static.frame_jitter == (0.1, 0.05, 0.05, 0.0)
    assert (static.degrees, static.frame_scale, static.shear) == (20.0, (0.9, 1.1), 10.0)
    assert (static.spline, static.spline_sigma, static.spline_points) == (1 / 3, 0.02, 12)


def test_two_frame_networks_change_no_colour() -> None:
    for static in (True, False):
        both = twoframe_augmentation(static)
        assert {*both.clip_jitter, *both.frame_jitter, both.grey} == {0.0}
        assert (both.flip, both.vertical_flip, both.paste) == (0.5, 0.5, 0.2)
