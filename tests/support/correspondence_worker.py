"""What test_gather.py starts with torchrun on each of two ranks: `correspondence_worker.py FOLDER`."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.support import paired_batches, released_batches
from tests.support.paired_batches import NEGATIVES
from util.parallel import distributed


def rank_batch() -> paired_batches.Batch:
    """Return the batch of this rank, padded to more boxes than any clip has."""
    batch = paired_batches.drawn_batch([1, 2] if distributed.is_main() else [3, 4])
    return batch._replace(compared=batch.compared.pad_boxes(16))


def shares(negatives: Any) -> list[Tensor]:
    """Return the mean over ranks of the losses, and the gradients of all ranks' clips for that mean."""
    batch = rank_batch()
    pcl, ocl = batch.pcl(negatives, gather=True), batch.ocl(gather=True)
    # DDP takes the mean over ranks.
    gradients = torch.autograd.grad((pcl + ocl) / 2, batch.leaves())
    both = distributed.gather_objects([pcl.detach(), ocl.detach(), *gradients])
    means = [(mine + other) / 2 for mine, other in zip(both[0][:2], both[1][:2], strict=True)]
    return [*means, *(torch.cat(pair) for pair in zip(both[0][2:], both[1][2:], strict=True))]


def single_clips() -> Tensor:
    """Return the object-level loss of two ranks with one clip each."""
    batch = paired_batches.drawn_batch([1 + distributed.rank()])
    losses = distributed.gather_objects(batch.ocl(gather=True).detach())
    return (losses[0] + losses[1]) / 2


def released() -> list[Tensor]:
    """Return the mean over ranks of the released loss, and the gradients of all ranks' clips for that mean."""
    batch = released_batches.drawn_batch([1, 2] if distributed.is_main() else [3, 4])
    losses = batch.losses(gather=True)
    total = (losses["temporal"] + losses["frame"]) / 2
    both = distributed.gather_objects([total.detach(), *torch.autograd.grad(total, batch.leaves())])
    return [both[0][0] + both[1][0], *(torch.cat(pair) for pair in zip(both[0][1:], both[1][1:], strict=True))]


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.process_group(torch.device("cpu")):
        result = {**{name: shares(name) for name in NEGATIVES}, "single": single_clips(), "released": released()}
        if distributed.is_main():
            torch.save(result, Path(sys.argv[1]) / "result.pth")
