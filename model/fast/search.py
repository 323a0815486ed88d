"""What top-k matching spends its time on: a product of many rows, and the search for the largest of each row."""

import math

import torch
from torch import Tensor

_LINE = 16  # fp32 numbers in a cache line of a CPU


def product_in_rows(left_PD: Tensor, right_DN: Tensor) -> Tensor:
    """Return the product [P,N] of two fp32 matrices; on a CPU, each of its rows begins a cache line.

    A product whose rows do not, as with an odd N, takes up to 1.8 times as long.
    """
    watched = torch.is_grad_enabled() and (left_PD.requires_grad or right_DN.requires_grad)
    if left_PD.device.type != "cpu" or watched:
        return left_PD @ right_DN
    rows, columns = left_PD.shape[0], right_DN.shape[1]
    out = left_PD.new_empty(rows, -(-columns // _LINE) * _LINE)[:, :columns]
    return torch.mm(left_PD, right_DN, out=out)


def k_largest(scores_PN: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and indices of the `k` largest of each row, in any order.

    The columns are cut into `N / g` classes of `g` columns. The `k` best columns lie in the `k` classes with the
    largest maxima, so only those are searched; with g = sqrt(N / k) both searches are equally small. A GPU searches all
    columns at once, and would rather start few kernels.
    """
    elements = scores_PN.shape[1]
    group = math.isqrt(elements // k)
    if group < 2 or scores_PN.device.type == "cuda":
        values, index = scores_PN.topk(k, dim=1, sorted=False)
        return values, index
    classes = elements // group
    whole = classes * group
    best_Pk = scores_PN[:, :whole].unflatten(1, (group, classes)).amax(dim=1).topk(k, dim=1, sorted=False).indices
    device = scores_PN.device
    members = torch.arange(0, whole, classes, device=device)[:, None]
    rest = torch.arange(whole, elements, device=device).expand(scores_PN.shape[0], -1)
    candidates = torch.cat([(best_Pk[:, None, :] + members).flatten(1), rest], dim=1)
    values, chosen = scores_PN.gather(1, candidates).topk(k, dim=1, sorted=False)
    return values, candidates.gather(1, chosen)
