"""Building a network by name."""

import difflib
from typing import Literal, overload

from model.spacetime.network import SIZES, MatchingNetwork, ModelConfig
from model.spacetime.stcn import STCN, STCNCorr
from model.spacetime.xmem import XMem
from model.twoframe.bmvos import BMVOS
from model.twoframe.emvos import EMVOS
from model.twoframe.network import REFERENCE_SIZES, ReferenceNetwork

MATCHING_NETWORKS: dict[str, type[STCN] | type[STCNCorr] | type[XMem]] = {
    "stcn": STCN,
    "stcn-corr": STCNCorr,
    "xmem": XMem,
}
REFERENCE_NETWORKS: dict[str, type[BMVOS] | type[EMVOS]] = {"bmvos": BMVOS, "emvos": EMVOS}
NETWORKS = {**MATCHING_NETWORKS, **REFERENCE_NETWORKS}


@overload
def build_model(name: Literal["stcn", "stcn-corr", "xmem"], size: str = "base", **sizes: int) -> MatchingNetwork: ...


@overload
def build_model(name: Literal["bmvos", "emvos"], size: str = "base", **sizes: int) -> ReferenceNetwork: ...


@overload
def build_model(name: str, size: str = "base", **sizes: int) -> MatchingNetwork | ReferenceNetwork: ...


def build_model(name: str, size: str = "base", **sizes: int) -> MatchingNetwork | ReferenceNetwork:
    """Build a network with fresh weights.

    Args:
        name: `stcn`, `stcn-corr`, `xmem`, `bmvos` or `emvos`.
        size: `base` for the published networks, `small` (not bmvos, emvos) for that in the box, `tiny` for tests.
        **sizes: `key_dim` and, but for bmvos and emvos, `value_dim`, `hidden_dim` (xmem; 0 for no sensory memory) or
            `mask_channels` to replace the size's own.

    Returns:
        The network in training mode. Its `config` holds the resolved architecture.

    Raises:
        ValueError: unknown name, size or keyword, or a size out of range.
    """
    _check_choice("model", name, list(NETWORKS))
    _check_choice("size", size, list(REFERENCE_SIZES if name in REFERENCE_NETWORKS else SIZES))
    own = _own_sizes(name, size)
    for key, value in sizes.items():
        _check_choice("size argument", key, list(own))
        smallest = 0 if key == "hidden_dim" else 1
        if value < smallest:
            raise ValueError(f"{key}={value}: expected at least {smallest}")
    resolved = own | sizes
    if name in REFERENCE_NETWORKS:
        unused = {"value_dim": 0, "hidden_dim": 0, "mask_channels": 0}
        return REFERENCE_NETWORKS[name](ModelConfig(name=name, size=size, **resolved | unused))
    if name != "xmem" and resolved["hidden_dim"]:
        raise ValueError(f"hidden_dim={resolved['hidden_dim']}: {name} has no sensory memory; leave it out or give 0")
    if resolved["mask_channels"] > 2:
        raise ValueError(f"mask_channels={resolved['mask_channels']}: expected 1 (stage 0) or 2 (object and others)")
    return MATCHING_NETWORKS[name](ModelConfig(name=name, size=size, **resolved))


def _own_sizes(name: str, size: str) -> dict[str, int]:
    """Return the sizes of a network that a keyword can replace."""
    if name in REFERENCE_NETWORKS:
        return {"key_dim": REFERENCE_SIZES[size].key_dim}
    preset = SIZES[size]
    return {
        "key_dim": preset.key_dim,
        "value_dim": preset.value_dim,
        "hidden_dim": preset.hidden_dim if name == "xmem" else 0,
        "mask_channels": 2,
    }


def _check_choice(what: str, given: str, valid: list[str]) -> None:
    if given not in valid:
        near = difflib.get_close_matches(given, valid, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {what} {given!r}{hint} Valid: {', '.join(valid)}")
