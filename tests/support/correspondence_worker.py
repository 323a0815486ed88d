"""What test_correspondence.py starts with torchrun on each of two ranks: `correspondence_worker.py FOLDER`."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from model.losses.correspondence import PairPlan, correspondence_losses
from model.losses.released import released_losses
from tests.support.paired_batches import NEGATIVES, drawn_batch, released_batch
from util.parallel import distributed


def rank_plan(plan: PairPlan) -> PairPlan:
    """Return the plan of this rank, whose clips have more boxes on rank 1 than on rank 0."""
    extra = 4 * distributed.rank()
    boxes, ids = F.pad(plan.boxes_B2N4, (0, 0, 0, extra)), F.pad(plan.box_ids_B2N, (0, extra), value=-1)
    return plan._replace(boxes_B2N4=boxes, box_ids_B2N=ids)


def shares(name: str) -> list[Tensor]:
    """Return the mean over ranks of the losses, and the gradients of all ranks' clips for that mean."""
    key, view, plan = drawn_batch([1, 2] if distributed.is_main() else [3, 4])
    losses = correspondence_losses(key, view, rank_plan(plan), negatives=name, gather=True)  # type: ignore[arg-type]
    # DDP takes the mean over ranks.
    gradients = torch.autograd.grad((losses["pcl"] + losses["ocl"]) / 2, [key, view])
    both = distributed.gather_objects([losses["pcl"].detach(), losses["ocl"].detach(), *gradients])
    means = [(mine + other) / 2 for mine, other in zip(both[0][:2], both[1][:2], strict=True)]
    return [*means, *(torch.cat(pair) for pair in zip(both[0][2:], both[1][2:], strict=True))]


def single_clips() -> Tensor:
    """Return the object-level loss of two ranks with one clip each."""
    key, view, plan = drawn_batch([1 + distributed.rank()])
    losses = distributed.gather_objects(correspondence_losses(key, view, plan, gather=True)["ocl"].detach())
    return (losses[0] + losses[1]) / 2


def released() -> list[Tensor]:
    """Return the mean over ranks of the released loss, and the gradients of all ranks' clips for that mean."""
    key, view, plan = released_batch([1, 2] if distributed.is_main() else [3, 4])
    losses = released_losses(key, view, plan, gather=True)
    total = (losses["temporal"] + losses["frame"]) / 2
    both = distributed.gather_objects([total.detach(), *torch.autograd.grad(total, [key, view])])
    return [both[0][0] + both[1][0], *(torch.cat(pair) for pair in zip(both[0][1:], both[1][1:], strict=True))]


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.process_group(torch.device("cpu")):
        result = {**{name: shares(name) for name in NEGATIVES}, "single": single_clips(), "released": released()}
        if distributed.is_main():
            torch.save(result, Path(sys.argv[1]) / "result.pth")
