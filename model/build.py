"""Building a network by name."""

import difflib

from model.network import SIZES, MatchingNetwork, ModelConfig
from model.stcn import STCN, STCNCorr
from model.xmem import XMem

NETWORKS: dict[str, type[STCN] | type[STCNCorr] | type[XMem]] = {"stcn": STCN, "stcn-corr": STCNCorr, "xmem": XMem}


def build_model(name: str, size: str = "base", **sizes: int) -> MatchingNetwork:
    """Build a network with fresh weights.

    Args:
        name: `stcn`, `stcn-corr` or `xmem`.
        size: `base` for the published networks, `tiny` for laptops and tests.
        **sizes: `key_dim`, `value_dim`, `hidden_dim` (xmem; 0 for no sensory memory) or `mask_channels` to replace the
            size's own.

    Returns:
        The network in training mode. Its `config` holds the resolved architecture.

    Raises:
        ValueError: unknown name, size or keyword, or a size out of range.
    """
    _check_choice("model", name, list(NETWORKS))
    _check_choice("size", size, list(SIZES))
    preset = SIZES[size]
    resolved = {
        "key_dim": preset.key_dim,
        "value_dim": preset.value_dim,
        "hidden_dim": preset.hidden_dim if name == "xmem" else 0,
        "mask_channels": 2,
    }
    for key, value in sizes.items():
        _check_choice("size argument", key, list(resolved))
        smallest = 0 if key == "hidden_dim" else 1
        if value < smallest:
            raise ValueError(f"{key}={value}: expected at least {smallest}")
        resolved[key] = value
    if name != "xmem" and resolved["hidden_dim"]:
        raise ValueError(f"hidden_dim={resolved['hidden_dim']}: {name} has no sensory memory; leave it out or give 0")
    if resolved["mask_channels"] > 2:
        raise ValueError(f"mask_channels={resolved['mask_channels']}: expected 1 (stage 0) or 2 (object and others)")
    return NETWORKS[name](ModelConfig(name=name, size=size, **resolved))


def _check_choice(what: str, given: str, valid: list[str]) -> None:
    if given not in valid:
        near = difflib.get_close_matches(given, valid, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {what} {given!r}{hint} Valid: {', '.join(valid)}")
