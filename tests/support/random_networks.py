"""Small networks with random weights and BatchNorm statistics, and what goes through them."""

from typing import TypeVar

import torch
from torch import nn

from model import SpaceTimeNetwork, VOSNetwork, build_model

Network = TypeVar("Network", bound=VOSNetwork)
NAMES = ("stcn", "stcn-corr", "xmem")
IMAGE = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(2))
MASK = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(3)) / 3


def random_network(name: str) -> SpaceTimeNetwork:
    """Return a tiny network in eval mode; the weights are the same each time."""
    torch.manual_seed(0)
    model = build_model(name, "tiny")
    assert isinstance(model, SpaceTimeNetwork)
    return random_batch_norm(model)


def random_batch_norm(model: Network) -> Network:
    """Give every BatchNorm statistics that change its input."""
    g = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_var, 0.5), (module.weight, 0.5), (module.bias, -0.5)):
                assert tensor is not None
                tensor.data = torch.rand(tensor.shape, generator=g) + low
    return model.eval()


@torch.no_grad()
def one_pass(model: SpaceTimeNetwork, image: torch.Tensor, mask: torch.Tensor, **chunk: int) -> torch.Tensor:
    """Encode a batch and segment it with its own values as the readout."""
    features = model.encode_key(image)
    batch, objects = mask.shape[:2]
    sensory = model.initial_sensory(batch, objects, 3, 4, features.key)
    value, sensory = model.encode_value(image, features.f16, mask, sensory, **chunk)  # type: ignore[arg-type]
    logits, _ = model.segment(features, value, sensory, **chunk)  # type: ignore[arg-type]
    return torch.softmax(logits, 1)
