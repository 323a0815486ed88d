"""What travels through training: a request for a clip, the clip, and a batch of clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import Self

from dataset.evaluate.prepare import IMAGENET_MEAN, IMAGENET_STD

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ClipRequest:
    """Everything that determines a clip; whichever worker answers it, the clip is the same.

    Attributes:
        source: index of the data source.
        video: index of the video (or picture) in it.
        max_gap: largest distance between neighbouring frames, in frames of a source annotated on every frame.
        seed: seed of all that is drawn for the clip.
        frames: frame indices; None draws them.
        plain: without rotation and shear of single frames.
    """

    source: int
    video: int
    max_gap: int
    seed: int
    frames: tuple[int, ...] | None = None
    plain: bool = False


@dataclass(frozen=True, kw_only=True)
class PairedFrames:
    """What the correspondence losses need of a clip.

    Attributes:
        pair: index in the clip of frame t; frame t + 1 follows it in the clip and in the video (or before it, where
            time runs backwards), and shares its geometry, so that equal positions correspond.
        anchor: index in the clip of the anchor frame, another one.
        views_V3HW: uint8 RGB, second views: a part of the crop, resized, perhaps mirrored. Of frame t (V = 1),
            or of all frames of the clip (V = T) for the released variant.
        view_matrices_V33: float32, original picture to view, as `Clip.matrices_T33`.
        boxes: of frame t and of the anchor frame, [N,4] float32 each: left, top, right, bottom edges in the crop, in
            pixels, 0 <= left < right <= S.
        box_ids: for each of those boxes [N] int64: the object of the clip (1..objects), or 0 for a proposal.
    """

    pair: int
    anchor: int
    views_V3HW: Tensor
    view_matrices_V33: Tensor
    boxes: tuple[Tensor, Tensor]
    box_ids: tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A few frames of a video with their masks, augmented and cropped.

    Attributes:
        images_T3HW: uint8 RGB.
        labels_THW: uint8, 0 for background, objects 1..objects.
        objects: number of objects, all of them in the first frame.
        matrices_T33: float32, takes (x, y, 1) in the original picture to the crop; pixel centres are integers. A
            thin-plate spline comes on top of it and is not part of it.
        warped_T: bool, True where a thin-plate spline came on top.
        seed: the request's seed, for what the network draws.
        name: video and frames, for messages.
        redraws: how often other frames had to be drawn because the first held no object.
        paired: what the correspondence losses need; None without them.
    """

    images_T3HW: Tensor
    labels_THW: Tensor
    objects: int
    matrices_T33: Tensor
    warped_T: Tensor
    seed: int
    name: str
    redraws: int = 0
    paired: PairedFrames | None = None


@dataclass(frozen=True, kw_only=True)
class PairedBatch:
    """What the correspondence losses need of a batch; attributes as in `PairedFrames`.

    Attributes:
        pair_B: int64.
        anchor_B: int64.
        views_BV3HW: uint8 RGB.
        view_matrices_BV33: float32.
        boxes_B2N4: float32, of frame t and of the anchor frame; zeros pad.
        box_ids_B2N: int64; -1 pads.
    """

    pair_B: Tensor
    anchor_B: Tensor
    views_BV3HW: Tensor
    view_matrices_BV33: Tensor
    boxes_B2N4: Tensor
    box_ids_B2N: Tensor


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """Clips of equal length and size.

    Attributes:
        images_BT3HW: uint8 RGB.
        labels_BTHW: uint8, 0 for background.
        valid_BO: bool, False for objects that only pad a clip; O is the largest number of objects in the batch.
        matrices_BT33: float32, original picture to crop.
        warped_BT: bool, True where a thin-plate spline came on top.
        seeds: a seed for each clip.
        names: a name for each clip.
        redraws: of all clips together.
        paired: what the correspondence losses need; None without them.
    """

    images_BT3HW: Tensor
    labels_BTHW: Tensor
    valid_BO: Tensor
    matrices_BT33: Tensor
    warped_BT: Tensor
    seeds: tuple[int, ...]
    names: tuple[str, ...]
    redraws: int
    paired: PairedBatch | None = None

    def to(self, device: torch.device) -> Self:
        """Return the batch with its tensors on `device`; copies from pinned memory don't wait."""
        return _with_tensors(self, lambda x: x.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory; the data loader calls this for a GPU."""
        return _with_tensors(self, lambda x: x.pin_memory())

    def network_images(self) -> Tensor:
        """Return the images [B,T,3,H,W] as networks want them: float32, ImageNet-normalised."""
        return _network_images(self.images_BT3HW)

    def network_views(self) -> Tensor | None:
        """Return the views [B,V,3,h,w] likewise; None where there are none."""
        if self.paired is None or not self.paired.views_BV3HW.shape[1]:
            return None
        return _network_images(self.paired.views_BV3HW)

    def first_masks(self) -> Tensor:
        """Return the objects' masks in the first frame: [B,O,H,W] float32, 0 or 1; zero for padded objects."""
        ids = torch.arange(1, self.valid_BO.shape[1] + 1, device=self.labels_BTHW.device)
        return (self.labels_BTHW[:, :1] == ids[:, None, None]).float()


def _with_tensors(batch: T, change: Callable[[Tensor], Tensor]) -> T:
    """Return a batch with each of its tensors changed, also in the batch within it."""
    changed: dict[str, Any] = {}
    for field in fields(batch):  # type: ignore[arg-type]
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = change(value)
        elif isinstance(value, PairedBatch):
            changed[field.name] = _with_tensors(value, change)
    return replace(batch, **changed)  # type: ignore[type-var]


def collate(clips: Sequence[Clip]) -> ClipBatch:
    """Join clips into a batch, padded to the largest number of objects.

    Raises ValueError when there are none, or when they differ in length or size.
    """
    shapes = {tuple(clip.images_T3HW.shape) for clip in clips}
    if len(shapes) != 1:
        received = ", ".join(f"{clip.name}: {tuple(clip.images_T3HW.shape)}" for clip in clips) or "no clips"
        raise ValueError(f"clips of one batch must have the same [T,3,H,W], received {received}.")
    objects = torch.tensor([clip.objects for clip in clips])
    return ClipBatch(
        images_BT3HW=_stack_images([clip.images_T3HW for clip in clips]),
        labels_BTHW=torch.stack([clip.labels_THW for clip in clips]),
        valid_BO=torch.arange(int(objects.max())) < objects[:, None],
        matrices_BT33=torch.stack([clip.matrices_T33 for clip in clips]),
        warped_BT=torch.stack([clip.warped_T for clip in clips]),
        seeds=tuple(clip.seed for clip in clips),
        names=tuple(clip.name for clip in clips),
        redraws=sum(clip.redraws for clip in clips),
        paired=_collate_pairs([clip.paired for clip in clips if clip.paired is not None]),
    )


def _collate_pairs(pairs: Sequence[PairedFrames]) -> PairedBatch | None:
    if not pairs:
        return None
    boxes = [boxes for pair in pairs for boxes in pair.boxes]
    numbers = [ids for pair in pairs for ids in pair.box_ids]
    return PairedBatch(
        pair_B=torch.tensor([pair.pair for pair in pairs]),
        anchor_B=torch.tensor([pair.anchor for pair in pairs]),
        views_BV3HW=_stack_images([pair.views_V3HW for pair in pairs]),
        view_matrices_BV33=torch.stack([pair.view_matrices_V33 for pair in pairs]),
        boxes_B2N4=pad_sequence(boxes, batch_first=True).unflatten(0, (-1, 2)),
        box_ids_B2N=pad_sequence(numbers, batch_first=True, padding_value=-1).unflatten(0, (-1, 2)),
    )


def _stack_images(images: Sequence[Tensor]) -> Tensor:
    # Pictures lie in memory as [H,W,3]; so stacked they stay as they are, and convolutions like that layout.
    return torch.stack([image.permute(0, 2, 3, 1) for image in images]).permute(0, 1, 4, 2, 3)


def _network_images(pixels: Tensor) -> Tensor:
    images = pixels.float()
    # 255 enters the constants, so that each pixel is touched twice instead of three times.
    mean = torch.tensor(IMAGENET_MEAN, device=images.device)[:, None, None] * 255
    std = torch.tensor(IMAGENET_STD, device=images.device)[:, None, None] * 255
    return images.sub_(mean).div_(std)
