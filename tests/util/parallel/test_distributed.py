"""Processes: what torchrun's environment says, and what two gloo ranks tell each other."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.support.paths import ROOT
from util.parallel import distributed

PROGRAM = """
import torch
from util.parallel import distributed
with distributed.process_group(torch.device("cpu")):
    seen = distributed.gather_objects({"rank": distributed.rank(), "local": distributed.local_rank()})
    assert seen == [{"rank": 0, "local": 0}, {"rank": 1, "local": 1}], seen
    assert distributed.broadcast_object(distributed.rank() + 5) == 5
    distributed.barrier()
    mine = [distributed.rank(), 1 - distributed.rank()]
    answer = distributed.ask_largest(lambda: list(mine))
    mine[0] = 9
    assert distributed.largest([distributed.rank()]) == [1]
    assert answer() == [1, 1], "the values of the time of asking"
    assert distributed.is_main() == (distributed.rank() == 0)
    assert torch.distributed.get_backend() == "gloo"
assert not torch.distributed.is_initialized()
"""


def test_one_process_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with distributed.process_group(torch.device("cpu")):
        assert not torch.distributed.is_initialized()
        assert (distributed.rank(), distributed.local_rank(), distributed.world_size()) == (0, 0, 1)
        assert distributed.is_main()
        assert distributed.gather_objects("x") == ["x"]
        assert distributed.broadcast_object("x") == "x"
        distributed.barrier()


def test_the_environment_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "5"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    assert (distributed.rank(), distributed.local_rank(), distributed.world_size()) == (5, 1, 8)
    assert not distributed.is_main()


def test_two_ranks_talk(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(program)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("lengths", "ranks", "shares"),
    [
        ([5, 9, 2, 4], 1, [[0, 1, 2, 3]]),
        ([5, 9, 2, 4], 2, [[1, 2], [0, 3]]),  # 9 against 5 + 4, then 2 goes to the first of two equal loads
        ([3, 3, 3], 2, [[0, 2], [1]]),
        ([7], 3, [[0], [], []]),
        ([], 2, [[], []]),
    ],
)
def test_share_balances_by_length(lengths: list[int], ranks: int, shares: list[list[int]]) -> None:
    assert distributed.share(lengths, ranks) == shares


def test_the_end_of_another_process_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConnectionError, match="another of the 4 processes ended; its own error stands above"):
        with distributed.lost_ranks():
            raise RuntimeError("[gloo/transport/tcp/pair.cc:525] Connection closed by peer [127.0.0.1]:9")
    with pytest.raises(RuntimeError, match="shapes do not fit"), distributed.lost_ranks():
        raise RuntimeError("shapes do not fit")


def test_alone_a_process_has_the_largest_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.largest([3.0, 0.5]) == [3.0, 0.5]
    mine = [1.0]
    answer = distributed.ask_largest(lambda: mine)
    mine[0] = 2.0
    assert answer() == [2.0], "the value of the time of the answer"
    tensor = torch.ones(2)
    distributed.broadcast_tensors([tensor])
    assert tensor.tolist() == [1.0, 1.0]


def test_gpus_wait_for_minutes_and_hosts_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **words: started.append((backend, words)))

    def new_group(**words: Any) -> str:
        started.append((words.pop("backend"), words))
        return "hosts"

    monkeypatch.setattr(dist, "new_group", new_group)
    gpu = torch.device("cuda", 1)
    try:
        distributed.init(gpu)
        assert distributed._hosts == "hosts"  # type: ignore[comparison-overlap]
    finally:
        distributed.shutdown()
    distributed.init(torch.device("cpu"))
    assert distributed._hosts is None
    minutes, hours = timedelta(minutes=10), timedelta(hours=6)
    assert started == [
        ("nccl", {"timeout": minutes, "device_id": gpu}),
        ("gloo", {"timeout": hours}),
        ("gloo", {"timeout": hours}),
    ]


def test_the_fault_of_another_process_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="mine"):
        distributed.raise_fault(ValueError("mine"))
    with pytest.raises(ConnectionError, match="another of the 2 processes cannot go on"):
        distributed.raise_fault(None)


@pytest.mark.parametrize(("device", "left"), [("cpu", ["left"]), ("cuda:0", [])])
def test_a_process_that_fails_does_not_wait_for_the_others_on_a_gpu(
    device: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(distributed, "init", lambda device, timeout: None)
    monkeypatch.setattr(distributed, "shutdown", lambda: done.append("left"))
    with pytest.raises(MemoryError), distributed.process_group(torch.device(device)):
        raise MemoryError
    assert done == left
    with distributed.process_group(torch.device(device)):
        pass
    assert done == [*left, "left"]
