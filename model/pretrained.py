"""ImageNet weights for the encoders of base networks, from torchvision.

ResNet-50 (key) and ResNet-18 (value) for STCN and XMem, DenseNet-121 for BMVOS and EMVOS.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from util.files.checkpoint import read_checkpoint
from util.files.download import DownloadError, Options, download

logger = logging.getLogger(__name__)

# torchvision's file of DenseNet-121 has the names of its first version: denselayer1.norm.1 for denselayer1.norm1.
_FIRST_NAMES = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")


@dataclass(frozen=True, kw_only=True)
class ImageNetWeights:
    """One of torchvision's files (IMAGENET1K_V1, as the published networks use).

    Attributes:
        name: of the network.
        file: what a user calls it.
        url: of the file, whose name holds the start of its SHA-256.
        mark: a weight that tells it from the others.
        shape: of that weight.
    """

    name: str
    file: str
    url: str
    mark: str
    shape: tuple[int, ...]


RESNET50 = ImageNetWeights(
    name="ResNet-50",
    file="resnet50.pth",
    url="https://download.pytorch.org/models/resnet50-0676ba61.pth",
    mark="layer1.0.conv3.weight",
    shape=(256, 64, 1, 1),
)
RESNET18 = ImageNetWeights(
    name="ResNet-18",
    file="resnet18.pth",
    url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
    mark="layer3.1.conv2.weight",
    shape=(256, 256, 3, 3),
)
DENSENET121 = ImageNetWeights(
    name="DenseNet-121",
    file="densenet121.pth",
    url="https://download.pytorch.org/models/densenet121-a639ec97.pth",
    mark="features.transition3.conv.weight",
    shape=(512, 1024, 1, 1),
)


def has_imagenet_weights(size: str) -> bool:
    """Return whether networks of a size can start from ImageNet weights: the published trunks can, `tiny` cannot."""
    return size == "base"


def load_imagenet(
    model: nn.Module,
    encoders: Mapping[str, ImageNetWeights],
    files: Sequence[Path] = (),
    options: Options | None = None,
) -> None:
    """Load ImageNet weights into the encoders of a base network.

    The mask channels of a value encoder get orthogonal weights (as in STCN and XMem), its biases in front of BatchNorm
    zeros, so that the encoder starts as the ResNet that it is.

    Args:
        model: the network.
        encoders: its modules with encoders, and the weights of each; the network's row in `model.build` has them.
        files: those that it needs, in any order; none of them: torchvision's cache, else a download into it.
        options: of the download.

    Raises:
        ValueError: they cannot be had or are the wrong ones; the message says both ways on.
    """
    for name, wanted in encoders.items():
        try:
            weights = _from_files(wanted, files) if files else _from_cache(wanted, options)
        except (FileNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"no ImageNet weights ({wanted.name}) for the encoders: {str(error).rstrip('.')}. Give torchvision's "
                f"files with --imagenet_weights {' '.join(each.file for each in encoders.values())}, or start from "
                "random weights with --no_pretrained."
            ) from error
        _load(model.get_submodule(name), weights)


def _from_files(wanted: ImageNetWeights, files: Sequence[Path]) -> Mapping[str, Tensor]:
    for path in files:
        weights = read_checkpoint(path)
        found = weights.get(wanted.mark)
        if isinstance(found, Tensor) and tuple(found.shape) == wanted.shape:
            logger.info("%s from %s", wanted.name, path)
            return weights
    raise ValueError(f"none of {', '.join(map(str, files))} holds torchvision's {wanted.name}")


def _from_cache(wanted: ImageNetWeights, options: Options | None) -> Mapping[str, Tensor]:
    path = Path(torch.hub.get_dir()) / "checkpoints" / wanted.url.rsplit("/", 1)[1]
    if not path.is_file():
        logger.info("downloading ImageNet weights (%s) to %s", wanted.name, path)
        try:
            download(wanted.url, path, options=options or Options(tries=2))
        except DownloadError as error:
            raise ValueError(f"they are not in {path.parent} and the download failed: {error}") from error
    return _from_files(wanted, [path])


def _load(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    own = encoder.state_dict()
    weights = {_FIRST_NAMES.sub(r"\1", name).removeprefix("features."): tensor for name, tensor in weights.items()}
    filled = {}
    for name, tensor in own.items():
        source = weights.get(name.replace("res2.", "layer1.", 1))
        if source is not None:
            filled[name] = _add_channels(source, tensor.shape)
        elif name.endswith(".bias") and _is_trunk(name):
            filled[name] = torch.zeros_like(tensor)
    missing = [name for name in own if _is_trunk(name) and name not in filled and "num_batches" not in name]
    assert not missing, missing
    encoder.load_state_dict(filled, strict=False)


def _is_trunk(name: str) -> bool:
    resnet = ("conv1.", "bn1.", "res2.", "layer1.", "layer2.", "layer3.")
    return name.startswith((*resnet, "conv0.", "norm0.", "denseblock", "transition"))


def _add_channels(weight: Tensor, shape: torch.Size) -> Tensor:
    """Return a convolution's weight with orthogonal weights for the input channels that `shape` has beyond it."""
    if weight.shape == shape:
        return weight
    more = torch.empty(shape[0], shape[1] - weight.shape[1], *shape[2:])
    return torch.cat([weight, nn.init.orthogonal_(more)], dim=1)
