"""Speed of loading training clips, in one process on one core: the whole, its parts, and what to compare them with.

    python scripts/benchmarks/loader.py data/DAVIS/2016 --list data/DAVIS/2016/ImageSets/2016/val.txt

Clips are loaded as in stage 2 (published augmentation, 480p to 384x384). Beside them, on the same files and in turn
with them, since machines change their pace: decoding alone with PIL, and the released loaders' way, which decodes with
PIL and then runs flip, resized crop, jitter and affine one after the other on PIL images. Times are processor time.

With --correspondence, what the correspondence losses add is measured instead: clips of the same frames and crops, with
and without the view and the boxes, in turn.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dataclasses import replace

import cv2
import numpy as np
import torch
import tyro
from PIL import Image
from torchvision.transforms import ColorJitter, InterpolationMode, RandomAffine, RandomResizedCrop
from torchvision.transforms import functional as TF

import dataset.train.render
import dataset.train.stored
import dataset.train.videos
from dataset.clip import ClipRequest
from dataset.train.stored import TrainingVideo
from dataset.train.transforms import FILL
from dataset.train.videos import VideoSource, find_videos
from util.config.data import Augmentation, ClipConfig
from util.config.presets import preset
from util.config.train import CorrespondenceConfig

# Where the loader spends its time: the functions that it calls, by the module that calls them.
PARTS = {
    "decode frame": ((dataset.train.stored, "read_reduced"),),
    "decode mask": ((dataset.train.stored, "read_mask"),),
    "geometry": (
        (dataset.train.videos, "warp_mask"),
        (dataset.train.render, "warp_image"),
        (dataset.train.render, "warp_mask"),
    ),
    "colour": ((dataset.train.render, "apply_colour"),),
}
# A clip's times with and without the losses are sums over so many turns.
_REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        root: a data set in DAVIS layout, at 480p for figures that compare.
        list: a file with the videos to load; by default those of the training list.
        clips: clips of each length; medians are printed.
        crop_size: side of the crop.
        correspondence: measure what the correspondence losses add; with proposals where the data set has them.
    """

    root: Annotated[Path, tyro.conf.Positional] = Path("data/DAVIS/2016")
    list: Path | None = None
    clips: int = 24
    crop_size: int = 384
    correspondence: bool = False


class Clock:
    """Sums up processor time by name."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, which from now on adds its time under `name`."""

        def run(*arguments: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - began

        return run


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Time the parts of the loader itself, in place, while the block runs."""
    with ExitStack() as stack:
        for name, places in PARTS.items():
            for module, function in places:
                stack.enter_context(patch.object(module, function, clock.timed(name, getattr(module, function))))
        yield


def decode_alone(video: TrainingVideo, index: int) -> tuple[Image.Image, Image.Image]:
    """Decode a frame and its mask with PIL."""
    picture, mask = Image.open(video.images / video.frames[index]), Image.open(video.annotations / video.masks[index])
    picture.load()
    mask.load()
    return picture, mask


def separate_operations(
    video: TrainingVideo, frames: tuple[int, ...], augmentation: Augmentation
) -> list[torch.Tensor]:
    """Load a clip with one PIL operation after another, images bicubic, masks nearest."""
    side, pictures = [augmentation.crop_size] * 2, []
    flipped = random.random() < augmentation.flip
    window = None
    clip_jitter = ColorJitter(*augmentation.clip_jitter)
    for index in frames:
        picture, mask = decode_alone(video, index)
        window = window or RandomResizedCrop.get_params(picture, list(augmentation.crop_scale), [3 / 4, 4 / 3])
        shear = [-augmentation.shear, augmentation.shear]
        turn = [-augmentation.degrees, augmentation.degrees]
        affine = RandomAffine.get_params(turn, None, None, shear, side)
        if flipped:
            picture, mask = TF.hflip(picture), TF.hflip(mask)
        picture = TF.resized_crop(picture, *window, side, InterpolationMode.BICUBIC)
        mask = TF.resized_crop(mask, *window, side, InterpolationMode.NEAREST)
        picture = TF.affine(clip_jitter(picture), *affine, interpolation=InterpolationMode.BICUBIC, fill=FILL)
        mask = TF.affine(mask, *affine, interpolation=InterpolationMode.NEAREST, fill=0)
        pictures.append(torch.from_numpy(np.array(ColorJitter(*augmentation.frame_jitter)(picture))))
        pictures.append(torch.from_numpy(np.array(mask)))
    return pictures


def settings(length: int, config: Config) -> tuple[ClipConfig, Augmentation]:
    """Return XMem's published settings, but for the length of clips and the size of crops."""
    run = preset("xmem")
    return replace(run.clip, frames=length), replace(run.augment, crop_size=config.crop_size)


def measure(source: VideoSource, length: int, config: Config) -> dict[str, float]:
    """Return milliseconds for each frame of clips of `length` frames: medians over the clips."""
    clip, augmentation = settings(length, config)
    rows: list[dict[str, float]] = []
    for number in range(-1, config.clips):
        request = ClipRequest(source=0, video=number % len(source), max_gap=5, seed=number + 1)
        video = source.videos[request.video]
        frames = tuple(range(length))
        clock, parts = Clock(), Clock()
        clock.timed("ours", source.load)(request, clip, augmentation)
        with watched(parts):
            source.load(request, clip, augmentation)
        clock.timed("PIL decoding alone", lambda v=video, f=frames: [decode_alone(v, index) for index in f])()
        clock.timed("separate PIL operations", separate_operations)(video, frames, augmentation)
        rows.append(clock.seconds | {f"  {name}": seconds for name, seconds in parts.seconds.items()})
    names = ["ours", *(f"  {name}" for name in PARTS), "PIL decoding alone", "separate PIL operations"]
    # The first clip warms up.
    return {name: 1000 / length * statistics.median(row.get(name, 0.0) for row in rows[1:]) for name in names}


def measure_correspondence(
    source: VideoSource, length: int, config: Config, wanted: CorrespondenceConfig
) -> tuple[float, float, float]:
    """Return milliseconds for a clip of `length` frames without and with `wanted`, and the share that it adds.

    All three are medians over the clips, the share too: each clip is compared with itself.
    """
    clip, augmentation = settings(length, config)
    rows: list[tuple[float, float]] = []
    for number in range(-1, config.clips):
        # Given frames leave all other draws the same.
        request = ClipRequest(
            source=0, video=number % len(source), max_gap=5, seed=number + 1, frames=tuple(range(length))
        )
        clock = Clock()
        for name, losses in (("without", None), ("with", wanted)) * _REPEATS:
            clock.timed(name, source.load)(request, clip, augmentation, losses)
        rows.append((1000 / _REPEATS * clock.seconds["without"], 1000 / _REPEATS * clock.seconds["with"]))
    without, paired = zip(*rows[1:], strict=True)
    shares = [b / a - 1 for a, b in rows[1:]]
    return statistics.median(without), statistics.median(paired), statistics.median(shares)


def report(by_length: dict[int, dict[str, float]]) -> str:
    """Return the table: milliseconds a frame, and clips per second of the rows that make clips."""
    lines = [f"{'':26}" + "".join(f"{f'{length}-frame clips':>26}" for length in by_length)]
    lines.append(f"{'':26}" + "".join(f"{'ms/frame':>10}{'clips/s':>16}" for _ in by_length))
    for name in next(iter(by_length.values())):
        cells = []
        for length, row in by_length.items():
            rate = "" if name.startswith("  ") else f"{1000 / (length * row[name]):.1f}"
            cells.append(f"{row[name]:>10.2f}{rate:>16}")
        lines.append(f"{name:26}" + "".join(cells))
    gains = [row["separate PIL operations"] / row["ours"] for row in by_length.values()]
    lines.append(f"{'gain over separate PIL':26}" + "".join(f"{f'{gain:.2f} x':>26}" for gain in gains))
    return "\n".join(lines)


def main(config: Config) -> None:
    """Print the table."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    random.seed(0)
    torch.manual_seed(0)
    source = find_videos(config.root.name, config.root, frames=8, listed=config.list, single_object=True)
    with Image.open(source.videos[0].images / source.videos[0].frames[0]) as first:
        size = f"{first.width}x{first.height}"
    print(f"{len(source)} videos of {size} to {config.crop_size}x{config.crop_size}, one process, one core")
    if config.correspondence:
        wanted = CorrespondenceConfig(ocl_objects="both" if _has_proposals(source) else "manual")
        print(f"ms for a clip without and with correspondence losses (--ocl_objects {wanted.ocl_objects})")
        for length in (8, 3):
            without, paired, share = measure_correspondence(source, length, config, wanted)
            print(f"{length}-frame clips: {without:.2f} and {paired:.2f}, {100 * share:+.1f} %")
        return
    print(report({length: measure(source, length, config) for length in (8, 3)}))


def _has_proposals(source: VideoSource) -> bool:
    try:
        source.check_proposals()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
