"""What travels through training: a request for a clip, the clip, and a batch of clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from dataset.evaluate.prepare import IMAGENET_MEAN, IMAGENET_STD
from util.comparison import Comparison, join_comparisons
from util.device import upload


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
        views_V3HW: uint8 RGB, second views for the correspondence losses: a part of the crop, resized, perhaps
            mirrored. Of frame t (V = 1), or of all frames of the clip (V = T) for the released variant; None without.
        compared: what those losses compare; None without them.
    """

    images_T3HW: Tensor
    labels_THW: Tensor
    objects: int
    matrices_T33: Tensor
    warped_T: Tensor
    seed: int
    name: str
    redraws: int = 0
    views_V3HW: Tensor | None = None
    compared: Comparison | None = None


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
        views_BV3HW: uint8 RGB, as `Clip.views_V3HW`; None without.
        compared: what the correspondence losses compare; None without them.
    """

    images_BT3HW: Tensor
    labels_BTHW: Tensor
    valid_BO: Tensor
    matrices_BT33: Tensor
    warped_BT: Tensor
    seeds: tuple[int, ...]
    names: tuple[str, ...]
    redraws: int
    views_BV3HW: Tensor | None = None
    compared: Comparison | None = None

    @property
    def boxes(self) -> int:
        """Boxes that `compared` has of each frame, with padding; 0 without."""
        return 0 if self.compared is None else self.compared.box_ids_B2N.shape[2]

    def pad_boxes(self, count: int) -> Self:
        """Return the batch with `count` boxes of each frame, at least its own, where clips are compared."""
        return self if self.compared is None else replace(self, compared=self.compared.pad_boxes(count))

    def to(self, device: torch.device) -> Self:
        """Return the batch with its tensors on `device`, without waiting for a GPU."""
        return self._map(lambda x: upload(x, device))

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory; the data loader calls this for a GPU."""
        return self._map(lambda x: x.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the batch with each of its tensors changed."""
        changed: dict[str, Any] = {name: change(x) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **changed, compared=None if self.compared is None else self.compared.map(change))

    def network_images(self) -> Tensor:
        """Return the images [B,T,3,H,W] as networks want them: float32, ImageNet-normalised."""
        return _network_images(self.images_BT3HW)

    def network_views(self) -> Tensor | None:
        """Return the views [B,V,3,h,w] likewise; None where there are none."""
        return None if self.views_BV3HW is None else _network_images(self.views_BV3HW)

    def first_masks(self) -> Tensor:
        """Return the objects' masks in the first frame: [B,O,H,W] float32, 0 or 1; zero for padded objects."""
        ids = torch.arange(1, self.valid_BO.shape[1] + 1, device=self.labels_BTHW.device)
        return (self.labels_BTHW[:, :1] == ids[:, None, None]).float()


def most_boxes(parts: Sequence[ClipBatch]) -> int:
    """Return the largest number of boxes that a part of a step has of a frame; 0 of none."""
    return max((part.boxes for part in parts), default=0)


def collate(clips: Sequence[Clip], slots: int = 0) -> ClipBatch:
    """Join clips into a batch, padded to the largest number of objects, or to `slots` if that is more.

    Raises ValueError when there are none, or when they differ in length or size.
    """
    shapes = {tuple(clip.images_T3HW.shape) for clip in clips}
    if len(shapes) != 1:
        received = ", ".join(f"{clip.name}: {tuple(clip.images_T3HW.shape)}" for clip in clips) or "no clips"
        raise ValueError(f"clips of one batch must have the same [T,3,H,W], received {received}.")
    objects = torch.tensor([clip.objects for clip in clips])
    views = [clip.views_V3HW for clip in clips if clip.views_V3HW is not None]
    compared = [clip.compared for clip in clips if clip.compared is not None]
    return ClipBatch(
        images_BT3HW=_stack_images([clip.images_T3HW for clip in clips]),
        labels_BTHW=torch.stack([clip.labels_THW for clip in clips]),
        valid_BO=torch.arange(max(int(objects.max()), slots)) < objects[:, None],
        matrices_BT33=torch.stack([clip.matrices_T33 for clip in clips]),
        warped_BT=torch.stack([clip.warped_T for clip in clips]),
        seeds=tuple(clip.seed for clip in clips),
        names=tuple(clip.name for clip in clips),
        redraws=sum(clip.redraws for clip in clips),
        views_BV3HW=_stack_images(views) if views else None,
        compared=join_comparisons(compared) if compared else None,
    )


def _stack_images(images: Sequence[Tensor]) -> Tensor:
    # Pictures lie in memory as [H,W,3]; so stacked they stay as they are, and convolutions like that layout.
    return torch.stack([image.permute(0, 2, 3, 1) for image in images]).permute(0, 1, 4, 2, 3)


def _network_images(pixels: Tensor) -> Tensor:
    images = pixels.float()
    # 255 enters the constants, so that each pixel is touched twice instead of three times.
    mean, std = (upload(torch.tensor(x)[:, None, None] * 255, images.device) for x in (IMAGENET_MEAN, IMAGENET_STD))
    return images.sub_(mean).div_(std)
