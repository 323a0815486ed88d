"""Drawn clips depend on their seed alone, everything in them moves, and objects come and go when they are told to."""

import numpy as np

from dataset.sample.scenes import Scene, draw


def test_pixels_depend_on_the_seed_only() -> None:
    scene = Scene(seed=3, frames=3, height=64, width=96)
    first, again = list(draw(scene)), list(draw(scene))
    other = list(draw(Scene(seed=4, frames=3, height=64, width=96)))
    for (picture, ids), (picture2, ids2), (picture3, ids3) in zip(first, again, other, strict=True):
        assert picture.shape == (64, 96, 3) and picture.dtype == np.uint8 and ids.dtype == np.uint8
        assert np.array_equal(picture, picture2) and np.array_equal(ids, ids2)
        assert not np.array_equal(picture, picture3) and not np.array_equal(ids, ids3)


def test_everything_moves() -> None:
    frames = list(draw(Scene(seed=5, frames=4, height=64, width=96)))
    background = (frames[0][1] == 0) & (frames[3][1] == 0)
    change = np.abs(frames[0][0].astype(int) - frames[3][0].astype(int))
    assert change[background].mean() > 8  # grain alone gives about 3
    assert (frames[0][1] != frames[3][1]).any()


def test_objects_enter_and_leave_at_their_frames() -> None:
    scene = Scene(seed=6, frames=30, height=48, width=64, objects=2, enters=2, enters_at=4, leaves=1, leaves_at=6)
    masks = np.stack([ids for _, ids in draw(scene)])
    assert set(np.unique(masks)) == {0, 1, 2}
    there = {index: (masks == index).any(axis=(1, 2)) for index in (1, 2)}
    assert not there[2][:4].any() and there[2][4]
    assert there[1][0] and not there[1][-4:].any()
