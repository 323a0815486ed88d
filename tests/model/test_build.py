"""Networks: invariants of the object and batch dimensions, folding, and building by name."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from model import SpaceTimeNetwork, build_model
from model.fast import fold_batch_norm
from model.layers.batch_norm import convolve_and_normalise
from model.layers.blocks import image_share, object_share

NAMES = ["stcn", "stcn-corr", "xmem"]


def random_batch_norm(model: SpaceTimeNetwork) -> SpaceTimeNetwork:
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


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> SpaceTimeNetwork:
    torch.manual_seed(0)
    model = build_model(request.param, "tiny")
    assert isinstance(model, SpaceTimeNetwork)
    return random_batch_norm(model)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(3)) / 3


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


def test_folded_batch_norm_computes_the_same(model: SpaceTimeNetwork, image: torch.Tensor, mask: torch.Tensor) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold_batch_norm(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(one_pass(folded, image, mask), one_pass(model, image, mask), atol=1e-4, rtol=1e-3)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert folded.decoder.pred.weight is model.decoder.pred.weight  # type: ignore[union-attr]


@pytest.mark.parametrize("bias", [False, True])
def test_kept_statistics_fold_into_the_convolution(bias: bool) -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias), nn.BatchNorm2d(4)
    pair = nn.Sequential(conv, norm).double()
    pair(torch.randn(8, 3, 9, 9).double())  # statistics to keep
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    x = torch.randn(2, 3, 9, 9).double()
    pair.eval()
    weight = torch.randn(2, 4, 5, 5).double()
    results = []
    for y in (pair(x), convolve_and_normalise(conv, norm, x)):
        results.append([y, *torch.autograd.grad((y * weight).sum(), list(pair.parameters()))])
    torch.testing.assert_close(results[1], results[0])
    pair.train()
    torch.testing.assert_close(convolve_and_normalise(conv, norm, x), pair(x))
    torch.testing.assert_close(convolve_and_normalise(conv, nn.Identity(), x), conv(x))


@pytest.mark.parametrize("shared_first", [True, False])
def test_split_convolution_equals_concatenation(shared_first: bool) -> None:
    conv = nn.Conv2d(5, 4, 3, padding=1)
    shared, own = torch.randn(2, 2, 6, 7), torch.randn(2, 3, 3, 6, 7)
    expanded = shared.unsqueeze(1).expand(-1, 3, -1, -1, -1)
    joined = torch.cat([expanded, own] if shared_first else [own, expanded], dim=2)
    expected = conv(joined.flatten(0, 1)).unflatten(0, (2, 3))
    of_image, weight = image_share(conv, shared, image_first=shared_first)
    torch.testing.assert_close(object_share(conv, weight, own, of_image), expected)


@pytest.mark.parametrize("name", NAMES)
def test_tiny_is_tiny(name: str) -> None:
    assert sum(p.numel() for p in build_model(name, "tiny").parameters()) <= 4_000_000


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


def test_sizes_can_be_replaced() -> None:
    config = build_model("xmem", "tiny", key_dim=32, value_dim=40, hidden_dim=0, mask_channels=1).config
    assert (config.key_dim, config.value_dim, config.hidden_dim, config.mask_channels) == (32, 40, 0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_model("xmen"), "unknown model 'xmen'; did you mean 'xmem'? Valid: stcn, stcn-corr, xmem"),
        (lambda: build_model("xmem", "huge"), "unknown size 'huge' Valid: base, small, tiny"),
        (lambda: build_model("xmem", keydim=3), "unknown size argument 'keydim'; did you mean 'key_dim'?"),
        (lambda: build_model("stcn", hidden_dim=64), "stcn has no sensory memory"),
        (lambda: build_model("xmem", key_dim=0), "key_dim=0: expected at least 1"),
        (lambda: build_model("xmem", mask_channels=3), "mask_channels=3: expected 1 .stage 0. or 2"),
    ],
)
def test_wrong_arguments_are_named(call: Callable[[], SpaceTimeNetwork], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        call()
