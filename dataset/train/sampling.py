"""Which clip comes at which step: a pure function of the seed and the step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch.utils.data import Sampler

from dataset.clip import ClipRequest

_TRIES = 10  # to draw frames that are far enough apart


@dataclass(frozen=True, kw_only=True)
class GapSchedule:
    """The largest frame gap over a run.

    Attributes:
        gaps: largest gaps in the order in which they hold.
        starts: share of the run, in [0, 1], from which each holds; ascending, the first is 0.
    """

    gaps: tuple[int, ...]
    starts: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for a schedule that makes no sense."""
        ascending = all(a < b for a, b in zip(self.starts, self.starts[1:], strict=False))
        if not self.gaps or len(self.gaps) != len(self.starts) or self.starts[0] != 0 or not ascending:
            raise ValueError(
                f"gaps {self.gaps} with starts {self.starts}: expected as many starts as gaps, ascending, the first 0."
            )
        if min(self.gaps) < 1:
            raise ValueError(f"gaps {self.gaps}: a gap is at least 1 frame.")

    def at(self, step: int, iterations: int) -> int:
        """Return the largest gap at `step` (from 0) of `iterations`."""
        # In integers as far as possible: 0.3 * 10 is not 3 in binary.
        reached = [gap for gap, start in zip(self.gaps, self.starts, strict=True) if step >= round(start * iterations)]
        return reached[-1]


@dataclass(frozen=True, kw_only=True)
class ClipStream:
    """The endless sequence of requests of a run.

    The videos of all sources, each as often as its source's weight says, are shuffled anew for every pass; a pass
    shows every one of them that often. Position `batch_size * step + i` gives clip i of a step, so the stream does not
    depend on the number of processes or workers, nor on where a run was resumed.

    Attributes:
        videos: number of videos of each source.
        weights: how often a pass shows the videos of each source.
        batch_size: clips of a step, over all processes.
        iterations: steps of the run, for the gap schedule.
        gaps: the gap schedule.
        seed: the run's seed.
        plain_end: so many last steps come without rotation and shear of single frames.
    """

    videos: tuple[int, ...]
    weights: tuple[int, ...]
    batch_size: int
    iterations: int
    gaps: GapSchedule
    seed: int
    plain_end: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for sources without videos or weights that are no positive integers."""
        if not self.videos or min(self.videos) < 1:
            raise ValueError(f"sources with {self.videos} videos: expected at least one video in each.")
        if len(self.weights) != len(self.videos) or min(self.weights) < 1:
            raise ValueError(
                f"weights {self.weights} of {len(self.videos)} sources: expected an integer >= 1 for each."
            )

    def __len__(self) -> int:
        """Return the number of clips in a pass."""
        return sum(count * weight for count, weight in zip(self.videos, self.weights, strict=True))

    def requests(self, step: int) -> list[ClipRequest]:
        """Return the requests of a step (from 0), in order."""
        first, max_gap = step * self.batch_size, self.gaps.at(step, self.iterations)
        plain = step >= self.iterations - self.plain_end
        return [self._request(first + i, max_gap, plain) for i in range(self.batch_size)]

    def _request(self, position: int, max_gap: int, plain: bool) -> ClipRequest:
        epoch, place = divmod(position, len(self))
        slot = int(_shuffled(len(self), self.seed, epoch)[place])
        words = np.random.SeedSequence([self.seed, position]).generate_state(1, np.uint64)
        seed = int(words[0]) >> 1  # of Python's own integers: NumPy 1 shifts no uint64
        for source, (count, weight) in enumerate(zip(self.videos, self.weights, strict=True)):
            if slot < count * weight:
                return ClipRequest(source=source, video=slot % count, max_gap=max_gap, seed=seed, plain=plain)
            slot -= count * weight
        raise AssertionError("the pass is as long as its sources")


@lru_cache(maxsize=2)
def _shuffled(length: int, seed: int, epoch: int) -> np.ndarray:
    order = np.random.default_rng([seed, epoch, length]).permutation(length)
    order.setflags(write=False)
    return order


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Which clips of every step a process loads, and in how many parts.

    Attributes:
        rank: of the process.
        ranks: number of processes; each loads as many clips of a step as the others.
        accumulate: equal parts in which a process loads its clips, each a batch of its own.
    """

    rank: int = 0
    ranks: int = 1
    accumulate: int = 1

    def part_size(self, batch_size: int) -> int:
        """Return the clips of a part; ValueError, with the nearest sizes that work, if a step does not divide so."""
        parts = self.ranks * self.accumulate
        if batch_size % parts == 0:
            return batch_size // parts
        below, above = batch_size // parts * parts, (batch_size // parts + 1) * parts
        nearest = f"{below} or {above}" if below else str(above)
        raise ValueError(
            f"--batch_size {batch_size} does not divide into {self.ranks} processes x {self.accumulate} parts "
            f"(--accumulate): the nearest that work are {nearest}."
        )


class StepSampler(Sampler[list[ClipRequest]]):
    """The batch sampler of a data loader: the requests of each step from `first` to the last of the run.

    Of each step, a shard's requests come in its parts, one after the other.
    """

    def __init__(self, stream: ClipStream, first: int = 0, shard: Shard | None = None) -> None:
        """Start at step `first`, 0 for a new run. Raises ValueError if the batch does not divide into shards."""
        self.stream = stream
        self.first = first
        self.shard = shard or Shard()
        self._size = self.shard.part_size(stream.batch_size)

    def __iter__(self) -> Iterator[list[ClipRequest]]:
        """Yield the requests of each part of each step."""
        for step in range(self.first, self.stream.iterations):
            requests = self.stream.requests(step)
            for part in range(self.shard.accumulate):
                start = (self.shard.rank * self.shard.accumulate + part) * self._size
                yield requests[start : start + self._size]

    def __len__(self) -> int:
        """Return the number of parts left."""
        return max(self.stream.iterations - self.first, 0) * self.shard.accumulate


def draw_frames(rng: np.random.Generator, length: int, count: int, max_gap: int, reverse: float) -> tuple[int, ...]:
    """Draw `count` different frames of a video, in order, neighbours at most `max_gap` apart.

    The set grows from one frame: each next one is drawn from all that keep the distance (as XMem does), so a video of
    exactly `count` frames is enough.

    Args:
        rng: source of randomness.
        length: frames of the video, at least `count`.
        count: frames of the clip.
        max_gap: largest gap, at least 1.
        reverse: probability that time runs backwards.

    Returns:
        Frame indices, ascending, or descending when reversed.
    """
    assert length >= count and max_gap >= 1
    chosen = [int(rng.integers(length))]
    reachable: set[int] = set()
    while len(chosen) < count:
        newest = chosen[-1]
        reachable |= set(range(max(newest - max_gap, 0), min(newest + max_gap, length - 1) + 1))
        candidates = sorted(reachable.difference(chosen))
        chosen.append(candidates[rng.integers(len(candidates))])
    return tuple(sorted(chosen, reverse=bool(rng.random() < reverse)))


def draw_successive_frames(
    rng: np.random.Generator, length: int, count: int, max_gap: int, reverse: float, min_gap: int = 0
) -> tuple[int, ...]:
    """Draw frames as `draw_frames`, but so that two neighbours at least follow each other in the video.

    Another frame is at least `min_gap` from such a pair, or `max_gap` if that is less, where ten tries find one; else
    the try is taken in which it is farthest.
    """
    tries: list[tuple[int, ...]] = []
    while not tries or (len(tries) < _TRIES and _reach(tries[-1]) < min(min_gap, max_gap)):
        tries.append(_draw_successive(rng, length, count, max_gap, reverse))
    return max(tries, key=_reach) if len(tries) == _TRIES else tries[-1]


def _reach(frames: Sequence[int]) -> int:
    """Return the largest distance from the first of two successive frames to a frame that is none of them."""
    pairs = [i for i in range(len(frames) - 1) if abs(frames[i + 1] - frames[i]) == 1]
    return max(
        (abs(frame - frames[i]) for i in pairs for j, frame in enumerate(frames) if j not in (i, i + 1)), default=0
    )


def _draw_successive(
    rng: np.random.Generator, length: int, count: int, max_gap: int, reverse: float
) -> tuple[int, ...]:
    # One frame less is drawn of a video one frame shorter; one of them is chosen, and its successor inserted.
    drawn = draw_frames(rng, length - 1, count - 1, max_gap, reverse)
    chosen = int(rng.integers(count - 1))
    before, after = drawn[: chosen + 1], drawn[chosen:]
    # What comes later in the video makes room for the successor.
    if drawn[0] < drawn[-1]:
        return *before, *(frame + 1 for frame in after)
    return *(frame + 1 for frame in before), *after


def draw_pair(rng: np.random.Generator, frames: Sequence[int], min_gap: int = 0) -> tuple[int, int]:
    """Draw which neighbours of a clip the correspondence losses compare, and the anchor, any other frame.

    The anchor is at least `min_gap` from the pair's first frame where a frame of the clip is; else it is the farthest.

    Args:
        rng: source of randomness.
        frames: frame indices of the clip, at least 3.
        min_gap: in frame indices; 0 draws from all.

    Returns:
        Indices in the clip: of the first of two neighbours that follow each other in the video, in one direction or
        the other, and of the anchor frame.

    Raises:
        ValueError: when no neighbours follow each other.
    """
    fit = [i for i in range(len(frames) - 1) if abs(frames[i + 1] - frames[i]) == 1]
    if not fit:
        raise ValueError(f"frames {tuple(frames)}: expected two successive ones for the correspondence losses.")
    pair = fit[rng.integers(len(fit))]
    others = [i for i in range(len(frames)) if i not in (pair, pair + 1)]
    gaps = [abs(frames[i] - frames[pair]) for i in others]
    least = min(min_gap, max(gaps))
    far = [i for i, gap in zip(others, gaps, strict=True) if gap >= least]
    return pair, far[rng.integers(len(far))]


def draw_objects(rng: np.random.Generator, ids: Sequence[int], max_objects: int) -> list[int]:
    """Draw up to `max_objects` of the object ids: all of them in ascending order, or as many in random order."""
    if len(ids) <= max_objects:
        return sorted(ids)
    return [int(i) for i in rng.choice(np.asarray(ids), size=max_objects, replace=False)]
