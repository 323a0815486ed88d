"""Two-frame networks over training clips: as the segmenter does it, with padded objects, and backwards."""

import math

import pytest
import torch
from torch import Tensor

from inference import InferenceConfig, build_segmenter
from model.layers.batch_norm import freeze_batch_norm
from model.twoframe.unroll import TwoFrameClipNetwork
from tests.support.golden_clip import clip as synthetic_clip
from tests.support.random_twoframe import NAMES, tiny

EITHER = pytest.mark.parametrize("name", NAMES)


def clips(count: int, frames: int, objects: int, size: int = 64) -> tuple[Tensor, Tensor]:
    """Return images [B,T,3,H,W] and the first masks [B,O,H,W]."""
    drawn = [synthetic_clip(frames, size, size, objects, seed=seed) for seed in range(count)]
    images = torch.stack([torch.from_numpy(images) for images, _ in drawn])
    labels = torch.stack([torch.from_numpy(labels[0]) for _, labels in drawn])
    return images, torch.stack([(labels == i + 1).float() for i in range(objects)], dim=1)


@EITHER
def test_clips_are_segmented_as_the_segmenter_does(name: str) -> None:
    model = tiny(name)
    images, masks = clips(1, 5, 2)
    with torch.no_grad():
        logits = TwoFrameClipNetwork(model)(images, masks, torch.ones(1, 2, dtype=torch.bool), [0]).logits[0]
    segmenter = build_segmenter(model, InferenceConfig(bijective_k=0))  # training is surjective
    given = (masks[0] * torch.tensor([1, 2])[:, None, None]).sum(0).long()
    for t in range(5):
        prob = segmenter.step(images[0, t], given if t == 0 else None)
        if t > 0:
            torch.testing.assert_close(prob, logits[t - 1].softmax(0), atol=1e-4, rtol=0)


@EITHER
def test_padded_objects_do_nothing(name: str) -> None:
    network = TwoFrameClipNetwork(tiny(name))
    images, masks = clips(2, 4, 2)
    masks[1, 1] = 0
    valid = torch.tensor([[True, True], [True, False]])
    weights = list(network.parameters())
    padded = network(images, masks, valid, [0, 1])
    alone = network(images[1:], masks[1:, :1], valid[1:, :1], [1])
    torch.testing.assert_close(padded.logits[1:, :, :2], alone.logits, atol=1e-4, rtol=1e-4)
    assert (padded.logits[1, :, 2] == -torch.inf).all()
    given = torch.autograd.grad(padded.logits[1, :, :2].square().mean(), weights, allow_unused=True)
    expected = torch.autograd.grad(alone.logits.square().mean(), weights, allow_unused=True)
    for x, y in zip(given, expected, strict=True):
        assert (x is None) == (y is None)
        if x is not None and y is not None:
            torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-2)


@EITHER
def test_training_reaches_every_weight_and_the_keys(name: str) -> None:
    network = TwoFrameClipNetwork(tiny(name).train())
    freeze_batch_norm(network)
    images, masks = clips(1, 3, 1)
    output = network(images, masks, torch.ones(1, 1, dtype=torch.bool), [0])
    assert output.logits.shape == (1, 2, 2, 64, 64) and output.logits.dtype == torch.float32
    assert output.keys.key.shape == (1, 3, 64, 4, 4)
    torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), torch.ones(2, 64, 64, dtype=torch.long)).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
    head = network.network.vos.matcher
    before = [weight.grad.clone() for weight in head.parameters() if weight.grad is not None]
    # A loss on the keys alone trains their head, also behind an encoder that stays as it is.
    network.zero_grad()
    network.network.encoder.requires_grad_(False)
    key = network(images, masks, torch.ones(1, 1, dtype=torch.bool), [0]).keys.key
    assert key.requires_grad
    key.square().mean().backward()
    assert before and next(head.parameters()).grad is not None
    assert all(weight.grad is None for weight in network.network.encoder.parameters())


@torch.no_grad()
def test_keys_are_those_of_the_network_at_a_temperature() -> None:
    network = TwoFrameClipNetwork(tiny("bmvos"))
    images, _ = clips(1, 2, 1)
    keys = network.encode(images, images.flip(1))
    key = network.network.encode_key(images[0]).key.flatten(2)
    assert keys.view_key is not None
    torch.testing.assert_close(keys.view_key, keys.key.flip(1), atol=1e-5, rtol=1e-4)
    scaled = keys.key[0].flatten(2)
    distances = (scaled[0][:, :, None] - scaled[1][:, None]).square().sum(dim=0)
    cosines = key[0].T @ key[1]
    # |a - b|^2 = 2 - 2 cos for keys of unit length.
    torch.testing.assert_close(-distances / math.sqrt(64), (cosines - 1) / 0.07, atol=1e-4, rtol=1e-4)
