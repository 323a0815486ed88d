"""Clips and batches of clips."""

from dataclasses import replace

import pytest
import torch

from dataset.clip import Clip, collate, most_boxes
from tests.support.paired_batches import compare


def make_clip(objects: int, size: int = 4, name: str = "a", seed: int = 1) -> Clip:
    pixels = torch.arange(2 * size * size * 3).remainder(256).to(torch.uint8)
    return Clip(
        images_T3HW=pixels.reshape(2, size, size, 3).permute(0, 3, 1, 2),
        labels_THW=(torch.arange(2 * size * size) // 3).remainder(objects + 1).to(torch.uint8).reshape(2, size, size),
        objects=objects,
        matrices_T33=torch.eye(3).expand(2, 3, 3),
        warped_T=torch.tensor([False, True]),
        seed=seed,
        name=name,
        redraws=objects,
    )


def test_collate_pads_to_the_largest_number_of_objects() -> None:
    clips = [make_clip(1, name="a", seed=5), make_clip(3, name="b", seed=6)]
    batch = collate(clips)
    assert batch.images_BT3HW.shape == (2, 2, 3, 4, 4) and batch.images_BT3HW.dtype == torch.uint8
    assert torch.equal(batch.images_BT3HW[1], clips[1].images_T3HW)
    assert batch.valid_BO.tolist() == [[True, False, False], [True, True, True]]
    assert (batch.names, batch.seeds, batch.redraws) == (("a", "b"), (5, 6), 4)
    masks = batch.first_masks()
    assert masks.shape == (2, 3, 4, 4) and masks.dtype == torch.float32
    assert torch.equal(masks[1, 2], (clips[1].labels_THW[0] == 3).float())
    assert masks[0, 1:].sum() == 0


def test_boxes_are_padded_where_clips_are_compared() -> None:
    boxes, ids = torch.tensor([0.0, 0.0, 2.0, 3.0]).expand(1, 2, 1, 4), [[[7], [0]]]
    alone, compared = collate([make_clip(1)]), collate([replace(make_clip(1), compared=compare([0], [1], boxes, ids))])
    assert alone.pad_boxes(3) is alone and most_boxes([]) == most_boxes([alone]) == 0
    padded = compared.pad_boxes(3)
    assert (most_boxes([compared]), most_boxes([alone, padded, compared])) == (1, 3)
    assert padded.compared is not None and padded.compared.box_ids_B2N.tolist() == [[[7, -1, -1], [0, -1, -1]]]
    assert torch.equal(padded.compared.boxes_B2N4[:, :, :1], boxes) and not padded.compared.boxes_B2N4[:, :, 1:].any()


def test_images_stay_channels_last_for_convolutions() -> None:
    batch = collate([make_clip(1), make_clip(1)])
    assert batch.images_BT3HW.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert batch.network_images().flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_network_images_are_normalised() -> None:
    batch = collate([make_clip(1)])
    batch.images_BT3HW[0, 0, :, 0, 0] = torch.tensor([255, 0, 124], dtype=torch.uint8)
    received = batch.network_images()[0, 0, :, 0, 0]
    torch.testing.assert_close(
        received, torch.tensor([(1 - 0.485) / 0.229, -0.456 / 0.224, (124 / 255 - 0.406) / 0.225])
    )
    assert batch.images_BT3HW.dtype == torch.uint8


def test_to_moves_tensors_and_keeps_the_rest() -> None:
    batch = collate([make_clip(2)])
    moved = batch.to(torch.device("meta"))
    assert moved.labels_BTHW.is_meta and moved.valid_BO.is_meta and moved.names == batch.names


def test_clips_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same \[T,3,H,W\], received small: \(2, 3, 4, 4\), large: \(2, 3, 8, 8\)"):
        collate([make_clip(1, 4, "small"), make_clip(1, 8, "large")])
    with pytest.raises(ValueError, match="received no clips"):
        collate([])
