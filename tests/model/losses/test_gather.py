"""Negatives of several processes: what each gets, and its gradient, are those of one process on the joined batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from model.losses.gather import gather_ranks
from tests.support import paired_batches, released_batches
from tests.support.paired_batches import NEGATIVES
from tests.support.paths import ROOT


def test_gathering_equals_the_joined_batch(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(ROOT / "tests" / "support" / "correspondence_worker.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = torch.load(tmp_path / "result.pth", weights_only=True)
    batch = paired_batches.drawn_batch([1, 2, 3, 4])
    for negatives in NEGATIVES:
        losses = [batch.pcl(negatives), batch.ocl()]
        gradients = torch.autograd.grad(torch.stack(losses).sum(), batch.leaves())
        for ours, truth in zip(result[negatives], [*losses, *gradients], strict=True):
            torch.testing.assert_close(ours, truth.detach(), atol=1e-7, rtol=1e-5)
    released = released_batches.drawn_batch([1, 2, 3, 4])
    total = torch.stack(list(released.losses().values())).sum()
    expected = [total, *torch.autograd.grad(total, released.leaves())]
    for ours, truth in zip(result["released"], expected, strict=True):
        torch.testing.assert_close(ours, truth.detach(), atol=1e-7, rtol=1e-5)
    # One clip on each rank is enough.
    pair = paired_batches.drawn_batch([1, 2]).ocl().detach()
    torch.testing.assert_close(result["single"], pair, atol=1e-6, rtol=1e-5)


def test_one_process_keeps_its_tensor() -> None:
    x = torch.ones(2)
    assert gather_ranks(x) is x
