"""Small videos with moving squares, as folders of frames and masks, and a small network with random weights."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from model.build import build_model
from model.spacetime.network import SpaceTimeNetwork
from util.files.checkpoint import save_checkpoint
from util.files.palette import write_mask

HEIGHT, WIDTH = 48, 64


def toy_model(name: str = "xmem") -> SpaceTimeNetwork:
    """Return a tiny network; the weights are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(name, size="tiny", key_dim=8, value_dim=8).eval()
        assert isinstance(model, SpaceTimeNetwork)
        return model


def toy_checkpoint(path: Path) -> Path:
    model = toy_model()
    save_checkpoint(path, {"format": "corrvos", "version": 1, "network": model.state_dict(), "step": 0, "stage": "2"})
    return path


def draw(frame: int, ids: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame [H,W,3] and its ids [H,W]: one moving textured square for each id."""
    noise = np.random.default_rng(seed)
    rgb = noise.integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.int64)
    for place, i in enumerate(ids):
        y, x = 4 + 20 * place, 4 + 12 * place + 2 * frame
        rgb[y : y + 16, x : x + 16] = noise.integers(120, 256, (16, 16, 3), dtype=np.uint8)
        mask[y : y + 16, x : x + 16] = i
    return rgb, mask


def write_video(
    frames: Path, masks: Path, length: int, ids: tuple[int, ...] = (1, 2), given: tuple[int, ...] = (0,), seed: int = 0
) -> None:
    """Write frames as PNG (nothing is lost) and the masks of the frames `given`."""
    frames.mkdir(parents=True)
    masks.mkdir(parents=True)
    for frame in range(length):
        rgb, mask = draw(frame, ids, seed)
        Image.fromarray(rgb).save(frames / f"{frame:05d}.png")
        if frame in given:
            write_mask(masks / f"{frame:05d}.png", mask.astype(np.uint16 if max(ids) > 255 else np.uint8))


def write_davis(root: Path, lengths: dict[str, int]) -> Path:
    """Write a data set in DAVIS-2017's layout, every frame annotated; returns its root."""
    part = root / "trainval"
    for seed, (name, length) in enumerate(lengths.items()):
        frames, masks = part / "JPEGImages" / "480p" / name, part / "Annotations" / "480p" / name
        write_video(frames, masks, length, given=tuple(range(length)), seed=seed)
    names = part / "ImageSets" / "2017" / "val.txt"
    names.parent.mkdir(parents=True)
    names.write_text("".join(f"{name}\n" for name in lengths))
    return root
