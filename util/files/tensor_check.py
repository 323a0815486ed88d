"""Whether a tensor read from somebody's file can be a network's weights."""

import torch
from torch import Tensor


def tensor_fault(tensor: Tensor, counter: bool = False) -> str | None:
    """Say why a tensor is no weight of a network, or None: weights are finite floating-point numbers in memory.

    Args:
        tensor: as it was loaded.
        counter: whether it counts batches, which is an integer.
    """
    if tensor.is_meta:
        return "has no values (a meta tensor)"
    if tensor.is_nested or tensor.layout != torch.strided:
        return f"is {'nested' if tensor.is_nested else tensor.layout}, not dense"
    if tensor.is_quantized:
        return f"is quantised ({tensor.dtype})"
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > held:
        return f"spreads {held:,} bytes over {tensor.numel():,} elements by its strides {tuple(tensor.stride())}"
    if counter and not tensor.is_floating_point():
        return f"is of {tensor.dtype}" if tensor.is_complex() or tensor.dtype == torch.bool else None
    if not tensor.is_floating_point():
        return f"is of {tensor.dtype}"
    try:
        values = tensor if tensor.element_size() > 1 else tensor.float()
        finite = torch.isfinite(values)
        bad = 0 if bool(finite.all()) else int((~finite).sum())
    except (RuntimeError, NotImplementedError):
        return f"is of {tensor.dtype}, which cannot be read here"
    return f"holds {bad:,} values that are not finite (NaN or infinite)" if bad else None
