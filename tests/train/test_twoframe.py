"""Training BMVOS and EMVOS with the trainer of all networks."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision

import train
from dataset.train.loader import build_loader
from inference.validate import validate
from model.build import build_model, find_network
from model.network import VOSNetwork
from model.pretrained import DENSENET121, load_imagenet
from model.training.start import image_encoder
from model.twoframe.unroll import TwoFrameClipNetwork
from model.weights import load_checkpoint
from tests.support.runs import TWOFRAME, assert_same, error_of, lines, torchrun
from util.config.presets import preset
from util.config.train import TrainConfig, ValidationConfig
from util.files.checkpoint import read_checkpoint

CPU = torch.device("cpu")
EITHER = pytest.mark.parametrize("model", TWOFRAME)


@pytest.fixture(scope="module")
def densenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's, with random weights and the names of its first version."""
    torch.manual_seed(0)
    network = torchvision.models.densenet121(weights=None)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    weights = {}
    for name, tensor in network.state_dict().items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            if "denselayer" in name:
                name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
        weights[name] = tensor
    path = tmp_path_factory.mktemp("imagenet") / "densenet121.pth"
    torch.save({name: value for name, value in weights.items() if "num_batches" not in name}, path)
    return path


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


def small_run(model: str, root: Path, **changes: object) -> TrainConfig:
    run = preset(model, "tiny")
    data = replace(run.data, dataset=(), user_roots=(root,), num_workers=0)
    augment = replace(run.augment, crop_size=32, crop_scale=(0.5, 1.0))
    clip = replace(run.clip, min_object_pixels=8)
    run = replace(run, data=data, augment=augment, clip=clip, batch_size=2, device="cpu")
    return replace(run, **changes)  # type: ignore[arg-type]


def flags(model: str, root: Path, output: Path, *more: str) -> list[str]:
    words = f"--model {model} --size tiny --dataset davis --davis_root {root} --output {output} --device cpu --seed 1"
    words += " --batch_size 2 --crop_size 32 --crop_scale 0.5 1 --min_object_pixels 8 --iterations 2 --log_every 1"
    return [*words.split(), *more]


@EITHER
def test_both_stages_from_the_command_line_on_the_sample(model: str, sample: Path, tmp_path: Path) -> None:
    words = f"--model {model} --size tiny --stage 02 --dataset sample --sample_root {sample} --device cpu"
    words += f" --batch_size 1 --crop_size 64 --iterations 1 --log_every 1 --output {tmp_path}/run"
    train.command_line(words.split())
    (written,) = lines(tmp_path / "run" / "stage2")
    assert {"loss", "cross_entropy", "dice", "iou", "gradient_norm"} <= set(written)
    saved = read_checkpoint(tmp_path / "run" / "stage2" / "last.pth")
    assert (saved["format"], saved["step"], saved["config"]["model"]) == ("corrvos", 1, model)
    network = load_checkpoint(tmp_path / "run" / "stage2" / "last.pth")
    assert network.config.name == model and network.config.size == "tiny"
    assert_same(dict(network.state_dict()), saved["ema"])


@EITHER
def test_resumed_steps_equal_steps_in_a_row(model: str, root: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train.command_line(flags(model, root, whole, "--iterations", "4", "--save_every", "2", "--keep", "0"))
    shutil.copytree(whole, cut)
    for name in ("step-0000004.pth", "last.pth"):
        (cut / name).unlink()
    train.command_line(["--resume", str(cut)])
    first, second = (read_checkpoint(folder / "last.pth") for folder in (whole, cut))
    assert first["step"] == second["step"] == 4
    for name in ("network", "ema", "optimizer", "rng"):
        assert_same(first[name], second[name], name)
    figures = [
        [(line["loss"], line["iou"], line["gradient_norm"]) for line in lines(folder)] for folder in (whole, cut)
    ]
    assert figures[0] == figures[1] and len(figures[0]) == 4


@EITHER
def test_a_batch_can_be_learnt_by_heart(model: str, root: Path) -> None:
    config = small_run(model, root, iterations=1000)
    config = replace(config, optim=replace(config.optim, warmup_steps=0))
    batch = next(iter(build_loader(config, CPU)))
    state = train.build_state(config, CPU)
    assert isinstance(state.network, TwoFrameClipNetwork)
    losses = [train.train_step(state, [batch], config)[0]["loss"].item() for _ in range(40)]
    assert min(losses[-3:]) < 0.4 * losses[0]


@EITHER
def test_every_weight_that_trains_gets_a_gradient(model: str, root: Path) -> None:
    config = small_run(model, root)
    state = train.build_state(config, CPU)
    train.train_step(state, [next(iter(build_loader(config, CPU)))], config)
    without = [name for name, weight in state.model.named_parameters() if weight.grad is None]
    assert without == []


@EITHER
def test_validation_scores_them_and_changes_nothing(model: str, root: Path) -> None:
    state = train.build_state(small_run(model, root), CPU)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    assert state.mean is not None
    figures = validate(state.model, ValidationConfig(val_root=root.parent, val_size=-1), CPU, state.mean.weights)
    assert 0 <= figures["J&F"] <= 1
    assert_same(before, dict(state.model.state_dict()))
    assert any(layer.training for layer in state.model.modules() if isinstance(layer, torch.nn.BatchNorm2d))


@torch.no_grad()
def test_imagenet_weights_make_torchvisions_densenet(
    densenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "densenet121-a639ec97.pth").symlink_to(densenet)
    assert DENSENET121.url == torchvision.models.DenseNet121_Weights.IMAGENET1K_V1.url
    assert (cache / DENSENET121.url.rsplit("/", 1)[1]).is_file()
    saved = torch.load(densenet, weights_only=True)
    for files in ([densenet], []):
        encoder = image_encoder(load_into("bmvos", files))
        own = encoder.state_dict()
        assert torch.equal(own["conv0.weight"], saved["features.conv0.weight"])
        last = "denseblock3.denselayer24."
        assert torch.equal(own[f"{last}conv2.weight"], saved[f"features.{last}conv.2.weight"])
        assert torch.equal(own[f"{last}norm1.running_var"], saved[f"features.{last}norm.1.running_var"])
        filled = [name for name in own if "num_batches" not in name and name not in ("mean", "std")]
        assert len(filled) == sum(name.startswith("features.") for name in saved) - left_out(saved)


def load_into(name: str, files: list[Path]) -> VOSNetwork:
    model = build_model(name)
    load_imagenet(model, find_network(name).family.pretrained["base"], files)
    return model


def left_out(saved: dict[str, torch.Tensor]) -> int:
    """Count the features behind stride 16: the last transition, block and normalisation."""
    return sum(
        name.startswith(f"features.{part}") for part in ("transition3", "denseblock4", "norm5") for name in saved
    )


def test_without_imagenet_weights_both_ways_on_are_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--model emvos --stage 2 --dataset davis --davis_root {root} --output {tmp_path}/run"
    words += f" --num_workers 0 --device cpu --frames 3 --imagenet_weights {tmp_path}/resnet50.pth"
    message = error_of(lambda: train.command_line(words.split()), capsys)
    assert message.startswith("error: no ImageNet weights (DenseNet-121) for the encoders: ")
    assert message.endswith(
        "Give torchvision's files with --imagenet_weights densenet121.pth, or start from random weights with "
        "--no_pretrained."
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["emvos", "xmem"])
def test_a_frozen_encoder_stays_and_the_optimiser_has_nothing_of_it(
    model: str, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_run(model, root, freeze_encoder="yes")
    with caplog.at_level(logging.INFO):
        state = train.build_state(config, CPU)
    assert "(those of the image encoder stay)" in caplog.text
    encoder = image_encoder(state.model)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimised = {id(weight) for group in state.optimizer.param_groups for weight in group["params"]}
    frozen = {id(weight) for weight in encoder.parameters()}
    assert not optimised & frozen and len(optimised | frozen) == len(list(state.model.parameters()))
    train.train_step(state, [next(iter(build_loader(config, CPU)))], config)
    assert_same(before, dict(encoder.state_dict()))
    assert all(weight.grad is not None for weight in state.model.parameters() if weight.requires_grad)


@pytest.mark.parametrize(("model", "frozen"), [("bmvos", "no"), ("emvos", "yes")])
def test_two_processes_train_what_one_trains(model: str, frozen: str, root: Path, tmp_path: Path) -> None:
    words = ["--freeze_encoder", frozen, "--freeze_bn", "yes", "--lr", "2e-6", "--warmup_steps", "0", "--paste", "0.5"]
    train.command_line(flags(model, root, tmp_path / "alone", *words))
    (tmp_path / "words").write_text(" ".join(flags(model, root, tmp_path / "shared", *words)))
    done = torchrun(2, "words", tmp_path)
    assert done.returncode == 0, done.stderr
    alone, shared = (read_checkpoint(tmp_path / name / "last.pth")["network"] for name in ("alone", "shared"))
    torch.testing.assert_close(shared, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--frames", "1"], "--frames 1: expected at least 2, the first holds the given masks."),
        (["--paste", "2"], "paste 2.0: expected a probability, 0 to 1"),
        (["--min_object_pixels", "-3"], "min_object_pixels -3: expected at least 0"),
        (["--min_object_pixels", "4000"], "no video has a frame with an object"),
        (["--freeze_encoder", "maybe"], "maybe"),
        (["--crop_size", "100"], "crop_size 100: expected a multiple of 16"),
        (["--checkpoint", "{root}/Annotations/480p/a/00000.png"], "00000.png"),
    ],
)
def test_wrong_input_is_one_line(
    words: list[str], expected: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(root=root) for word in words]
    message = error_of(lambda: train.command_line([*flags("bmvos", root, tmp_path / "run"), *given]), capsys)
    assert message.startswith("error: ") and expected in message


def test_a_checkpoint_of_another_network_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.command_line(flags("bmvos", root, tmp_path / "bmvos", "--iterations", "1"))
    weights = str(tmp_path / "bmvos" / "last.pth")
    for other in ("emvos", "stcn"):
        words = flags(other, root, tmp_path / other, "--checkpoint", weights)
        message = error_of(lambda words=words: train.command_line(words), capsys)  # type: ignore[misc]
        assert f"does not fit {other} (tiny); they look like bmvos: build that network" in message
