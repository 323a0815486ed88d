"""Learning rates, groups of parameters, and the clipping of gradients."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from model.build import SPACE_TIME, build_model, find_network
from model.layers.batch_norm import freeze_batch_norm
from model.training.optim import (
    build_optimizer,
    clip_gradient,
    learning_rate,
    lr_factor,
    set_learning_rate,
)
from tests.support.toy_videos import toy_model
from util.config.presets import preset
from util.config.train import OptimConfig

CPU = torch.device("cpu")
OPTIM = OptimConfig(optimizer="adam", lr=1.0, weight_decay=0.0)


def test_learning_rates_by_hand() -> None:
    steps = replace(OPTIM, lr=1.0, lr_schedule="steps", lr_drops=(0.5, 0.8))
    rates = [learning_rate(steps, 100, progress) for progress in (0, 0.49, 0.5, 0.79, 0.8, 1)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = replace(OPTIM, lr=2.0, lr_schedule="cosine", warmup_steps=4)
    assert [learning_rate(cosine, s, p) for s, p in ((0, 0), (3, 0), (9, 0.5), (9, 1))] == pytest.approx([0.5, 2, 1, 0])
    linear = replace(OPTIM, lr=1.0, lr_schedule="linear")
    assert [learning_rate(linear, 0, p) for p in (0, 0.25, 1, 1.2)] == pytest.approx([1, 0.75, 0, 0])


def test_published_drops_are_at_their_iterations() -> None:
    published = {
        "xmem": {"1": (1e-5, 200_000), "2": (1e-5, 120_000), "3": (1e-5, 80_000)},
        "stcn": {"0": (1e-5, 150_000), "1": (1e-5, 400_000), "2": (1e-5, 250_000), "3": (1e-5, 125_000)},
        "stcn-corr": {"0": (5e-5, 250_000), "1": (1e-5, 400_000), "2": (5e-5, 250_000), "3": (5e-5, 125_000)},
    }
    for model, stages in published.items():
        for stage, (lr, step) in stages.items():
            run = preset(model, "base", stage)
            before, at = (learning_rate(run.optim, s, s / run.iterations) for s in (step - 1, step))
            assert before == pytest.approx(lr) and at == pytest.approx(lr / 10)
    assert learning_rate(preset("xmem", stage="0").optim, 149_999, 149_999 / 150_000) == 1e-5


def test_three_learning_rates_of_stcn_corr() -> None:
    config = preset("stcn-corr").optim
    factors = {
        "key_encoder.conv1.weight": 0.2,
        "key_encoder.res2.0.conv1.weight": 0.2,
        "key_encoder.layer3.5.conv1.weight": 0.4,
        "value_encoder.layer2.0.conv1.weight": 0.4,
        "value_encoder.layer1.0.conv1.weight": 0.2,
        "value_encoder.fuser.block1.conv1.weight": 0.2,
        "key_proj.key_proj.weight": 1.0,
        "decoder.pred.weight": 1.0,
    }
    assert {name: lr_factor(name, config, SPACE_TIME.encoders) for name in factors} == factors
    model = toy_model("stcn-corr")
    optimizer = build_optimizer(model.named_parameters(), config, SPACE_TIME.encoders)
    set_learning_rate(optimizer, 10.0)
    assert sorted(group["lr"] for group in optimizer.param_groups) == [2.0, 4.0, 10.0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    assert len(build_optimizer(model.named_parameters(), preset("stcn").optim, SPACE_TIME.encoders).param_groups) == 1


@pytest.mark.parametrize("name", ["xmem", "bmvos", "emvos"])
def test_every_networks_encoders_have_learning_rates_of_their_own(name: str) -> None:
    config = replace(OPTIM, encoder_lr=0.2, deep_encoder_lr=0.4)
    family, model = find_network(name).family, build_model(name, "tiny")
    own = {id(x) for encoder in family.encoders for x in model.get_submodule(encoder).parameters()}
    factors = {0.2: 0, 0.4: 0, 1.0: 0}
    for parameter_name, parameter in model.named_parameters():
        factor = lr_factor(parameter_name, config, family.encoders)
        assert (factor == 1.0) == (id(parameter) not in own), parameter_name
        factors[factor] += 1
    assert all(factors.values())
    encoder = model.get_submodule(family.image_encoder)
    assert {x for x, _ in encoder.named_children()} >= {*family.early_layers, *family.encoders[family.image_encoder]}


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_the_optimiser_does_not_mind_memory_layouts(kind: Literal["adam", "adamw"]) -> None:
    # On a CPU the fused step takes numbers as they lie in memory.
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    config = OptimConfig(optimizer=kind, lr=0.1, weight_decay=0.01)
    last, first = torch.channels_last, torch.contiguous_format
    ours = torch.nn.Parameter(weight.contiguous(memory_format=last))
    theirs = torch.nn.Parameter(weight.clone())
    optimizer = build_optimizer([("weight", ours)], config, {})
    reference = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]([theirs], lr=0.1, weight_decay=0.01)
    for layout in (last, first, last):
        gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        ours.grad, theirs.grad = gradient.contiguous(memory_format=layout), gradient
        optimizer.step()
        reference.step()
        torch.testing.assert_close(ours, theirs, check_stride=False)
        ours.data = ours.data.contiguous(memory_format=layout)  # the state keeps its layout, as after a resume
    assert ours.is_contiguous(memory_format=last)


def test_gradients_are_clipped_and_batch_norm_frozen() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradient(layer.parameters(), 0.0).item() == pytest.approx(5) and layer.weight.grad[0, 1] == 4
    assert clip_gradient(layer.parameters(), 1.0).item() == pytest.approx(5)
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.6, 0.8]]), atol=1e-5, rtol=0)
    layer.weight.grad = torch.tensor([[0.3, 0.4]])
    assert clip_gradient(layer.parameters(), 1.0).item() == pytest.approx(0.5)
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.3, 0.4]]))  # a small one is not made larger
    block = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1)).train()
    freeze_batch_norm(block)
    block(torch.randn(4, 1, 2, 2))
    assert not block[1].training and block[1].running_mean == 0 and block[1].weight.requires_grad
    assert isinstance(
        build_optimizer(layer.named_parameters(), OPTIM, {}),
        torch.optim.Adam,
    )
