"""Small two-frame networks with random weights, and what goes through them."""

import torch
from torch import Tensor

from model import TwoFrameNetwork, build_model
from model.twoframe.network import TwoFrameFeatures, refer

NAMES = ("bmvos", "emvos")


def tiny(name: str) -> TwoFrameNetwork:
    """Return a tiny network in eval mode with weights by which an object's masks matter."""
    torch.manual_seed(0)
    model = build_model(name, "tiny")
    assert isinstance(model, TwoFrameNetwork)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_var is not None and module.running_mean is not None
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(std=0.2)
    for part in (model.decoder, model.vos.mask_embedder or torch.nn.Identity()):
        for weight in part.parameters():
            weight.data *= 2  # with fresh weights an object's masks hardly matter
    return model.eval()


def a_query(model: TwoFrameNetwork) -> tuple[TwoFrameFeatures, Tensor]:
    """Features of two pictures, and the masks of three objects in each."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 48, 64, generator=generator)
    masks = torch.rand(2, 3, 3, 4, generator=generator).repeat_interleave(16, 2).repeat_interleave(16, 3)
    return model.encode_key(images), masks


def segment(
    model: TwoFrameNetwork, features: TwoFrameFeatures, masks: Tensor, k: int = 4, chunk: int | None = None
) -> Tensor:
    """Segment each picture with the other one as its only reference."""
    other = refer(features.map(lambda x: x.flip(0)), masks)
    history = (masks, masks.square(), masks.sqrt())
    return model.segment(features, [other], other, history, bijective_k=k, object_chunk=chunk)
