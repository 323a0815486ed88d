"""Choosing a device and a precision."""

import subprocess
import sys

import pytest
import torch

from tests.support.paths import ROOT
from util import device as device_module
from util.config.choices import Precision
from util.device import (
    autocast,
    many_sizes,
    peak_memory_bytes,
    prefers_channels_last,
    resolve_precision,
    select_device,
    set_up,
    synchronize,
)

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("gpus", "mps", "device"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda:0"), (1, True, "cuda:0")]
)
def test_auto_takes_the_best_that_is_there(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool, device: str) -> None:
    machine(monkeypatch, gpus, mps)
    assert select_device("auto") == torch.device(device)
    assert select_device("CPU") == CPU


def test_a_rank_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpus=2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert select_device("auto") == select_device("cuda") == torch.device("cuda", 1)
    assert select_device("cuda:0") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match=r"'auto': GPU 2 was asked for, this machine has 2: start torchrun with"):
        select_device("auto")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "unknown device 'gpu': expected auto, cpu, cuda, cuda:INDEX or mps"),
        ("cuda:first", "unknown device 'cuda:first': expected auto"),
        ("cpu:1", "unknown device 'cpu:1': expected auto"),
        ("cuda:1", "device 'cuda:1': PyTorch .* sees no CUDA GPU here: use --device cpu or auto"),
        ("mps", "device 'mps' is not available on this machine: use --device cpu or auto"),
    ],
)
def test_devices_that_do_not_exist(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    machine(monkeypatch, gpus=0)
    with pytest.raises(ValueError, match=message):
        select_device(name)


def test_a_gpu_beyond_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpus=2)
    with pytest.raises(ValueError, match="'cuda:5': GPU 5 was asked for, this machine has 2: use cuda:0 to cuda:1"):
        select_device("cuda:5")


def test_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision(CPU) == "fp32" and resolve_precision(CUDA) == "fp16"
    assert resolve_precision(CPU, "bf16") == "bf16"
    with pytest.raises(ValueError, match="unknown precision 'half': expected one of auto, fp32, fp16, bf16"):
        resolve_precision(CPU, "half")  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    with pytest.raises(ValueError, match="precision 'bf16' is not supported by Old GPU: use fp16 or fp32"):
        resolve_precision(CUDA, "bf16")


def test_autocast_computes_in_the_precision_asked_for() -> None:
    a = torch.ones(2, 2)
    wanted: list[tuple[Precision, torch.dtype]] = [("auto", torch.float32), ("bf16", torch.bfloat16)]
    for precision, dtype in [*wanted, ("fp16", torch.float16)]:
        with autocast(CPU, precision):
            assert (a @ a).dtype == dtype
    with autocast(CPU, "bf16"), autocast(CPU, "fp32"):
        assert (a @ a).dtype == torch.float32


def test_a_system_without_resource_and_file_locks_runs_all_but_what_they_tell() -> None:
    program = (
        "import sys; sys.modules['resource'] = sys.modules['fcntl'] = None\n"
        "import torch, eval, train, scripts.ablate; from util.device import peak_memory_bytes\n"
        "print(peak_memory_bytes(torch.device('cpu')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("nan\n", "")


def test_measurements_on_a_cpu() -> None:
    synchronize(CPU)
    before = peak_memory_bytes(CPU)
    block = torch.ones(16, 1024, 1024)
    assert peak_memory_bytes(CPU) >= before > 2**20
    assert peak_memory_bytes(CPU) >= block.numel() * 4


def test_a_program_sets_its_gpu_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.device] = []
    kept: list[bool] = []
    monkeypatch.setattr(torch.cuda, "set_device", made.append)
    monkeypatch.setattr(device_module, "keep_freed_memory", lambda: kept.append(True))
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    try:
        set_up(CPU, fixed_sizes=False)
        assert not kept
        set_up(CPU, fixed_sizes=True)
        assert kept == [True] and not made and before[0] == torch.backends.cudnn.benchmark
        for fixed in (True, False):
            set_up(torch.device("cuda:1"), fixed_sizes=fixed)
            assert torch.backends.cudnn.benchmark == fixed
        assert made == [torch.device("cuda:1")] * 2 and len(kept) == 1
        assert not torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = before


def test_no_algorithms_are_tried_where_many_sizes_come(monkeypatch: pytest.MonkeyPatch) -> None:
    for usual in (True, False):
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", usual)
        with pytest.raises(KeyError), many_sizes():
            assert not torch.backends.cudnn.benchmark
            raise KeyError
        assert torch.backends.cudnn.benchmark is usual


def test_only_mps_has_its_tensors_channels_first() -> None:
    assert [prefers_channels_last(torch.device(kind)) for kind in ("cpu", "cuda", "mps")] == [True, True, False]
