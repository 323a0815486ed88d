"""ImageNet weights: what they fill, where they come from, and what is said when they cannot be had."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

import train
from model.build import NETWORKS, build_model
from model.pretrained import RESNET18, RESNET50, load_imagenet
from tests.support.runs import error_of
from util.files.download import Options

ENCODERS = NETWORKS["stcn"].family.pretrained


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
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    words = ["--model", "stcn", "--stage", "2", "--dataset", "sample", "--sample_root", str(tmp_path / "sample")]
    words += ["--num_workers", "0", "--output", str(tmp_path / "run"), "--device", "cpu", "--ocl_objects", "manual"]
    message = error_of(lambda: train.command_line([*words, "--imagenet_weights", "/nowhere/a.pth"]), capsys)
    assert message.startswith("error: no ImageNet weights (ResNet-50)") and message.endswith(both)
    assert not (tmp_path / "run").exists()
