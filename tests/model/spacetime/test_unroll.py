"""Clips unrolled: the memory plan, padded objects, and agreement with the segmenter."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from inference import InferenceConfig, build_segmenter
from model.build import build_model
from model.spacetime.network import SpaceTimeNetwork
from model.spacetime.unroll import ClipNetwork, _ValueBank
from tests.support.golden_clip import clip as synthetic_clip
from tests.support.losses import segmentation_losses
from tests.support.losses import total as sum_up
from util.config.presets import preset

logger = logging.getLogger(__name__)


def tiny(name: str, memory_frames: int = 0, deep_update: float = 0.0, **sizes: int) -> ClipNetwork:
    torch.manual_seed(0)
    model = build_model(name, "tiny", **sizes)
    assert isinstance(model, SpaceTimeNetwork)
    return ClipNetwork(model, memory_frames, deep_update).eval()


def clips(count: int, frames: int, objects: int = 2, size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Return images [B,T,3,H,W], labels [B,T,H,W] and valid [B,O]."""
    drawn = [synthetic_clip(frames, size, size, objects, seed=seed) for seed in range(count)]
    images = torch.stack([torch.from_numpy(images) for images, _ in drawn])
    labels = torch.stack([torch.from_numpy(labels) for _, labels in drawn])
    return images, labels, torch.ones(count, objects, dtype=torch.bool)


def masks_of(labels: Tensor, objects: int) -> Tensor:
    return torch.stack([(labels[:, 0] == i + 1).float() for i in range(objects)], dim=1)


@pytest.mark.parametrize(
    ("name", "bijective_k"), [("stcn", 0), ("stcn-corr", 0), ("xmem", 0), ("stcn", 2), ("xmem", 2)]
)
def test_training_reads_memory_as_the_segmenter_does(name: str, bijective_k: int) -> None:
    network = tiny(name)
    network.bijective_k = bijective_k
    images, labels, valid = clips(1, 4)
    with torch.no_grad():
        logits = network(images, masks_of(labels, 2), valid, [0]).logits[0]
    # Every frame in memory, all elements read. XMem: no deep update after the first frame, as in the plan.
    config = InferenceConfig(
        mem_every=1,
        top_k=0,
        deep_update_every=100,
        enable_long_term=False,
        matching="bijective" if bijective_k else "softmax",
        bijective_k=bijective_k,
    )
    segmenter = build_segmenter(network.network, config)
    for t in range(4):
        given = labels[0, 0] if t == 0 else None
        prob = segmenter.step(images[0, t], given, last=t == 3)
        if t > 0:
            torch.testing.assert_close(prob, logits[t - 1].softmax(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["stcn", "xmem"])
def test_clips_do_not_see_each_other(name: str) -> None:
    network = tiny(name, memory_frames=2, deep_update=0.5)
    images, labels, valid = clips(3, 6)
    masks, seeds = masks_of(labels, 2), [11, 12, 13]
    with torch.no_grad():
        joined = network(images, masks, valid, seeds)
        for clip in range(3):
            one = slice(clip, clip + 1)
            alone = network(images[one], masks[one], valid[one], seeds[one])
            torch.testing.assert_close(joined.logits[one], alone.logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(joined.keys.key[one], alone.keys.key, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["stcn", "xmem"])
def test_padded_objects_do_nothing(name: str) -> None:
    network = tiny(name, memory_frames=2, deep_update=0.5)
    images, labels, _ = clips(2, 4, objects=1)

    def losses_and_gradient(slots: int) -> tuple[Tensor, Tensor, Tensor]:
        valid = torch.tensor([[True] + [False] * (slots - 1)] * 2)
        output = network(images, masks_of(labels, slots), valid, [1, 2])
        losses = segmentation_losses(output.logits, labels[:, 1:], valid, share=0.5, slots=3, dice=True)
        total = sum_up(losses)
        network.zero_grad()
        total.backward()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        return output.logits.detach(), total.detach(), gradient

    logits, total, gradient = losses_and_gradient(1)
    padded_logits, padded_total, padded_gradient = losses_and_gradient(3)
    assert torch.isneginf(padded_logits[:, :, 2:]).all()
    torch.testing.assert_close(padded_logits[:, :, :2], logits, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(padded_total, total, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(padded_gradient, gradient, atol=1e-5, rtol=1e-3)


def test_objects_may_come_in_any_order() -> None:
    network = tiny("xmem", deep_update=1.0)
    images, labels, valid = clips(1, 3)
    masks = masks_of(labels, 2)
    with torch.no_grad():
        logits = network(images, masks, valid, [0]).logits
        swapped = network(images, masks.flip(1), valid, [0]).logits
    torch.testing.assert_close(swapped[:, :, [0, 2, 1]], logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network = tiny(name, memory_frames=2, deep_update=1.0).train()
    images, labels, valid = clips(2, 4)
    output = network(images, masks_of(labels, 2), valid, [0, 1])
    sum_up(segmentation_losses(output.logits, labels[:, 1:], valid, share=1.0, slots=2, dice=True)).backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


def learn(network: ClipNetwork, count: int, objects: int, lr: float, steps: int) -> list[float]:
    """Train on one batch of clips of three frames, the rate falling linearly, and return the loss of every step."""
    images, labels, valid = clips(count, 3, objects)
    masks = masks_of(labels, objects)
    dice = network.network.config.name == "xmem"
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=steps)
    history = []
    for step in range(steps):
        output = network(images, masks, valid, range(count))
        losses = segmentation_losses(output.logits, labels[:, 1:], valid, share=1.0, slots=objects, dice=dice)
        total = sum_up(losses)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history.append(total.item())
        logger.info("%s: step %d, loss %.4f", network.network.config.name, step, history[-1])
    return history


@pytest.mark.parametrize(("name", "mask_channels"), [("stcn", 2), ("xmem", 1)])
def test_one_batch_can_be_learnt_by_heart(name: str, mask_channels: int) -> None:
    network = tiny(name, memory_frames=2, deep_update=0.2, mask_channels=mask_channels).train()
    history = learn(network, count=2, objects=1, lr=1e-3, steps=30)
    assert history[-1] < 0.15 * history[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stcn", "xmem"])
def test_base_networks_learn_four_clips_by_heart(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "base")
    assert isinstance(model, SpaceTimeNetwork)
    network = ClipNetwork(model, memory_frames=2, encode_all=True).train()
    history = learn(network, count=4, objects=2, lr=3e-5, steps=120)
    assert history[-1] < 0.05 * history[0], history


def test_gradients_flow_through_the_predicted_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing but the mask that the value encoder reads leads from the first prediction to the second.
    network = tiny("stcn")
    images, labels, valid = clips(1, 3)
    predicted: list[Tensor] = []
    segment = network.network.segment

    def keep(*arguments: Any) -> tuple[Tensor, Tensor | None]:
        logit, sensory = segment(*arguments)
        predicted.append(logit)
        return logit, sensory

    monkeypatch.setattr(network.network, "segment", keep)
    network(images, masks_of(labels, 2), valid, [0])
    (gradient,) = torch.autograd.grad(predicted[1].square().mean(), [predicted[0]], allow_unused=True)
    assert gradient is not None and gradient.abs().max() > 0


def test_where_batch_norm_trains_every_frame_of_every_clip_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels, valid = clips(2, 6)
    for trains in (False, True):
        network = ClipNetwork.around(tiny("stcn").network, preset("xmem", "tiny").clip, trains)
        network.memory_frames = 2
        seen: list[int] = []
        real = network.network.encode_value

        def count(image: Tensor, *rest: Any, real: Any = real, seen: list[int] = seen, **more: Any) -> Any:
            seen.append(len(image))
            return real(image, *rest, **more)

        monkeypatch.setattr(network.network, "encode_value", count)
        network(images, masks_of(labels, 2), valid, [0, 1])
        assert (seen == [2] * 5) == trains, "some frames are read by no clip, or by one alone"


def test_a_value_that_nobody_reads_may_be_infinite() -> None:
    bank = _ValueBank()
    bank.add(np.array([True]), torch.full((1, 1, 2, 3, 3), torch.inf))
    bank.add(np.array([True]), torch.ones(1, 1, 2, 3, 3, requires_grad=True))
    touched = bank.touch()
    assert touched.item() == 1 and touched.requires_grad
