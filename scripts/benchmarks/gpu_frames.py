"""The parts of scripts/gpu_check.py that measure the speed of segmenting."""

import importlib.util
import os
import shutil
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from dataset.disk.frames import open_frames
from dataset.evaluate.video import open_video
from dataset.sample.sample import CHAIR
from inference import InferenceConfig, build_segmenter
from inference.output.writer import ResultWriter
from inference.propagate import build_variants, propagate
from model import build_model
from model.fast import compiled
from scripts.benchmarks.calibration import seconds
from scripts.benchmarks.gpu_training import matrix_rate
from scripts.benchmarks.peer import boxes
from util.device import peak_memory_bytes, synchronize
from util.files.palette import write_mask


def frames_a_second(device: torch.device, quick: bool) -> dict[str, Any]:
    """Measure XMem's frames at 854x480 by the number of objects, every fifth a memory frame: the network alone.

    Gives frames a second, and the share of the matrix rate that they are.
    """
    out: dict[str, Any] = {"bf16 TFLOP/s": (most := matrix_rate(device, quick))}
    for objects in object_counts(quick):
        found = frame_rate(device, quick, objects)
        out |= {f"{objects} objects": found.rate, f"{objects} objects share": found.rate * found.teraflop / most}
    return {**out, "peak MB": peak_memory_bytes(device) / 2**20, "passed": True}


def compiled_frames(device: torch.device, quick: bool) -> dict[str, Any]:
    """Measure the same with encoders and decoder eager and compiled, and the seconds until compiled ones are ready.

    Without a compiler the compiled ones are left out, and the part says so. A quick check on a CPU compiles with
    torch's `eager` backend, which traces graphs and runs them as they are: code for them takes minutes there.
    """
    traces = quick and device.type == "cpu"
    missing = None if traces else missing_compiler(device)
    out: dict[str, Any] = {} if missing is None else {"compiled": f"left out, {missing}"}
    backend: AbstractContextManager[Any] = patch.object(compiled, "BACKEND", "eager") if traces else nullcontext()
    for objects in (1, object_counts(quick)[-1] if quick else 5):
        out[f"{objects} objects eager"] = frame_rate(device, quick, objects).rate
        if missing is None:
            with backend:
                found = frame_rate(device, quick, objects, compile=True)
            out |= {f"{objects} objects compiled": found.rate, f"{objects} objects ready after": found.ready}
    return {**out, "passed": True}


def object_counts(quick: bool) -> tuple[int, ...]:
    """Return the numbers of objects that are measured."""
    return (1, 3) if quick else (1, 3, 5, 10)


def missing_compiler(device: torch.device) -> str | None:
    """Return what torch.compile wants for a device and is not there, or None."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "no Triton here"
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    return None if any(name and shutil.which(name) for name in names) else "no C++ compiler here"


class FrameRate(NamedTuple):
    """What segmenting takes.

    Attributes:
        rate: frames a second.
        ready: seconds that the first frames took.
        teraflop: of a frame, a fifth of a memory frame included; 0 if compiled, where nobody counts.
    """

    rate: float
    ready: float
    teraflop: float


def frame_rate(device: torch.device, quick: bool, objects: int, compile: bool = False) -> FrameRate:
    """Segment frames of noise with a random XMem."""
    height, width, count = (96, 160, 5) if quick else (480, 854, 50)
    model = build_model("xmem", "tiny" if quick else "base")
    segmenter = build_segmenter(model, InferenceConfig(compile=compile), device)
    image = torch.randn(3, height, width, device=device)

    def segment(frames: int) -> None:
        for _ in range(frames):
            segmenter.step(image)

    began = time.perf_counter()
    segmenter.step(image, boxes(objects, height, width))
    segment(max(count // 2, 5))  # a memory frame among them
    synchronize(device)
    ready = time.perf_counter() - began
    rate = count / seconds(device, lambda: segment(count))
    with nullcontext() if compile else FlopCounterMode(display=False) as counter:
        segment(5)
    return FrameRate(rate, ready, 0.0 if counter is None else counter.get_total_flops() / 5e12)


def from_files(device: torch.device, quick: bool) -> dict[str, Any]:
    """Measure a random XMem from JPEGs at 854x480 to PNGs by the number of objects, as `eval.py` does it."""
    height, width, count = (96, 160, 6) if quick else (480, 854, 60)
    model = build_model("xmem", "tiny" if quick else "base")
    variants, rates = build_variants(model, (-1,), device=device), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        enlarge_clip(folder / "frames", height, width, count)
        for objects in object_counts(quick):
            write_mask(folder / "first.png", boxes(objects, height, width).numpy())

            def segment(folder: Path = folder) -> None:
                video = open_video(folder / "frames", folder / "first.png")
                with ResultWriter(folder / "masks") as writer:
                    for frame in propagate(variants, video):
                        writer.write(frame.name, frame.id_mask)

            segment()  # to warm up
            rates[f"{objects} objects"] = count / seconds(device, segment)
        written = len(list((folder / "masks").iterdir()))
    return {**rates, "passed": written == count}


def enlarge_clip(folder: Path, height: int, width: int, count: int) -> None:
    """Write the first frames of the packaged clip as JPEGs of another size."""
    folder.mkdir()
    for name, rgb in islice(open_frames(next(CHAIR.glob("JPEGImages/*"))).read(), count):
        Image.fromarray(cv2.resize(rgb, (width, height))).save(folder / f"{Path(name).stem}.jpg", quality=90)
