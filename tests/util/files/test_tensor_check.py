import warnings

import pytest
import torch
from torch import Tensor

from util.files.tensor_check import tensor_fault


def quantised() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


def nested() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prototype, they say
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


def compressed() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in beta state, they say
        return torch.eye(3).to_sparse_csr()


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.tensor([1.0, float("nan"), float("inf")]), "holds 2 values that are not finite (NaN or infinite)"),
        (torch.ones(3, dtype=torch.complex64), "is of torch.complex64"),
        (torch.ones(3, dtype=torch.int64), "is of torch.int64"),
        (torch.ones(3, dtype=torch.bool), "is of torch.bool"),
        (torch.eye(3).to_sparse(), "is torch.sparse_coo, not dense"),
        (compressed(), "is torch.sparse_csr, not dense"),
        (nested(), "is nested, not dense"),
        (quantised(), "is quantised (torch.qint8)"),
        (torch.empty(3, device="meta"), "has no values (a meta tensor)"),
        (
            torch.ones(1).expand(10**9, 1000),
            "spreads 4 bytes over 1,000,000,000,000 elements by its strides (0, 0)",
        ),
        (torch.ones(3, dtype=torch.float16), None),
        (torch.ones(3).to(torch.float8_e4m3fn), None),
        (torch.ones(4, 4)[:, 1:3], None),
        (torch.zeros(0), None),
    ],
)
def test_what_is_no_weight(tensor: Tensor, fault: str | None) -> None:
    assert tensor_fault(tensor) == fault


def test_counters_of_batches_are_integers() -> None:
    assert tensor_fault(torch.tensor(3), counter=True) is None
    assert tensor_fault(torch.tensor(True), counter=True) == "is of torch.bool"
    assert tensor_fault(torch.tensor(float("nan")), counter=True) is not None
