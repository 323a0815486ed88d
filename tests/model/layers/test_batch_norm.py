"""BatchNorm frozen, with statistics kept, and over all processes."""

from pathlib import Path

import pytest
import torch
from torch import nn

from model.layers.batch_norm import RankBatchNorm, freeze_batch_norm, statistics_kept, synchronise_batch_norm
from tests.support.ddp_steps import batch_norm_input
from tests.support.runs import torchrun


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), nn.Dropout(0.5))


def inner(module: nn.Sequential) -> nn.BatchNorm2d:
    layer = module.get_submodule("1.0")
    assert isinstance(layer, nn.BatchNorm2d)
    return layer


def test_freezing_stops_the_statistics_alone() -> None:
    module = network().train()
    freeze_batch_norm(module)
    assert [layer.training for layer in (module[0], inner(module), module[2])] == [True, False, True]
    before = {name: tensor.clone() for name, tensor in module.named_buffers()}
    module(torch.randn(2, 3, 5, 5)).sum().backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.named_buffers())
    assert all(weight.grad is not None for weight in module.parameters())


def test_statistics_kept_still_normalises_by_batch() -> None:
    layer = nn.BatchNorm2d(4, momentum=0.3).train()
    frozen = nn.BatchNorm2d(4, momentum=0.2).eval()
    x = 5 + 3 * torch.randn(2, 4, 6, 6)
    with pytest.raises(RuntimeError, match="stop"), statistics_kept(nn.ModuleList([layer, frozen])):
        torch.testing.assert_close(layer(x), nn.functional.batch_norm(x, None, None, training=True))
        raise RuntimeError("stop")
    assert layer.running_mean is not None and layer.running_var is not None
    assert layer.running_mean.tolist() == [0] * 4 and layer.running_var.tolist() == [1] * 4
    assert (layer.momentum, frozen.momentum) == (0.3, 0.2)


def test_synchronised_layers_keep_their_names_weights_and_mode() -> None:
    module = network()
    nn.init.uniform_(inner(module).weight)
    inner(module).eval()
    before = module.state_dict()
    x = torch.randn(2, 3, 5, 5)
    expected = nn.functional.relu(inner(module)(module[0](x)))
    same = synchronise_batch_norm(module)
    assert isinstance(same[1][0], RankBatchNorm) and not same[1][0].training  # type: ignore[index]
    after = same.state_dict()
    assert before.keys() == after.keys()
    assert all(before[name].data_ptr() == after[name].data_ptr() for name in before)
    torch.testing.assert_close(module[1](module[0](x)), expected)


def test_batch_norm_over_processes_equals_the_joined_batch(tmp_path: Path) -> None:
    done = torchrun(2, "batch_norm", tmp_path)
    assert done.returncode == 0, done.stderr
    layer, x, weight = batch_norm_input()
    x.requires_grad_()
    y = layer(x)
    (y * weight).sum().backward()
    expected = [y, x.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var]
    for ours, truth in zip(torch.load(tmp_path / "result.pth", weights_only=True), expected, strict=True):
        torch.testing.assert_close(ours, truth, atol=1e-5, rtol=1e-5)
