"""The loss of what keys read: by hand, by a loop over positions, and what it leaves out."""

import math

import pytest
import torch
from torch import Tensor

from model.losses.matching import matching_loss
from model.network import ClipKeys


def by_loop(keys: ClipKeys, labels_BTHW: Tensor, objects: int) -> float:
    """Compute it for one position after the other, from XMem's Eq. 2 as printed."""
    batch, frames = labels_BTHW.shape[:2]
    rows, columns = keys.key.shape[-2:]
    total = 0.0
    for b in range(batch):
        for t in range(1, frames):
            for y in range(rows):
                for x in range(columns):
                    scores, shares = [], []
                    for s in {0, t - 1}:
                        for v in range(rows):
                            for u in range(columns):
                                difference = keys.key[b, s, :, v, u] - keys.key[b, t, :, y, x]
                                distance = difference.square()
                                if keys.selection is not None:
                                    distance = distance * keys.selection[b, t, :, y, x]
                                scale = 1.0 if keys.shrinkage is None else keys.shrinkage[b, s, 0, v, u]
                                scores.append(-scale * distance.sum() / math.sqrt(len(distance)))
                                shares.append(share(labels_BTHW[b, s], v, u, objects))
                    weight = torch.softmax(torch.stack(scores), dim=0)  # type: ignore[arg-type]
                    read = (weight[:, None] * torch.stack(shares)).sum(dim=0)
                    probability = 0.99 * read + 0.01 / (objects + 1)
                    total -= float((share(labels_BTHW[b, t], y, x, objects) * probability.log()).sum())
    return total / (rows * columns) / batch


def share(labels_HW: Tensor, row: int, column: int, objects: int) -> Tensor:
    cell = labels_HW[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
    return torch.stack([(cell == label).double().mean() for label in range(objects + 1)]).float()


@pytest.mark.parametrize("anisotropic", [False, True])
def test_the_loss_is_that_of_a_loop_over_positions(anisotropic: bool) -> None:
    torch.manual_seed(0)
    key = torch.randn(2, 3, 4, 2, 3)
    shrinkage, selection = 1 + torch.rand(2, 3, 1, 2, 3), torch.rand(2, 3, 4, 2, 3)
    keys = ClipKeys(key, shrinkage, selection) if anisotropic else ClipKeys(key)
    labels = torch.randint(0, 3, (2, 3, 32, 48), dtype=torch.uint8)
    assert matching_loss(keys, labels, 2).item() == pytest.approx(by_loop(keys, labels, 2), rel=1e-5)


def test_keys_that_tell_objects_apart_have_next_to_no_loss() -> None:
    labels = torch.zeros(1, 3, 16, 32, dtype=torch.uint8)
    labels[..., 16:] = 1
    key = torch.zeros(1, 3, 2, 1, 2)
    key[:, :, 0, :, 1] = 20.0
    right, wrong = ClipKeys(key.requires_grad_()), ClipKeys(torch.cat([key[:, :2], key[:, 2:].flip(-1)], dim=1))
    assert matching_loss(right, labels, 1).item() == pytest.approx(-2 * math.log(0.995), rel=1e-4)
    # The last frame reads the other label: the uniform share alone is right.
    assert matching_loss(wrong, labels, 1).item() == pytest.approx(-math.log(0.995) - math.log(0.005), rel=1e-4)


def test_a_batch_has_the_mean_of_its_clips() -> None:
    torch.manual_seed(0)
    keys, labels = torch.randn(2, 3, 4, 2, 2), torch.randint(0, 2, (2, 3, 32, 32))
    alone = [matching_loss(ClipKeys(keys[i : i + 1]), labels[i : i + 1], 1) for i in range(2)]
    torch.testing.assert_close(matching_loss(ClipKeys(keys), labels, 1), torch.stack(alone).mean())
    # An object that only pads the batch takes part with the even share alone.
    assert matching_loss(ClipKeys(keys), labels, 2) > 0
