"""BatchNorm in training: frozen, or with the statistics of all processes together."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from util.parallel import distributed


def freeze_batch_norm(module: nn.Module) -> None:
    """Put every BatchNorm in eval mode: it uses and keeps its statistics; its affine parameters still train."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are for the length of a `with` block; what trains still normalises by batch."""
    layers = [x for x in module.modules() if isinstance(x, nn.modules.batchnorm._BatchNorm) and x.training]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def synchronise_batch_norm(module: nn.Module) -> nn.Module:
    """Return the module with every BatchNorm replaced by one whose statistics run over all processes.

    Names of parameters and buffers stay. On a GPU these are PyTorch's own, which work there only.
    """
    if next(module.parameters()).is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.BatchNorm2d:
                setattr(parent, name, _synchronised(layer))
    return module


def _synchronised(layer: nn.BatchNorm2d) -> "RankBatchNorm":
    new = RankBatchNorm(layer.num_features, layer.eps, layer.momentum)
    new.weight, new.bias = layer.weight, layer.bias
    new.running_mean, new.running_var = layer.running_mean, layer.running_var
    new.num_batches_tracked = layer.num_batches_tracked
    return new.train(layer.training)


class RankBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the batches of all processes, on any device; every process must come here equally often."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [N,C,H,W]; N may differ between processes."""
        if not self.training or not distributed.is_joined():
            return super().forward(x)
        pixels = x.new_full((1,), x.numel() / x.shape[1], dtype=torch.float32)
        # Two passes: the difference of the mean square and the squared mean would lose digits.
        sums: Tensor = _SumOverRanks.apply(torch.cat([x.float().sum(dim=(0, 2, 3)), pixels]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x.float() - mean[:, None, None]
        variance: Tensor = _SumOverRanks.apply(centred.square().sum(dim=(0, 2, 3))) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        return distributed.sum_over_ranks(x)

    @staticmethod
    def backward(_: object, gradient: Tensor) -> Tensor:
        # What every process makes of the sum depends on every process's part.
        return distributed.sum_over_ranks(gradient)
