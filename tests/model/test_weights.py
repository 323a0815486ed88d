"""Loading weights: every released state dict loads strictly, and what does not fit is named."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.build import build_model
from model.network import VOSNetwork
from model.spacetime.network import SpaceTimeNetwork
from model.weights import extract_weights, identify, load_checkpoint, load_weights
from tests.support.golden_weights import fill, fill_state_dict, released_state_dict
from util.files.checkpoint import save_checkpoint

# What XMem's sensory memory (64 channels) adds to, and changes in, the network without one.
SENSORY = {
    "value_encoder.hidden_reinforce.transform.weight": (192, 576, 3, 3),
    "value_encoder.hidden_reinforce.transform.bias": (192,),
    "decoder.fuser.block1.downsample.weight": (512, 1600, 3, 3),
    "decoder.fuser.block1.conv1.weight": (512, 1600, 3, 3),
    "decoder.hidden_update.g16_conv.weight": (256, 512, 1, 1),
    "decoder.hidden_update.g16_conv.bias": (256,),
    "decoder.hidden_update.g8_conv.weight": (256, 256, 1, 1),
    "decoder.hidden_update.g8_conv.bias": (256,),
    "decoder.hidden_update.g4_conv.weight": (256, 257, 1, 1),
    "decoder.hidden_update.g4_conv.bias": (256,),
    "decoder.hidden_update.transform.weight": (192, 320, 3, 3),
    "decoder.hidden_update.transform.bias": (192,),
}


def released(name: str) -> dict[str, Tensor]:
    if name != "xmem":
        return released_state_dict(name)
    return released_state_dict("xmem_nosensory") | {key: fill(key, shape) for key, shape in SENSORY.items()}


def tiny(name: str, **sizes: int) -> tuple[VOSNetwork, dict[str, Tensor]]:
    """A tiny network and deterministic weights for it (which it does not hold)."""
    model = build_model(name, "tiny", **sizes)
    return model, fill_state_dict(model.state_dict())


def holds(model: VOSNetwork, weights: Mapping[str, Tensor]) -> bool:
    state = model.state_dict()
    return list(sorted(state)) == sorted(weights) and all(torch.equal(state[key], weights[key]) for key in state)


@pytest.mark.parametrize(
    ("file", "name", "hidden_dim"),
    [
        ("stcn", "stcn", 0),
        ("voscorr", "stcn-corr", 0),
        ("voscorr_train", "stcn-corr", 0),
        ("xmem", "xmem", 64),
        ("xmem_nosensory", "xmem", 0),
    ],
)
def test_released_state_dicts(tmp_path: Path, file: str, name: str, hidden_dim: int) -> None:
    weights = released(file)
    torch.save(weights, tmp_path / "released.pth")
    model = load_checkpoint(tmp_path / "released.pth")
    config = model.config
    assert (config.name, config.size, config.key_dim, config.value_dim) == (name, "base", 64, 512)
    assert (config.hidden_dim, config.mask_channels) == (hidden_dim, 2)
    assert not model.training
    kept = {key: tensor for key, tensor in weights.items() if not key.startswith("key_proj2.")}
    assert len(weights) - len(kept) == (2 if file == "voscorr_train" else 0)
    assert holds(model, kept)


@pytest.mark.parametrize("name", ["bmvos", "emvos"])
def test_released_reference_networks(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    weights = released_state_dict(name)
    for key, figures in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
        weights[f"vos.encoder.{key}"] = torch.tensor(figures)[None, :, None, None]
    torch.save({"module." + key: tensor for key, tensor in weights.items()}, tmp_path / "released.pth")
    model = load_checkpoint(tmp_path / "released.pth")
    config = model.config
    assert (config.name, config.size, config.key_dim) == (name, "base", 512)
    assert (config.value_dim, config.hidden_dim, config.mask_channels) == (0, 0, 0)
    assert not model.training and holds(model, weights) and not caplog.messages
    del weights["vos.decoder.deconv3.deconv.bias"]
    assert complaint(model, weights).startswith(
        f"checkpoint a.pth does not fit {name} (base); they are of {name} in other sizes, or incomplete"
    )


@pytest.mark.parametrize("name", ["bmvos", "emvos"])
def test_own_reference_networks(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    model, weights = tiny(name, key_dim=24)
    assert len(weights) > 100
    save_checkpoint(tmp_path / "a.pth", {"format": "corrvos", "version": 1, "network": weights, "step": 1})
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert loaded.config == model.config and holds(loaded, weights)
    # The deterministic weights fill these buffers, too, which nothing here uses.
    said = "checkpoint {}: vos.encoder.{} is not ImageNet's, which pictures are normalised with here"
    assert caplog.messages == [said.format(tmp_path / "a.pth", key) for key in ("mean", "std")]
    other = "emvos" if name == "bmvos" else "bmvos"
    assert f"they look like {name}: build that network" in complaint(build_model(other, "tiny"), weights)
    assert f"they look like {name}: build that network" in complaint(build_model("stcn", "tiny"), weights)


def test_what_only_training_needs_is_left_out_aloud(caplog: pytest.LogCaptureFixture) -> None:
    model, weights = tiny("stcn-corr")
    extra = {"key_proj2.key_proj.weight": torch.zeros(1), "key_proj2.key_proj.bias": torch.zeros(1)}
    with caplog.at_level(logging.INFO):
        load_weights(model, weights | extra, "checkpoint a.pth")
    said = "checkpoint a.pth: left out key_proj2.key_proj.weight, key_proj2.key_proj.bias, used in training only"
    assert caplog.messages == [said]
    assert holds(model, weights)


@pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem"])
def test_sizes_are_read_from_the_shapes(tmp_path: Path, name: str) -> None:
    sizes = {"key_dim": 24, "value_dim": 40, "mask_channels": 1} | ({"hidden_dim": 8} if name == "xmem" else {})
    model, weights = tiny(name, **sizes)
    save_checkpoint(tmp_path / "a.pth", weights)
    loaded = load_checkpoint(tmp_path / "a.pth", device=torch.device("cpu"))
    assert loaded.config == model.config
    assert holds(loaded, weights)


@pytest.mark.parametrize("wrap", ["network", "model", "state_dict", "module.", "_orig_mod.", "both"])
def test_wrappings(wrap: str) -> None:
    _, weights = tiny("stcn")
    payloads: dict[str, dict[str, object]] = {
        "network": {"it": 3, "network": weights, "optimizer": {"state": {}}},
        "both": {"epoch": 1, "network": {f"module._orig_mod.{key}": tensor for key, tensor in weights.items()}},
    }
    nested: dict[str, object] = {wrap: weights}
    prefixed: dict[str, object] = {wrap + key: tensor for key, tensor in weights.items()}
    payload = payloads.get(wrap, prefixed if wrap.endswith(".") else nested)
    extracted = extract_weights(payload, "checkpoint a.pth")
    assert extracted.keys() == weights.keys()
    assert identify(extracted, "checkpoint a.pth").name == "stcn"


def test_own_checkpoints_prefer_the_average(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, weights = tiny("xmem")
    average = {key: tensor + 1 for key, tensor in weights.items()}
    payload = {"format": "corrvos", "version": 1, "network": weights, "step": 5, "stage": "2", "config": {"a": 1}}
    save_checkpoint(tmp_path / "plain.pth", payload)
    save_checkpoint(tmp_path / "ema.pth", payload | {"ema": average})
    assert holds(load_checkpoint(tmp_path / "plain.pth"), weights)
    with caplog.at_level(logging.INFO):
        assert holds(load_checkpoint(tmp_path / "ema.pth"), average)
    assert caplog.messages == [f"checkpoint {tmp_path / 'ema.pth'}: taking the averaged weights (ema)"]
    save_checkpoint(tmp_path / "new.pth", payload | {"version": 2})
    with pytest.raises(ValueError, match="new.pth has format version 2, this program reads up to 1: update CorrVOS"):
        load_checkpoint(tmp_path / "new.pth")


@pytest.mark.parametrize("name", ["stcn", "xmem"])
@torch.no_grad()
def test_a_fifth_channel_changes_nothing_at_first(name: str, caplog: pytest.LogCaptureFixture) -> None:
    small, weights = tiny(name, mask_channels=1)
    load_weights(small, weights, "checkpoint s0.pth")
    assert not caplog.messages
    large = build_model(name, "tiny")
    with caplog.at_level(logging.INFO):
        load_weights(large, weights, "checkpoint s0.pth")
    said = "checkpoint s0.pth: the value encoder grows from 4 to 5 input channels, zeros for the others' masks"
    assert caplog.messages == [said]
    image, masks = torch.randn(1, 3, 32, 48), torch.rand(1, 2, 32, 48)
    values = []
    for model in (small.eval(), large.eval()):
        assert isinstance(model, SpaceTimeNetwork)
        f16 = model.encode_key(image).f16
        values.append(model.encode_value(image, f16, masks, deep_update=False)[0])
    assert torch.allclose(values[0], values[1], atol=1e-5)


@torch.no_grad()
def test_back_to_four_channels(caplog: pytest.LogCaptureFixture) -> None:
    large, weights = tiny("xmem")
    load_weights(large, weights, "checkpoint a.pth")
    small = build_model("xmem", "tiny", mask_channels=1)
    with caplog.at_level(logging.INFO):
        load_weights(small, weights, "checkpoint a.pth")
    said = "checkpoint a.pth: the value encoder shrinks from 5 to 4 input channels, without the others' masks"
    assert caplog.messages == [said]
    # One object has no others: both networks must see the same.
    image, mask = torch.randn(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    values = []
    for model in (small.eval(), large.eval()):
        assert isinstance(model, SpaceTimeNetwork)
        f16 = model.encode_key(image).f16
        values.append(model.encode_value(image, f16, mask, deep_update=False)[0])
    assert torch.allclose(values[0], values[1], atol=1e-5)


def complaint(model: VOSNetwork, weights: Mapping[str, object]) -> str:
    """The error's text; the network must not have changed."""
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load_weights(model, weights, "checkpoint a.pth")
    assert holds(model, before)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_architecture() -> None:
    text = complaint(build_model("stcn", "tiny"), tiny("xmem")[1])
    start = "checkpoint a.pth does not fit stcn (tiny); they look like xmem: build that network, or choose another"
    assert text.startswith(start)
    assert " missing (value_encoder.conv1.bias, " in text  # XMem's value trunk has no biases
    assert " unexpected (value_encoder.hidden_reinforce.transform.weight, " in text
    assert "of no network known here" in complaint(build_model("stcn", "tiny"), {"fc.weight": torch.zeros(3, 3)})


def test_missing_unexpected_and_misshapen_weights() -> None:
    model, weights = tiny("stcn")
    first, second, *_ = weights
    incomplete = {key: tensor for key, tensor in weights.items() if key not in (first, second)} | {"x": torch.zeros(1)}
    assert complaint(model, incomplete) == (
        "checkpoint a.pth does not fit stcn (tiny); they are of stcn in other sizes, or incomplete. "
        f"Weights: 2 missing ({first}, {second}), 1 unexpected (x)"
    )
    text = complaint(model, weights | {"decoder.pred.weight": torch.zeros(1, 32, 3, 3)})
    assert text.endswith("1 of another shape (decoder.pred.weight [1, 32, 3, 3] instead of [1, 64, 3, 3])")
    text = complaint(model, tiny("stcn", key_dim=16)[1])
    assert "2 of another shape (key_proj.key_proj.weight [16, 128, 3, 3] instead of [64, 128, 3, 3], " in text


def test_files_that_are_no_network(tmp_path: Path) -> None:
    def complaint_of(payload: dict[str, object]) -> str:
        save_checkpoint(tmp_path / "a.pth", payload)
        with pytest.raises(ValueError) as caught:
            load_checkpoint(tmp_path / "a.pth")
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(tmp_path / "a.pth"), "FILE")

    resnet: dict[str, object] = {f"layer1.{index}.weight": torch.zeros(1) for index in range(5)}
    assert complaint_of(resnet) == (
        "checkpoint FILE is of an unknown architecture: it starts with layer1.0.weight, layer1.1.weight, "
        "layer1.2.weight, ... 2 more. Expected one of stcn, stcn-corr, xmem, bmvos, emvos"
    )
    assert complaint_of({"step": 3, "optimizer": {}}).endswith("model_state_dict. It holds step, optimizer")
    assert complaint_of({}).endswith("It holds nothing")
    weights: dict[str, object] = dict(tiny("xmem")[1])
    del weights["value_encoder.conv1.weight"]
    expected = "checkpoint FILE looks like xmem but lacks value_encoder.conv1.weight: it is incomplete"
    assert complaint_of(weights) == expected
    weights["key_proj.key_proj.weight"] = torch.zeros(64, 77, 3, 3)
    expected = "FILE has 77 channels in its key encoder's last stage, known: 1024 (base), 112 (small), 128 (tiny)"
    assert expected in complaint_of(weights)


def test_tensors_that_are_no_weights(tmp_path: Path) -> None:
    weights = tiny("xmem")[1]
    name = "decoder.pred.weight"
    for tensor, fault in (
        (torch.full_like(weights[name], float("nan")), "holds 576 values that are not finite (NaN or infinite)"),
        (weights[name].to(torch.complex64), "is of torch.complex64"),
        (weights[name].int(), "is of torch.int32"),
        (weights[name].bool(), "is of torch.bool"),
        (weights[name].to_sparse(), "is torch.sparse_coo, not dense"),
        (weights[name].to("meta"), "has no values (a meta tensor)"),
        (torch.zeros(1).expand_as(weights[name]), "spreads 4 bytes over 576 elements by its strides (0, 0, 0, 0)"),
    ):
        torch.save({**weights, name: tensor}, tmp_path / "a.pth")
        with pytest.raises(ValueError) as caught:
            load_checkpoint(tmp_path / "a.pth")
        expected = f"checkpoint {tmp_path / 'a.pth'}: {name} {fault}. Expected weights: finite floating-point numbers"
        assert str(caught.value) == expected


def test_odd_containers(tmp_path: Path) -> None:
    weights = tiny("stcn")[1]
    itself: dict[str, object] = dict(weights)
    itself["model"] = itself
    key = "key_proj.key_proj.weight"
    cases: list[tuple[object, str]] = [
        (itself, "is nested more than 8 deep, or in itself: expected a state dict"),
        ({0: torch.ones(2)}, "has an entry 0 of type int: expected the names of weights"),
        ({**weights, key: torch.tensor(1.0)}, f"looks like stcn, but {key} has the shape []: it is damaged"),
        ({**weights, key: torch.zeros(5000, 128, 1, 1)}, "in sizes that no network has: {'key_dim': 5000}"),
        (
            {**weights, "value_encoder.conv1.weight": torch.tensor(1.0)},
            "looks like stcn, but its weights have other shapes: it is damaged",
        ),
        ({"format": "corrvos", "version": "2", "network": weights}, "has format version 2, this program reads up to 1"),
    ]
    for content, message in cases:
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ValueError) as caught:
            load_checkpoint(tmp_path / "a.pth")
        assert message in str(caught.value) and "\n" not in str(caught.value)
