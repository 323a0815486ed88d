"""Does a long video cost more towards its end? Time per frame and resident memory of a thousand frames.

A sequence is played to and fro with an XMem (random weights unless a checkpoint is given):

    python scripts/benchmarks/long_video.py --frames data/DAVIS/2016/JPEGImages/480p/cows

Printed are the median seconds of frames 200 to 300 and of the last 100, their ratio, and by how much the process grew
after frame 300; with one thread, seconds are processor time, which other programs change less. Both should stay flat:
working memory is bounded by frames, long-term memory by elements.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
import tyro

from dataset.disk.frames import open_frames
from dataset.evaluate.prepare import prepare_image
from inference import InferenceConfig, build_segmenter
from model import build_model, load_checkpoint
from scripts.benchmarks.peer import clock
from util.device import select_device, set_up, synchronize


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to play.

    Attributes:
        frames: folder of images or video file; random pictures by default.
        checkpoint: weights; a random XMem by default.
        model_size: of the random one, `base`, `small` or `tiny`.
        count: frames to play, at least 400.
        size: shorter side in pixels.
        device: `auto`, `cpu`, `cuda` or `mps`.
        max_long_term_elements: capacity of long-term memory.
    """

    frames: Path | None = None
    checkpoint: Path | None = None
    model_size: str = "tiny"
    count: int = 1000
    size: int = 240
    device: str = "cpu"
    max_long_term_elements: int = 10000


def resident_bytes() -> int:
    """Current resident memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main(config: Config) -> None:
    """Play the video and print the figures."""
    if config.count < 400:
        raise SystemExit(f"count={config.count}: expected at least 400 frames")
    source = open_frames(config.frames) if config.frames else None
    rng = np.random.default_rng(0)
    pictures = [rgb for _, rgb in source.read()] if source else list(rng.integers(0, 255, (20, 240, 432, 3), np.uint8))
    images = [prepare_image(rgb, config.size) for rgb in pictures]
    to_and_fro = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    torch.manual_seed(0)
    model = load_checkpoint(config.checkpoint) if config.checkpoint else build_model("xmem", config.model_size)
    settings = InferenceConfig(max_long_term_elements=config.max_long_term_elements)
    device = select_device(config.device)
    set_up(device, fixed_sizes=True)  # as `eval.py` does for one video
    segmenter = build_segmenter(model, settings, device)
    height, width = images[0].shape[1:]
    mask = torch.zeros(height, width, dtype=torch.int64)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 1
    now = clock() if segmenter.device.type == "cpu" else time.perf_counter
    seconds: list[float] = []
    resident: list[int] = []
    for t in range(config.count):
        began = now()
        segmenter.step(images[to_and_fro[t % len(to_and_fro)]], mask if t == 0 else None, last=t == config.count - 1)
        synchronize(segmenter.device)
        seconds.append(now() - began)
        resident.append(resident_bytes())
    early, late = statistics.median(seconds[200:300]), statistics.median(seconds[-100:])
    grown = max(resident[300:]) / max(resident[:300]) - 1
    working, long_term = segmenter.memory_sizes[0]
    print(f"{config.count} frames of {width}x{height}; at the end {working} working and {long_term} long-term elements")
    print(f"frames 200-300: {early * 1000:.1f} ms, last 100: {late * 1000:.1f} ms, ratio {late / early:.3f}")
    print(f"resident memory after frame 300: {100 * grown:+.2f} % ({max(resident) / 2**20:.0f} MB at most)")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
