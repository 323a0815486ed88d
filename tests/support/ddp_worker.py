"""What tests start with torchrun: `ddp_worker.py CASE FOLDER`, on each rank."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

import train
from model.layers.batch_norm import RankBatchNorm, synchronise_batch_norm
from model.training.state import payload
from tests.support.ddp_steps import batch_norm_input, steps
from tests.support.kills import digest
from util.parallel import distributed


def train_case(folder: Path) -> None:
    """Some steps on this rank's share."""
    frozen: Any = os.environ.get("FREEZE_BN", "yes")
    network, metrics = steps(folder, int(os.environ.get("ACCUMULATE", "1")), frozen, int(os.environ.get("STEPS", "8")))
    if distributed.is_main():
        torch.save({"network": network, "metrics": metrics}, folder / "result.pth")


def batch_norm_case(folder: Path) -> None:
    """Synchronised BatchNorm: this rank's rows of a batch, forwards and backwards."""
    layer, x, weight = batch_norm_input()
    synchronised = nn.Sequential(layer)
    synchronise_batch_norm(synchronised)
    rows = slice(0, 1) if dist.get_rank() == 0 else slice(1, 4)  # shares of different sizes
    mine = x[rows].clone().requires_grad_()
    y = synchronised(mine)
    (y * weight[rows]).sum().backward()
    new = synchronised[0]
    assert isinstance(new, RankBatchNorm)
    parts: list[Tensor] = [y.detach(), mine.grad]  # type: ignore[list-item]
    gathered = [torch.cat(tensors) for tensors in zip(*distributed.gather_objects(parts), strict=True)]
    everyones = distributed.gather_objects([parameter.grad for parameter in new.parameters()])
    gradients = [sum(tensors) for tensors in zip(*everyones, strict=True)]
    if distributed.is_main():
        torch.save([*gathered, *gradients, new.running_mean, new.running_var], folder / "result.pth")


def dying_case(folder: Path) -> None:
    """A whole run whose rank 1 fails, or is killed, in its second step."""
    real = train.train_step

    def dying(state: Any, parts: Any, config: Any) -> Any:
        if distributed.rank() == 1 and state.step == 1:
            if os.environ["DEATH"] == "kill":
                os.kill(os.getpid(), 9)
            raise ValueError("this rank has had enough")
        return real(state, parts, config)

    train.train_step = dying
    words_case(folder)


def words_case(folder: Path) -> None:
    """A whole run from a file of a command line's words."""
    train.command_line((folder / "words").read_text().split())


def digests_case(folder: Path) -> None:
    """A whole run that leaves a fingerprint of its state after each step."""
    real, found = train.train_step, dict[int, str]()

    def noted(state: Any, parts: Any, config: Any) -> Any:
        result = real(state, parts, config)
        if distributed.is_main():
            found[state.step] = digest(payload(state, config))
        return result

    train.train_step = noted
    words_case(folder)
    if distributed.is_main():
        (folder / "digests.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    case, place = sys.argv[1], Path(sys.argv[2])
    whole_runs = {"dying": dying_case, "words": words_case, "digests": digests_case}
    if case in whole_runs:
        whole_runs[case](place)
    else:
        with distributed.process_group(torch.device("cpu")):
            {"train": train_case, "batch_norm": batch_norm_case}[case](place)
