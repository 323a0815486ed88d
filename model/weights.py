"""Weights into networks: which network a checkpoint is for, and loading it strictly."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from model.box import checkpoint_path
from model.build import NETWORKS, build_model, find_network
from model.network import ModelConfig, VOSNetwork
from util.files.checkpoint import read_checkpoint
from util.files.tensor_check import tensor_fault
from util.image import IMAGENET_MEAN, IMAGENET_STD

logger = logging.getLogger(__name__)

# What our own checkpoints say in their entries `format` and `version`.
FORMAT, VERSION = "corrvos", 1
_NESTED_UNDER = ("network", "model", "state_dict", "model_state_dict")
# Left behind by DistributedDataParallel and torch.compile.
_PREFIXES = ("module.", "_orig_mod.")
_MASK_CONV = "value_encoder.conv1.weight"
# Heads that released training files hold and inference has no use for.
_TRAINING_ONLY = ("key_proj2.",)
_LISTED = 3
# Batch normalisation counts batches, in integers that inference has no use for.
_COUNTERS = ("num_batches_tracked",)
_DEEPEST = 8
# More channels than any network has: a file of a few bytes must not make us build a huge one.
_MOST_CHANNELS = 4096

# What the released encoders normalise pictures with; ours get normalised pictures.
_NORMALISATION = {"vos.encoder.mean": IMAGENET_MEAN, "vos.encoder.std": IMAGENET_STD}


def load_checkpoint(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> VOSNetwork:
    """Build the network that a checkpoint is for, from its keys and shapes, with its weights.

    Reads released files of STCN, stcn-corr, XMem, BMVOS and EMVOS (bare, with a `module.` prefix, nested) and our own,
    of which the averaged weights (`ema`) are preferred; also as safetensors, and from the Hugging Face hub
    (hf://OWNER/NAME, see `util.files.hub`).
    The path `box` stands for the small network that comes with the project (`model/box/MODEL_CARD.md`).

    Returns:
        The network in eval mode on `device`. `config` holds what was found; a stage-0 file gives `mask_channels=1`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: in one line, why the file cannot be used.
    """
    source = f"checkpoint {os.fspath(path)}"
    weights = extract_weights(read_checkpoint(checkpoint_path(path)), source)
    config = identify(weights, source)
    sizes = find_network(config.name).family.sizes[config.size]
    model = build_model(config.name, config.size, **{name: getattr(config, name) for name in sizes})
    load_weights(model, weights, source)
    return model.eval().to(device)


def load_weights(model: VOSNetwork, state_dict: Mapping[str, Any], source: str) -> None:
    """Load weights into a network, all of them and nothing else, and log every conversion.

    A value encoder of 4 input channels (stage 0) becomes one of 5 with zeros for the new channel (the other objects'
    masks), so that the network does at first what it did before; one of 5 becomes one of 4 by leaving that channel out.

    Args:
        model: the network.
        state_dict: its weights in any form that `extract_weights` takes.
        source: what to call them in messages, such as `checkpoint runs/a.pth`.

    Raises:
        ValueError: the weights are another network's, or incomplete; `model` is then unchanged.
    """
    weights = extract_weights(state_dict, source)
    expected = model.state_dict()
    extra = [key for key in weights if key.startswith(_TRAINING_ONLY) and key not in expected]
    if extra:
        logger.info("%s: left out %s, used in training only", source, _some(extra))
    weights = {key: tensor for key, tensor in weights.items() if key not in extra}
    fresh = {key: x for key, x in expected.items() if key.startswith(_TRAINING_ONLY) and key not in weights}
    if fresh:
        logger.info("%s: lacks %s, used in training only, which start afresh", source, _some(list(fresh)))
    weights |= fresh
    if _MASK_CONV in expected:
        weights = _fit_mask_channels(weights, expected[_MASK_CONV].shape[1], source)
    _check(model, weights, source)
    _check_normalisation(weights, source)
    model.load_state_dict(weights, strict=True)


def extract_weights(payload: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """Return the bare state dict in a checkpoint's content.

    Takes a state dict itself, one nested under `network`, `model`, `state_dict` or `model_state_dict`, and our own
    format; prefixes of DistributedDataParallel and torch.compile are removed.

    Raises:
        ValueError: there are no weights in it, or other tensors than finite dense floating-point ones (each tensor's
            fault is named), or a newer program wrote it.
    """
    weights = _bare(_preferred(payload, source), source)
    for name, tensor in weights.items():
        fault = tensor_fault(tensor, counter=name.endswith(_COUNTERS))
        if fault:
            raise ValueError(f"{source}: {name} {fault}. Expected weights: finite floating-point numbers")
    return weights


def _preferred(payload: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """Return the averaged weights of our own checkpoints, where there are any; else what was given."""
    if payload.get("format") != FORMAT:
        return payload
    version = payload.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(f"{source} has format version {version}, this program reads up to {VERSION}: update CorrVOS")
    averaged = payload.get("ema")
    if isinstance(averaged, Mapping) and averaged:
        logger.info("%s: taking the averaged weights (ema)", source)
        return averaged
    return payload


def _bare(payload: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """Return the state dict that lies at most a few containers and prefixes deep."""
    for _ in range(_DEEPEST):
        strange = next((key for key in payload if not isinstance(key, str)), None)
        if strange is not None:
            kind = type(strange).__name__
            raise ValueError(f"{source} has an entry {strange!r} of type {kind}: expected the names of weights")
        inner = next((payload[name] for name in _NESTED_UNDER if isinstance(payload.get(name), Mapping)), None)
        if inner is not None:
            payload = inner
            continue
        if not payload or not all(isinstance(value, Tensor) for value in payload.values()):
            found = _some(list(payload)) if payload else "nothing"
            raise ValueError(
                f"{source} holds no weights where they are expected: a state dict, alone or under "
                f"{', '.join(_NESTED_UNDER)}. It holds {found}"
            )
        prefix = next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in payload)), None)
        if prefix is None:
            return dict(payload)
        payload = {key[len(prefix) :]: tensor for key, tensor in payload.items()}
    raise ValueError(f"{source} is nested more than {_DEEPEST} deep, or in itself: expected a state dict")


def identify(weights: Mapping[str, Tensor], source: str) -> ModelConfig:
    """Tell from names and shapes which network weights are for.

    Raises:
        ValueError: no network of ours has such weights.
    """
    name = _guess_name(weights)
    if name is None:
        raise ValueError(
            f"{source} is of an unknown architecture: it starts with {_some(list(weights))}. "
            f"Expected one of {', '.join(NETWORKS)}"
        )
    row = find_network(name)
    if weights[row.key_weight].ndim != 4:
        shape = list(weights[row.key_weight].shape)
        raise ValueError(f"{source} looks like {name}, but {row.key_weight} has the shape {shape}: it is damaged")
    key_dim, stride_16_channels = weights[row.key_weight].shape[:2]
    size = _guess_size(stride_16_channels, row.family.trunk_channels, source)
    try:
        sizes = {"key_dim": key_dim, **row.family.sizes_of(weights)}
    except KeyError as error:
        raise ValueError(f"{source} looks like {name} but lacks {error.args[0]}: it is incomplete") from None
    except IndexError:  # a tensor with too few dimensions
        raise ValueError(f"{source} looks like {name}, but its weights have other shapes: it is damaged") from None
    wrong = {key: value for key, value in sizes.items() if not int(key != "hidden_dim") <= value <= _MOST_CHANNELS}
    if wrong:
        raise ValueError(f"{source} looks like {name}, but in sizes that no network has: {wrong}")
    return ModelConfig(name=name, size=size, **sizes)


def _guess_name(weights: Mapping[str, Tensor]) -> str | None:
    fitting = {
        name: len(row.has)
        for name, row in NETWORKS.items()
        if all(key in weights for key in row.has) and not any(key in weights for key in row.lacks)
    }
    return max(fitting, key=fitting.__getitem__, default=None)  # a variant has what its original has, and more


def _guess_size(stride_16_channels: int, known: Mapping[str, int], source: str) -> str:
    for size, channels in known.items():
        if channels == stride_16_channels:
            return size
    sizes = ", ".join(f"{channels} ({size})" for size, channels in known.items())
    raise ValueError(f"{source} has {stride_16_channels} channels in its key encoder's last stage, known: {sizes}")


def _fit_mask_channels(weights: dict[str, Tensor], wanted: int, source: str) -> dict[str, Tensor]:
    """Convert the value encoder's first convolution between 4 (image, mask) and 5 input channels (and others)."""
    conv = weights.get(_MASK_CONV)
    if conv is None or conv.ndim != 4 or (conv.shape[1], wanted) not in ((4, 5), (5, 4)):
        return weights
    if wanted == 5:
        logger.info("%s: the value encoder grows from 4 to 5 input channels, zeros for the others' masks", source)
        conv = torch.cat([conv, torch.zeros_like(conv[:, :1])], dim=1)
    else:
        logger.info("%s: the value encoder shrinks from 5 to 4 input channels, without the others' masks", source)
        conv = conv[:, :4].clone()
    return {**weights, _MASK_CONV: conv}


def _check_normalisation(weights: Mapping[str, Tensor], source: str) -> None:
    for key, expected in _NORMALISATION.items():
        if key in weights and not torch.allclose(weights[key].flatten().float(), torch.tensor(expected), atol=1e-4):
            logger.warning("%s: %s is not ImageNet's, which pictures are normalised with here", source, key)


def _check(model: VOSNetwork, weights: Mapping[str, Tensor], source: str) -> None:
    """Raise, in one line, for every difference between the weights and the network."""
    expected = model.state_dict()
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    other_shape = [
        f"{key} {list(weights[key].shape)} instead of {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": other_shape}
    listed = [f"{len(keys)} {what} ({_some(keys)})" for what, keys in faults.items() if keys]
    if not listed:
        return
    looks_like = _guess_name(weights)
    kind = f"{model.config.name} ({model.config.size})"
    if looks_like is None:
        hint = "they are of no network known here"
    elif looks_like == model.config.name:
        hint = f"they are of {looks_like} in other sizes, or incomplete"
    else:
        hint = f"they look like {looks_like}: build that network, or choose another checkpoint"
    raise ValueError(f"{source} does not fit {kind}; {hint}. Weights: {', '.join(listed)}")


def _some(names: list[str]) -> str:
    more = f", ... {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
