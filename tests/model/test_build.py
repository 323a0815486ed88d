"""Building networks by name."""

from collections.abc import Callable

import pytest

from model import VOSNetwork, build_model
from tests.support.random_networks import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tiny_is_tiny(name: str) -> None:
    assert sum(p.numel() for p in build_model(name, "tiny").parameters()) <= 4_000_000


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
def test_wrong_arguments_are_named(call: Callable[[], VOSNetwork], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        call()
