"""From a run's configuration to its loader of clip batches."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from dataset.clip import Clip, ClipBatch, ClipRequest, collate
from dataset.sample import make_sample
from dataset.sampling import ClipStream, GapSchedule, StepSampler
from dataset.static import find_static
from dataset.vos import find_videos
from util.config import Augmentation, ClipConfig, DataConfig, TrainConfig

logger = logging.getLogger(__name__)

YOUTUBE_INTERVAL = 5  # YouTube-VOS is annotated on every fifth frame
DATASETS = ("davis", "youtube", "static", "sample")


class Source(Protocol):
    """A data set that answers requests."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def weight(self) -> int:
        """How often a pass shows each video."""

    def __len__(self) -> int:
        """Return the number of videos."""

    def load(self, request: ClipRequest, config: ClipConfig, augmentation: Augmentation) -> Clip:
        """Return the clip of a request."""


class ClipDataset(Dataset[Clip]):
    """Answers requests from several sources; holds no state but where the files are."""

    def __init__(self, sources: Sequence[Source], config: ClipConfig, augmentation: Augmentation) -> None:
        """Keep what every clip needs."""
        self.sources = sources
        self.config = config
        self.augmentation = augmentation

    def __getitem__(self, request: ClipRequest) -> Clip:
        """Return the clip of a request, the same in every process."""
        return self.sources[request.source].load(request, self.config, self.augmentation)


def find_sources(data: DataConfig, frames: int, stage: str) -> list[Source]:
    """Find the data sets of a run.

    Args:
        data: which ones, and where.
        frames: length of the clips.
        stage: of the run; in stage 0 the sample data are its static pictures.

    Raises:
        FileNotFoundError: when a root is missing.
        ValueError: for an unknown name, an empty root, or lists of weights or intervals of the wrong length.
    """
    sources: list[Source] = []
    for name in data.dataset:
        if name == "davis":
            sources.append(find_videos(name, data.davis_root, frames=frames, weight=data.davis_weight))
        elif name == "youtube":
            sources.append(find_videos(name, data.youtube_root, frames=frames, interval=YOUTUBE_INTERVAL))
        elif name == "static":
            sources.extend(find_static(data.static_root))
        elif name == "sample" and stage == "0":
            sources.extend(find_static(make_sample(data.sample_root) / "static"))
        elif name == "sample":
            sources.append(find_videos(name, make_sample(data.sample_root) / "trainval", frames=frames))
        else:
            raise ValueError(f"unknown training set {name!r}: expected {', '.join(DATASETS)}, or --user_roots.")
    sources.extend(_user_sources(data, frames))
    if not sources:
        raise ValueError("no training set: give --dataset or --user_roots.")
    for source in sources:
        logger.info("%s: %d to train on, weight %d", source.name, len(source), source.weight)
    return sources


def build_loader(config: TrainConfig, device: torch.device, first_step: int = 0) -> "DataLoader[ClipBatch]":
    """Build the loader that yields the batches of a run from `first_step` on, one for each step.

    Raises as `find_sources`.
    """
    sources = find_sources(config.data, config.clip.frames, config.stage)
    stream = ClipStream(
        videos=tuple(len(source) for source in sources),
        weights=tuple(source.weight for source in sources),
        batch_size=config.batch_size,
        iterations=config.iterations,
        gaps=GapSchedule(gaps=config.clip.gaps, starts=config.clip.gap_starts),
        seed=config.seed,
    )
    # Every core has a worker or the training itself: OpenCV's threads would only get in the way.
    cv2.setNumThreads(0)
    workers = config.data.num_workers
    return DataLoader(
        ClipDataset(sources, config.clip, config.augment),  # type: ignore[arg-type]
        batch_sampler=StepSampler(stream, first_step),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker if workers else None,
    )


def _start_worker(number: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _user_sources(data: DataConfig, frames: int) -> list[Source]:
    roots = data.user_roots
    weights = _for_each(data.user_weights, roots, "--user_weights")
    intervals = _for_each(data.user_intervals, roots, "--user_intervals")
    return [
        find_videos(root.name, root, frames=frames, weight=weight, interval=interval)
        for root, weight, interval in zip(roots, weights, intervals, strict=True)
    ]


def _for_each(values: tuple[int, ...], roots: tuple[Path, ...], flag: str) -> tuple[int, ...]:
    if not values:
        return (1,) * len(roots)
    if len(values) != len(roots) or min(values) < 1:
        raise ValueError(f"{flag} {values}: expected {len(roots)} integers >= 1, one for each of --user_roots.")
    return values
