"""The table of networks, and building one by name: a network is a class, a row here and a preset.

Presets are rows of `util.config.presets.PRESETS`.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, overload

from torch import Tensor, nn

from model.network import ModelConfig, VOSNetwork
from model.pretrained import DENSENET121, EFFICIENTNET_LITE0, RESNET18, RESNET50, ImageNetWeights
from model.spacetime.network import SIZES, SpaceTimeNetwork
from model.spacetime.stcn import STCN, STCNCorr
from model.spacetime.unroll import ClipNetwork
from model.spacetime.xmem import XMem
from model.twoframe.bmvos import BMVOS
from model.twoframe.emvos import EMVOS
from model.twoframe.network import TWO_FRAME_SIZES, TwoFrameNetwork
from model.twoframe.unroll import TwoFrameClipNetwork


@dataclass(frozen=True, kw_only=True)
class Family:
    """What networks that work alike have in common.

    Attributes:
        name: `space-time` or `two-frame`; `inference.segmenter.SEGMENTERS` has how it segments.
        unroll: wraps a network, for a run's clips and with BatchNorm that trains or not, in a module that maps a batch
            of clips to a `ClipOutput`; its `network` is the network.
        sizes: for each size the arguments of `build_model` that replace its own values.
        trunk_channels: for each size the channels of its image encoder at stride 16.
        sizes_of: reads the sizes but `key_dim` from weights.
        image_encoder: the module that makes features of an image alone.
        early_layers: its modules up to stride 4.
        encoders: all encoders, by name, and their stages that --deep_encoder_lr is about: those beyond stride 4.
        pretrained: for each size that has them the ImageNet weights of its encoders.
        compiled: the modules that are worth compiling.
    """

    name: Literal["space-time", "two-frame"]
    unroll: Callable[..., nn.Module]
    sizes: Mapping[str, Mapping[str, int]]
    trunk_channels: Mapping[str, int]
    sizes_of: Callable[[Mapping[str, Tensor]], dict[str, int]] = field(default=lambda _: {})
    image_encoder: str
    early_layers: tuple[str, ...]
    encoders: Mapping[str, tuple[str, ...]]
    pretrained: Mapping[str, Mapping[str, ImageNetWeights]]
    compiled: tuple[str, ...]


SPACE_TIME = Family(
    name="space-time",
    unroll=ClipNetwork.around,
    sizes={
        name: {"key_dim": s.key_dim, "value_dim": s.value_dim, "hidden_dim": s.hidden_dim, "mask_channels": 2}
        for name, s in SIZES.items()
    },
    trunk_channels={name: size.key_trunk.channels[2] for name, size in SIZES.items()},
    sizes_of=SpaceTimeNetwork.sizes_of,
    image_encoder="key_encoder",
    early_layers=("conv1", "bn1", "res2"),
    encoders={"key_encoder": ("layer2", "layer3"), "value_encoder": ("layer2", "layer3")},
    pretrained={
        "base": {"key_encoder": RESNET50, "value_encoder": RESNET18},
        "small": {"key_encoder": EFFICIENTNET_LITE0, "value_encoder": EFFICIENTNET_LITE0},
    },
    compiled=("key_encoder", "value_encoder", "decoder"),
)
TWO_FRAME = Family(
    name="two-frame",
    unroll=TwoFrameClipNetwork.around,
    sizes={name: {"key_dim": size.key_dim} for name, size in TWO_FRAME_SIZES.items()},
    trunk_channels={name: size.trunk.channels[2] for name, size in TWO_FRAME_SIZES.items()},
    image_encoder="vos.encoder",
    early_layers=("conv0", "norm0", "denseblock1"),
    encoders={"vos.encoder": ("transition1", "denseblock2", "transition2", "denseblock3")},
    pretrained={"base": {"vos.encoder": DENSENET121}},
    compiled=("vos.encoder", "vos.decoder"),
)


@dataclass(frozen=True, kw_only=True)
class NetworkRow:
    """What is particular to a network. Everybody who asks which network this is asks its row.

    Attributes:
        network: the class.
        family: how it is unrolled, segmented and sized.
        key_weight: the weight that makes the matching key; its shape tells the key's and the trunk's channels.
        has: weights by which a checkpoint is known to be the network's.
        lacks: weights that its checkpoints don't have, but those of a network with the same `has` do.
        top_k: memory elements that a query position reads (published); 0 reads all.
        sensory: whether it can carry a sensory memory.
        long_term: whether old memory is consolidated into long-term memory.
        key_head: whether it can have the extra key head of the released correspondence loss.
        keeps_encoder: whether the image encoder keeps its ImageNet weights in the published training.
    """

    network: Callable[[ModelConfig], VOSNetwork]
    family: Family
    key_weight: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    top_k: int = 0
    sensory: bool = False
    long_term: bool = False
    key_head: bool = False
    keeps_encoder: bool = False


NETWORKS = {
    "stcn": NetworkRow(
        network=STCN,
        family=SPACE_TIME,
        key_weight="key_proj.key_proj.weight",
        has=("key_comp.weight", "decoder.compress.conv1.weight"),
        top_k=20,
        key_head=True,
    ),
    "stcn-corr": NetworkRow(
        network=STCNCorr,
        family=SPACE_TIME,
        key_weight="key_proj.key_proj.weight",
        has=("decoder.fuser.block1.conv1.weight",),
        lacks=("key_proj.d_proj.weight",),
        top_k=20,
        key_head=True,
    ),
    "xmem": NetworkRow(
        network=XMem,
        family=SPACE_TIME,
        key_weight="key_proj.key_proj.weight",
        has=("key_proj.d_proj.weight", "key_proj.e_proj.weight"),
        top_k=30,
        sensory=True,
        long_term=True,
    ),
    "bmvos": NetworkRow(
        network=BMVOS,
        family=TWO_FRAME,
        key_weight="vos.matcher.conv.conv.weight",
        has=("vos.matcher.conv.conv.weight", "vos.mask_embedder.conv1.conv.weight"),
    ),
    "emvos": NetworkRow(
        network=EMVOS,
        family=TWO_FRAME,
        key_weight="vos.matcher.conv1.conv.weight",
        has=("vos.matcher.conv1.conv.weight", "vos.matcher.conv2.conv.weight"),
        keeps_encoder=True,
    ),
}


def find_network(name: str) -> NetworkRow:
    """Return a network's row. ValueError for one that does not exist, with the nearest one that does."""
    _check_choice("model", name, NETWORKS)
    return NETWORKS[name]


@overload
def build_model(name: Literal["stcn", "stcn-corr", "xmem"], size: str = "base", **sizes: int) -> SpaceTimeNetwork: ...


@overload
def build_model(name: Literal["bmvos", "emvos"], size: str = "base", **sizes: int) -> TwoFrameNetwork: ...


@overload
def build_model(name: str, size: str = "base", **sizes: int) -> VOSNetwork: ...


def build_model(name: str, size: str = "base", **sizes: int) -> VOSNetwork:
    """Build a network with fresh weights.

    Args:
        name: of a row of `NETWORKS`: `stcn`, `stcn-corr`, `xmem`, `bmvos` or `emvos`.
        size: `base` for the published networks, `small` (not bmvos, emvos) for that in the box, `tiny` for tests.
        **sizes: `key_dim` and, but for bmvos and emvos, `value_dim`, `hidden_dim` (xmem; 0 for no sensory memory) or
            `mask_channels` to replace the size's own.

    Returns:
        The network in training mode. Its `config` holds the resolved architecture.

    Raises:
        ValueError: unknown name, size or keyword, or a size out of range.
    """
    row = find_network(name)
    _check_choice("size", size, row.family.sizes)
    own = dict(row.family.sizes[size])
    if "hidden_dim" in own and not row.sensory:
        own["hidden_dim"] = 0
    for key, value in sizes.items():
        _check_choice("size argument", key, own)
        smallest = 0 if key == "hidden_dim" else 1
        if value < smallest:
            raise ValueError(f"{key}={value}: expected at least {smallest}")
    resolved = own | sizes
    if not row.sensory and resolved.get("hidden_dim", 0):
        raise ValueError(f"hidden_dim={resolved['hidden_dim']}: {name} has no sensory memory; leave it out or give 0")
    if resolved.get("mask_channels", 0) > 2:
        raise ValueError(f"mask_channels={resolved['mask_channels']}: expected 1 (stage 0) or 2 (object and others)")
    return row.network(ModelConfig(name=name, size=size, **resolved))


def _check_choice(what: str, given: str, valid: Iterable[str]) -> None:
    valid = list(valid)
    if given not in valid:
        near = difflib.get_close_matches(given, valid, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {what} {given!r}{hint} Valid: {', '.join(valid)}")
