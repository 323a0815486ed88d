"""Masks are split into objects and probabilities turned into ids, by hand; what is wrong is named."""

import numpy as np
import pytest
import torch

from inference.inputs import MAX_ID, check_image, check_known, given_objects, id_mask, most_likely

CPU = torch.device("cpu")
MASK = torch.tensor([[0, 7, 7], [3, 0, 7]])


def test_a_mask_is_split_by_ascending_ids() -> None:
    ids, masks = given_objects(MASK, None, (2, 3), CPU)
    assert ids == [3, 7]
    assert masks.tolist() == [[[0, 0, 0], [1, 0, 0]], [[0, 1, 1], [0, 0, 1]]]
    ids, masks = given_objects(MASK, [7, 5, 7], (2, 3), CPU)  # 5 is given as absent, 3 is not meant
    assert ids == [5, 7]
    assert masks.tolist() == [[[0, 0, 0], [0, 0, 0]], [[0, 1, 1], [0, 0, 1]]]
    assert given_objects(None, None, (2, 3), CPU)[0] == []


@pytest.mark.parametrize("ids", [[4], [9, 2], [255, 1], [256], [1, MAX_ID]])
def test_ids_survive_being_split_and_joined(ids: list[int]) -> None:
    mask = torch.tensor([[0, *ids], [*ids, 0]])
    found, masks = given_objects(mask, None, (2, len(ids) + 1), CPU)
    background = 1 - masks.sum(0, keepdim=True)
    joined = id_mask(torch.cat([background, masks]), found)
    assert joined.dtype == (np.uint8 if max(ids) <= 255 else np.uint16)
    assert joined.tolist() == mask.tolist()


def test_images() -> None:
    assert check_image(torch.zeros(3, 4, 5), None, 0) == check_image(torch.zeros(3, 4, 5), (4, 5), 9) == (4, 5)
    with pytest.raises(ValueError, match=r"frame 9: expected 5x4 \(height x width\) like the frames before.* 4x5"):
        check_image(torch.zeros(3, 4, 5), (5, 4), 9)
    for wrong in (torch.zeros(4, 4, 5), torch.zeros(4, 5), torch.zeros(3, 4, 5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"image: expected float \[3,H,W\]"):
            check_image(wrong, None, 0)


@pytest.mark.parametrize(
    ("mask", "object_ids", "message"),
    [
        (None, [1], "without a mask"),
        (MASK.float(), None, r"expected integer ids \[H,W\]"),
        (MASK.T, None, r"expected 2x3 \(height x width\) like its frame, received 3x2"),
        (MASK * 0, None, "no object in it"),
        (-MASK, None, r"ids must lie in 1\.\.65535, received -7\.\.-3"),
        (MASK, [7, MAX_ID + 1], r"received 7\.\.65536"),
    ],
)
def test_wrong_masks(mask: torch.Tensor | None, object_ids: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        given_objects(mask, object_ids, (2, 3), CPU)


def test_unknown_objects_and_maps() -> None:
    check_known([2, 5], [5, 2, 9])
    with pytest.raises(ValueError, match=r"no object with id \[3, 4\]; known ids: \[2\]"):
        check_known([4, 2, 3], [2])
    with pytest.raises(ValueError, match=r"expected \[2,H,W\] \(background and 1 objects\), received \[3, 1, 1\]"):
        id_mask(torch.zeros(3, 1, 1), [8])


@pytest.mark.parametrize("labels", [1, 2, 3, 11, 256, 300])
def test_the_likeliest_is_the_first_of_the_largest(labels: int) -> None:
    # Few different values, so that many are equal.
    prob = torch.randint(5, (labels, 9, 7), generator=torch.Generator().manual_seed(labels)) / 4
    place = most_likely(prob)
    np.testing.assert_array_equal(place, np.argmax(prob.numpy(), axis=0))
    assert place.dtype == (torch.uint8 if labels <= 256 else torch.int64)
