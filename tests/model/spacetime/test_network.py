"""Invariants of the object and batch dimensions of STCN and XMem."""

import pytest
import torch

from model import SpaceTimeNetwork, build_model
from tests.support.random_networks import IMAGE, MASK, NAMES, one_pass, random_network


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> SpaceTimeNetwork:
    return random_network(request.param)


@pytest.fixture
def image() -> torch.Tensor:
    return IMAGE.clone()


@pytest.fixture
def mask() -> torch.Tensor:
    return MASK.clone()


def test_order_of_objects_does_not_matter(model: SpaceTimeNetwork, image: torch.Tensor, mask: torch.Tensor) -> None:
    prob = one_pass(model, image, mask)
    turned = one_pass(model, image, mask[:, [2, 0, 1]])
    torch.testing.assert_close(turned[:, [0, 2, 3, 1]], prob, atol=1e-5, rtol=1e-4)


def test_clips_of_a_batch_are_independent(model: SpaceTimeNetwork, image: torch.Tensor, mask: torch.Tensor) -> None:
    together = one_pass(model, image, mask)
    torch.testing.assert_close(one_pass(model, image[1:], mask[1:]), together[1:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 2])
def test_object_chunks_equal_the_whole(
    model: SpaceTimeNetwork, image: torch.Tensor, mask: torch.Tensor, chunk: int
) -> None:
    whole = one_pass(model, image, mask)
    torch.testing.assert_close(one_pass(model, image, mask, object_chunk=chunk), whole, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_an_invalid_object_gets_nothing(model: SpaceTimeNetwork, image: torch.Tensor, mask: torch.Tensor) -> None:
    features = model.encode_key(image)
    sensory = model.initial_sensory(2, 3, 3, 4, features.key)
    value, sensory = model.encode_value(image, features.f16, mask, sensory)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    with_padding, _ = model.segment(features, value, sensory, valid_BO=valid)
    first = features.map(lambda x: x[:1])
    alone, _ = model.segment(first, value[:1, :2], None if sensory is None else sensory[:1, :2])
    prob = torch.softmax(with_padding, 1)
    assert prob[0, 3].max() < 1e-6
    torch.testing.assert_close(prob[:1, :3], torch.softmax(alone, 1), atol=1e-5, rtol=1e-4)


def test_new_layers_start_as_released() -> None:
    state = build_model("xmem", "tiny").state_dict()
    rows = state["key_proj.key_proj.weight"].flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)
    assert not state["key_proj.key_proj.bias"].any()
    for name in ("decoder.hidden_update.transform.weight", "value_encoder.hidden_reinforce.transform.weight"):
        weight = state[name]
        outputs, inputs = weight.shape[:2]
        # Xavier: the variance is 2 / (fan-in + fan-out), each with the 3 x 3 positions of the kernel.
        assert weight.std().item() == pytest.approx((2 / (9 * (inputs + outputs))) ** 0.5, rel=0.05), name
