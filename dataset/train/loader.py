"""From a run's configuration to its loader of clip batches; a bad file stops it, or the next clip is taken by rule."""

import atexit
import logging
import multiprocessing
import multiprocessing.process
import signal
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from dataset.clip import Clip, ClipBatch, ClipRequest, collate
from dataset.train.pairs import uses_annotated
from dataset.train.paste import draw_donor, paste_object
from dataset.train.sampling import ClipStream, GapSchedule, Shard, StepSampler
from dataset.train.sources import Source, find_sources
from util.config.data import Augmentation, ClipConfig
from util.config.train import CorrespondenceConfig, TrainConfig
from util.parallel import distributed

logger = logging.getLogger(__name__)

# More bad clips in a row are no accident: a disk is gone, or the data set is not what it should be.
MOST_SKIPPED = 20


class BadSampleError(ValueError):
    """A clip that can't be loaded; says which file and why, also when it comes from a process of the data loader."""

    def __init__(self, text: str) -> None:
        """Keep the message; of the traceback that the loader makes of another process's error, its last line."""
        super().__init__(text.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


class ClipDataset(Dataset[Clip]):
    """Answers requests from several sources; holds no state but where the files are."""

    def __init__(self, sources: Sequence[Source], config: TrainConfig) -> None:
        """Keep what every clip needs."""
        self.sources = sources
        self.config = config
        self.correspondence = config.correspondence if config.correspondence.active else None

    def __getitem__(self, request: ClipRequest) -> Clip:
        """Return the clip of a request, the same in every process."""
        augmentation = self.config.augment.plain() if request.plain else self.config.augment
        bad = self.config.data.on_bad_sample
        clip = load_clip(self.sources, request, self.config.clip, augmentation, bad, self.correspondence)
        source = self.sources[request.source]
        donor = draw_donor(request, len(source), source.alike(request.video), augmentation.paste)
        if donor is None:
            return clip
        one_object = replace(self.config.clip, max_objects=1)
        other = load_clip(self.sources, donor.request, one_object, augmentation, bad)
        most, smallest = self.config.clip.max_objects, self.config.clip.min_object_pixels
        return paste_object(clip, other, donor.behind, most, smallest, uses_annotated(self.correspondence))


def build_loader(config: TrainConfig, device: torch.device, first_step: int = 0) -> "DataLoader[ClipBatch]":
    """Build the loader of this process's batches from `first_step` on: `config.accumulate` for each step.

    Raises as `find_sources`, and ValueError when the batch does not divide.
    """
    shard = Shard(rank=distributed.rank(), ranks=distributed.world_size(), accumulate=config.accumulate)
    shard.part_size(config.batch_size)
    sources = find_sources(config.data, config.clip.frames, config.stage, config.correspondence)
    stream = ClipStream(
        videos=tuple(len(source) for source in sources),
        weights=tuple(source.weight for source in sources),
        batch_size=config.batch_size,
        iterations=config.iterations,
        gaps=GapSchedule(gaps=config.clip.gaps, starts=config.clip.gap_starts),
        seed=config.seed,
        plain_end=config.clip.plain_end,
    )
    # Every core has a worker or the training itself: OpenCV's threads would only get in the way.
    cv2.setNumThreads(0)
    workers = config.data.num_workers
    if workers:
        atexit.unregister(_end_workers)
        atexit.register(_end_workers)
    return DataLoader(
        ClipDataset(sources, config),  # type: ignore[arg-type]
        batch_sampler=StepSampler(stream, first_step, shard),  # type: ignore[arg-type]
        num_workers=workers,
        # Compiled networks want as many objects in every batch.
        collate_fn=partial(collate, slots=config.clip.max_objects if config.compile else 0),
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        worker_init_fn=_start_worker if workers else None,
        # Of its own: workers' seeds, which nothing uses, would otherwise be drawn from the run's generator.
        generator=torch.Generator(),
    )


def read_batches(loader: "DataLoader[ClipBatch]") -> Generator[ClipBatch, None, None]:
    """Yield a loader's batches; when the generator is closed or has failed, its processes are gone.

    Raises ChildProcessError when one of them dies, never but here: PyTorch would raise it in the middle of a step.
    """
    before = multiprocessing.active_children()
    batches = iter(loader)
    workers = [child for child in multiprocessing.active_children() if child not in before]
    if workers and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ChildProcessError(
            f"a process that loads data died ({_ends(workers)}), perhaps for want of memory. Try fewer --num_workers."
        ) from error
    finally:
        for worker in workers:  # they ignore SIGTERM, hold nothing and would only finish a clip that nobody wants
            worker.kill()


def _end_workers() -> None:
    """Kill what loaders have left at the end of the program: asked by SIGTERM, which they ignore, they would stay."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _ends(workers: Sequence[multiprocessing.process.BaseProcess]) -> str:
    dead = [worker for worker in workers if worker.exitcode is not None]
    return ", ".join(f"process {worker.pid}: exit code {worker.exitcode}" for worker in dead) or "which is not known"


def load_clip(
    sources: Sequence[Source],
    request: ClipRequest,
    config: ClipConfig,
    augmentation: Augmentation,
    on_bad_sample: Literal["raise", "skip"] = "raise",
    correspondence: CorrespondenceConfig | None = None,
) -> Clip:
    """Return the clip of a request, with what `correspondence` needs if it is given.

    With "skip", the clip of a bad file is replaced by that of the source's next video with the same seed: the rule
    depends on nothing but the request and the files. The log says which file was bad, whatever process meets it.

    Raises:
        BadSampleError: for a bad file with "raise", and when `MOST_SKIPPED` clips in a row are bad.
    """
    source = sources[request.source]
    for _ in range(min(MOST_SKIPPED, len(source))):
        try:
            return source.load(request, config, augmentation, correspondence)
        except (ValueError, OSError) as error:
            message = " ".join(str(error).split())
        if on_bad_sample == "raise":
            raise BadSampleError(f"{message} (To train without it: --on_bad_sample skip.)")
        logger.warning("bad sample skipped, the next clip of %s is taken: %s", source.name, message)
        request = replace(request, video=source.alike(request.video).stop % len(source), frames=None)
    raise BadSampleError(f"data set {source.name}: too many bad clips in a row; the last: {message}")


def _start_worker(number: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Ctrl-C reaches every process: the training process ends its step, for which it needs its workers, and then them.
    # So does torchrun's SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
