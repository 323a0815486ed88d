"""One side of `scripts/benchmark.py --against`: a process that segments a frame whenever it is asked to.

    python scripts/benchmarks/peer.py ours|released FOLDER DESCRIPTOR

FOLDER holds the code that runs. The released XMem's packages have the names of ours, so FOLDER takes the first place on
the path, and nothing of ours is imported above the functions. DESCRIPTOR is the inherited end of a pipe, on which pairs
(request, argument) arrive and pairs (ok, answer) leave.

The released code runs as its `eval.py` sets it up for a short video, but for `mem_every`. It needs PyTorch and NumPy.
"""

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import model_zoo

MEM_EVERY = 1_000_000  # only the first frame enters the memory

Step = Callable[[Tensor, Tensor | None], Tensor]  # image [3,H,W], ids [H,W] or None -> probabilities [L,H,W]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to segment.

    Attributes:
        weights: a file of weights; ours writes it, the released code reads it.
        objects: objects of the first frame.
        height: rows of a frame.
        width: columns of a frame.
        device: `cpu`, `cuda` or `cuda:INDEX`.
        precision: `fp32`, `fp16` or `bf16`.
    """

    weights: str
    objects: int
    height: int
    width: int
    device: str = "cpu"
    precision: str = "fp32"


def clock() -> Callable[[], float]:
    """Return what to read seconds from: with one thread, the processor time of this process, else the time of day.

    Other work on the machine enters into the second, and little into the first. A GPU's time is in neither: with one,
    read `time.perf_counter`.
    """
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def boxes(objects: int, height: int, width: int) -> Tensor:
    """Return ids [H,W] of so many boxes side by side."""
    mask = torch.zeros(height, width, dtype=torch.int64)
    for i in range(objects):
        left = i * width // objects
        mask[height // 4 : height // 2, left : left + max(width // (2 * objects), 1)] = i + 1
    return mask


def ours(task: Task) -> Step:
    """Prepare our XMem with random weights, which it writes, and our segmenter, as `eval.py` does for one video."""
    from inference import InferenceConfig, build_segmenter
    from model import build_model
    from util.allocator import release_freed_memory
    from util.device import select_device, set_up

    torch.manual_seed(0)
    device = select_device(task.device)
    set_up(device, fixed_sizes=True)
    model = build_model("xmem")
    torch.save(model.state_dict(), task.weights)
    config = InferenceConfig(mem_every=MEM_EVERY, precision=task.precision)  # type: ignore[arg-type]
    step = build_segmenter(model, config, device).step
    del model
    release_freed_memory()
    return step


def released(task: Task) -> Step:
    """Prepare the released XMem and its inference core with the weights that ours wrote."""
    model_zoo.load_url = _random_weights  # type: ignore[assignment]
    network = importlib.import_module("model.network").XMem({"key_dim": 64, "value_dim": 512, "hidden_dim": 64})
    network.load_weights(torch.load(task.weights))
    settings = {
        "mem_every": MEM_EVERY,
        "deep_update_every": -1,
        "top_k": 30,
        "hidden_dim": 64,
        "enable_long_term": True,
        "enable_long_term_count_usage": False,
        "max_mid_term_frames": 10,
        "min_mid_term_frames": 5,
        "num_prototypes": 128,
        "max_long_term_elements": 10000,
    }
    core = importlib.import_module("inference.inference_core")
    processor = core.InferenceCore(network.to(task.device).eval(), config=settings)
    labels = list(range(1, task.objects + 1))
    processor.set_all_labels(labels)
    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(task.precision)

    def step(image: Tensor, ids: Tensor | None) -> Tensor:
        masks = None if ids is None else torch.stack([ids == i for i in labels]).float().to(task.device)
        with torch.no_grad(), torch.autocast(torch.device(task.device).type, dtype=half, enabled=half is not None):
            return processor.step(image, masks, None if ids is None else labels)

    return step


class Side:
    """What answers the requests: `start` once, then `frame`s, and `peak` or `probabilities` at any time."""

    def __init__(self, kind: str) -> None:
        """Choose `ours` or `released`."""
        self._prepare = {"ours": ours, "released": released}[kind]

    def answer(self, request: str, argument: Any) -> Any:
        """Answer a request."""
        return getattr(self, request)(argument)

    def start(self, task: dict[str, Any]) -> None:
        """Build a network, and show it a first frame with its masks."""
        self._task = Task(**task)
        self._step = self._prepare(self._task)
        self._segment(0, boxes(self._task.objects, self._task.height, self._task.width))

    def frame(self, number: int) -> float:
        """Segment a frame, random by its number; returns the seconds that it took."""
        return self._segment(number, None)

    def peak(self, _: None) -> float:
        """Return the peak memory so far in MB: of tensors on a GPU, else of the process."""
        if self._task.device != "cpu":
            return torch.cuda.max_memory_allocated() / 2**20
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def probabilities(self, _: None) -> Any:
        """Return the last frame's probabilities, an array [L,H,W]."""
        return self._prob.float().cpu().numpy()

    def _segment(self, number: int, ids: Tensor | None) -> float:
        task = self._task
        noise = torch.Generator().manual_seed(number)
        image = torch.randn(3, task.height, task.width, generator=noise).to(task.device)
        if task.device == "cpu":
            now, wait = clock(), lambda: None
        else:
            now, wait = time.perf_counter, torch.cuda.synchronize
        wait()
        began = now()
        self._prob = self._step(image, ids)
        wait()
        return now() - began


def _random_weights(url: str) -> dict[str, Tensor]:
    """Return random weights in place of the ImageNet weights that the released constructor would download."""
    trunk = Path(url).name.partition("-")[0]  # https://.../resnet50-19c8e357.pth
    weights: dict[str, Tensor] = getattr(importlib.import_module("model.resnet"), trunk)(pretrained=False).state_dict()
    return weights


def main(kind: str, folder: str, descriptor: str) -> None:
    """Answer until the other end is closed."""
    sys.path[0] = folder  # where this file's own folder was
    connection, side = Connection(int(descriptor)), Side(kind)
    while True:
        try:
            request, argument = connection.recv()
        except EOFError:
            return
        try:
            connection.send((True, side.answer(request, argument)))
        except Exception as error:  # whatever it is, the other end is to say it
            connection.send((False, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main(*sys.argv[1:])
