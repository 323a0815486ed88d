"""What every network is: its interface, and clips' keys and outputs without gradients."""

from dataclasses import FrozenInstanceError

import pytest
import torch

from model import build_model
from model.network import STRIDE, ClipKeys, ClipOutput, ModelConfig, VOSNetwork
from tests.support import random_networks, random_twoframe

EVERY_NAME = (*random_networks.NAMES, *random_twoframe.NAMES)


def test_detaching_cuts_every_tensor_and_keeps_what_is_not_there() -> None:
    weight = torch.ones(2, requires_grad=True)
    keys = ClipKeys(key=weight * 2, view_key=weight * 3)
    output = ClipOutput(weight * 4, keys).detach()
    assert not any(x.requires_grad for x in (output.logits, output.keys.key, output.keys.view_key) if x is not None)
    assert output.logits.tolist() == [4, 4] and output.keys.key.tolist() == [2, 2]
    assert output.keys.view_key is not None and output.keys.view_key.tolist() == [3, 3]
    assert output.keys.shrinkage is output.keys.selection is output.keys.head_key is None
    assert keys.key.requires_grad


def test_a_bare_network_says_how_to_get_a_real_one() -> None:
    network = VOSNetwork(ModelConfig(name="mine", size="tiny", key_dim=4))
    with pytest.raises(TypeError, match=r"VOSNetwork does not define encode_key\(\).*model.build_model"):
        network.encode_key(torch.zeros(1, 3, STRIDE, STRIDE))
    with pytest.raises(FrozenInstanceError):
        network.config.key_dim = 5  # type: ignore[misc]


@pytest.mark.parametrize("name", EVERY_NAME)
@torch.no_grad()
def test_every_network_gives_a_key_for_each_cell_of_the_grid(name: str) -> None:
    model = build_model(name, "tiny", key_dim=24).eval()
    features = model.encode_key(torch.randn(2, 3, 2 * STRIDE, 3 * STRIDE))
    assert features.key.shape == (2, 24, 2, 3)
    last = features.map(lambda x: x[1:])
    assert type(last) is type(features) and torch.equal(last.key, features.key[1:])
