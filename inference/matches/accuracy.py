"""Matching accuracy: how often the best match of a position lies on the same object (paper Fig. 1).

From the matching keys alone. The frames are cut into the cells of the stride-16 grid, each of which has the label that
covers most of it. A query cell is right when the reference cell that is most similar to it has its label.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dataset.evaluate.annotated import AnnotatedVideo
from dataset.evaluate.prefetch import prefetch
from dataset.evaluate.prepare import prepare_image, prepare_mask
from model.affinity import similarity
from model.fast.twin import for_inference
from model.network import STRIDE, VOSNetwork
from util.device import autocast, half_type, resolve_precision
from util.image import pad, padding_to_multiple

GAPS = (1, 5, 20)
PAIRS = 8
_FRAMES_AT_ONCE = 8  # go through the key encoder
_BLOCK_ELEMENTS = 1 << 24  # of the similarity exist at once
_NOWHERE = -1  # label of padding

# Of each label (0 is background): cells whose match is right, and all that count.
Tally = dict[int, tuple[int, int]]


class MatchKeys(NamedTuple):
    """What frames are matched by.

    Attributes:
        key_FKYX: matching keys.
        shrinkage_F1YX: XMem's shrinkage, or None.
        selection_FKYX: XMem's selection, or None.
    """

    key_FKYX: Tensor
    shrinkage_F1YX: Tensor | None = None
    selection_FKYX: Tensor | None = None

    def take(self, frames: Sequence[int]) -> "MatchKeys":
        """Return the keys of some of the frames, in the order given."""
        index = torch.as_tensor(frames, dtype=torch.int64, device=self.key_FKYX.device)
        shrinkage, selection = self.shrinkage_F1YX, self.selection_FKYX
        return MatchKeys(
            self.key_FKYX[index],
            None if shrinkage is None else shrinkage[index],
            None if selection is None else selection[index],
        )


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Shares in 0..1: of object cells and of background cells; None where none could be matched."""

    foreground: float | None
    background: float | None


@dataclass(frozen=True, kw_only=True)
class MatchReport:
    """Matching accuracy over a data set.

    Attributes:
        mean: by gap: foreground is the mean over all objects, background the mean over videos.
        videos: the same of each video: video, then gap.
    """

    mean: dict[int, Accuracy]
    videos: dict[str, dict[int, Accuracy]]

    def figures(self) -> dict[str, float]:
        """Return the means under names such as `match_foreground_5`; without those that nothing was measured for."""
        named = {
            f"match_{kind}_{gap}": getattr(accuracy, kind)
            for gap, accuracy in self.mean.items()
            for kind in ("foreground", "background")
        }
        return {name: value for name, value in named.items() if value is not None}


def check_settings(gaps: Sequence[int], pairs: int, size: int) -> None:
    """Raise ValueError for gaps, a number of pairs or a frame size that nothing can be measured with."""
    if not gaps or min(gaps) < 1 or len(set(gaps)) < len(gaps):
        raise ValueError(f"--gaps {' '.join(map(str, gaps))}: expected different numbers of frames, each at least 1.")
    if pairs < 1:
        raise ValueError(f"--pairs {pairs}: expected at least 1 pair of frames for each video and gap.")
    if size != -1 and size < STRIDE:
        raise ValueError(f"--size {size}: expected the shorter side in pixels, at least {STRIDE}, or -1 for native.")


def measure_videos(
    model: VOSNetwork,
    videos: Iterable[AnnotatedVideo],
    *,
    gaps: Sequence[int] = GAPS,
    pairs: int = PAIRS,
    size: int = 480,
    device: torch.device,
) -> Iterator[tuple[str, dict[int, Tally]]]:
    """Yield each video's name and its tally at each gap; `make_match_report` makes figures of them.

    Args:
        model: any network with an `encode_key`; it moves to `device`.
        videos: what to measure on.
        gaps: numbers of frames between reference and query.
        pairs: pairs of frames of each video and gap; fewer where a video is too short.
        size: pixels of the frames' shorter side; -1 is native.
        device: where to compute.

    Raises:
        FileNotFoundError, ValueError: for settings out of range, or files that are missing or unfit.
    """
    check_settings(gaps, pairs, size)
    network = prepare_network(model, device)
    for video in videos:
        yield video.name, _measure_video(network, video, plan_pairs(list(video.masks), gaps, pairs), size, device)


def plan_pairs(annotated: Sequence[int], gaps: Sequence[int], pairs: int) -> dict[int, list[tuple[int, int]]]:
    """Choose pairs (reference, query) of a video's annotated frames for each gap.

    The queries are spread evenly from the video's last frame backwards, and are the same for every gap, but for those
    that have no annotated frame so far before them.

    Args:
        annotated: indices of the frames that have masks, ascending.
        gaps: how many frames the reference lies before the query.
        pairs: how many queries at most.
    """
    places = np.linspace(len(annotated) - 1, 0, pairs, endpoint=False).round().astype(int)
    queries = sorted({annotated[place] for place in places})
    known = set(annotated)
    return {gap: [(query - gap, query) for query in queries if query - gap in known] for gap in gaps}


def prepare_network(model: VOSNetwork, device: torch.device) -> VOSNetwork:
    """Return an inference copy of a network on `device` that shares its weights, as `build_segmenter` makes it."""
    return for_inference(model, device, half_type(resolve_precision(device)))


def encode_frames(network: VOSNetwork, images_F3HW: Tensor, device: torch.device) -> MatchKeys:
    """Encode normalised frames of any size with a prepared network, in the precision of inference on `device`."""
    padding = padding_to_multiple(images_F3HW.shape[-2], images_F3HW.shape[-1], STRIDE)
    keys, extras = [], []
    with torch.no_grad(), autocast(device):
        for images in images_F3HW.split(_FRAMES_AT_ONCE):
            features = network.encode_key(pad(images.to(device), padding))
            keys.append(features.key)
            # Not every network has a shrinkage and a selection.
            extras.append([getattr(features, name, None) for name in ("shrinkage", "selection")])
    shrinkage, selection = (None if parts[0] is None else torch.cat(parts) for parts in zip(*extras, strict=True))
    return MatchKeys(torch.cat(keys), shrinkage, selection)


def cell_labels(ids_FHW: Tensor) -> Tensor:
    """Return the label [F,Y,X] that covers most of each cell of the stride-16 grid; of equals the smaller one.

    The masks are padded as images are; padding has no say.

    Args:
        ids_FHW: object ids, 0 is background.
    """
    padding = padding_to_multiple(ids_FHW.shape[-2], ids_FHW.shape[-1], STRIDE)
    padded = F.pad(ids_FHW.long(), tuple(padding), value=_NOWHERE)
    cells_FYXS = padded.unfold(1, STRIDE, STRIDE).unfold(2, STRIDE, STRIDE).flatten(3)
    labels = ids_FHW.unique()
    covered = torch.stack([(cells_FYXS == label).sum(dim=3) for label in labels])
    return labels[covered.argmax(dim=0)]


def best_matches(reference: MatchKeys, query: MatchKeys) -> Tensor:
    """Return the most similar reference cell [F,P] (y·X + x) of every cell of as many query frames, each to its own."""
    keys = reference.key_FKYX.flatten(2)
    shrinkage = None if reference.shrinkage_F1YX is None else reference.shrinkage_F1YX.flatten(2)
    queries = query.key_FKYX.flatten(2)
    selection = None if query.selection_FKYX is None else query.selection_FKYX.flatten(2)
    step = max(_BLOCK_ELEMENTS // (keys.shape[2] * queries.shape[2]), 1)
    best = []
    for start in range(0, len(keys), step):
        part = slice(start, start + step)
        scores_BNP = similarity(
            keys[part],
            None if shrinkage is None else shrinkage[part],
            queries[part],
            None if selection is None else selection[part],
        )
        best.append(scores_BNP.argmax(dim=1))
    return torch.cat(best)


def count_matches(best_FP: Tensor, reference_labels_FYX: Tensor, query_labels_FYX: Tensor) -> Tally:
    """Count the right matches of each label that query frames show.

    A query cell whose label its reference frame does not show, such as one of an object that has just entered, cannot
    be matched rightly and does not count.
    """
    reference, query = reference_labels_FYX.flatten(1), query_labels_FYX.flatten(1)
    right = reference.gather(1, best_FP) == query
    tally = {}
    for label in query.unique().tolist():
        counts = (query == label) & (reference == label).any(dim=1, keepdim=True)
        tally[label] = (int((right & counts).sum()), int(counts.sum()))
    return tally


def accuracy(tallies: Sequence[Tally]) -> Accuracy:
    """Return the mean over all objects, and that of the background over the tallies: one of each video."""
    foreground = [right / total for tally in tallies for label, (right, total) in tally.items() if label and total]
    background = [tally[0][0] / tally[0][1] for tally in tallies if tally.get(0, (0, 0))[1]]
    return Accuracy(
        foreground=statistics.fmean(foreground) if foreground else None,
        background=statistics.fmean(background) if background else None,
    )


def make_match_report(tallies: Mapping[str, Mapping[int, Tally]]) -> MatchReport:
    """Make the figures of a data set from the tallies of its videos: video, then gap."""
    gaps = list(dict.fromkeys(gap for video in tallies.values() for gap in video))
    return MatchReport(
        mean={gap: accuracy([video[gap] for video in tallies.values()]) for gap in gaps},
        videos={name: {gap: accuracy([video[gap]]) for gap in gaps} for name, video in tallies.items()},
    )


def _measure_video(
    network: VOSNetwork,
    video: AnnotatedVideo,
    plan: Mapping[int, Sequence[tuple[int, int]]],
    size: int,
    device: torch.device,
) -> dict[int, Tally]:
    frames = sorted({frame for pairs in plan.values() for pair in pairs for frame in pair})
    if not frames:
        return {gap: {} for gap in plan}
    images, masks = [], []
    for frame in prefetch(map(video.read, frames)):
        images.append(prepare_image(frame.rgb_HW3, size))
        masks.append(prepare_mask(frame.ids_HW, size))
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"video {video.name}: frame {frame.name} is of another size than the frames before it. Resize all "
                "frames to one size."
            )
    keys, labels = encode_frames(network, torch.stack(images), device), cell_labels(torch.stack(masks)).to(device)
    place = {frame: index for index, frame in enumerate(frames)}
    tallies = {}
    for gap, pairs in plan.items():
        references, queries = ([place[pair[side]] for pair in pairs] for side in (0, 1))
        best = best_matches(keys.take(references), keys.take(queries)) if pairs else None
        tallies[gap] = {} if best is None else count_matches(best, labels[references], labels[queries])
    return tallies
