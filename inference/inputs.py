"""What every segmenter checks of its input, and how it reads masks and writes ids."""

import numpy as np
import torch
from torch import Tensor

from util.device import Download, upload

MAX_ID = 65535


def check_image(image: Tensor, size: tuple[int, int] | None, frame: int) -> tuple[int, int]:
    """Return an image's height and width.

    Args:
        image: what should be float [3,H,W].
        size: of the frames before it, if there were any.
        frame: its number, for the message.

    Raises:
        ValueError: an image of the wrong shape, type or size.
    """
    if not isinstance(image, Tensor):
        raise ValueError(f"image: expected a tensor, received {type(image).__name__}; step_rgb takes pictures")
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        raise ValueError(f"image: expected float [3,H,W], received {image.dtype} {list(image.shape)}")
    height, width = image.shape[-2:]
    if size is not None and size != (height, width):
        raise ValueError(
            f"frame {frame}: expected {size[0]}x{size[1]} (height x width) like the frames "
            f"before, received {height}x{width}; a video's frames must have one size, reset() starts a new video"
        )
    return height, width


def given_objects(
    mask: Tensor | None, object_ids: list[int] | None, size: tuple[int, int], device: torch.device
) -> tuple[list[int], Tensor]:
    """Split a mask of ids [H,W] into the ids that are meant, ascending, and a mask of 0 and 1 [O,H,W] for each.

    Raises:
        ValueError: a mask of the wrong shape, type or size, without any object, or with ids out of range.
    """
    if mask is None:
        if object_ids:
            raise ValueError(f"object_ids={object_ids} were given without a mask")
        return [], torch.empty(0)
    if not isinstance(mask, Tensor):
        raise ValueError(f"mask: expected a tensor, received {type(mask).__name__}; torch.from_numpy makes one")
    if mask.ndim != 2 or mask.is_floating_point() or mask.is_complex():
        raise ValueError(f"mask: expected integer ids [H,W], received {mask.dtype} {list(mask.shape)}")
    if tuple(mask.shape) != size:
        raise ValueError(
            f"mask: expected {size[0]}x{size[1]} (height x width) like its frame, "
            f"received {mask.shape[0]}x{mask.shape[1]}"
        )
    mask = mask.long()
    ids = sorted(set(object_ids)) if object_ids is not None else [i for i in mask.unique().tolist() if i != 0]
    if not ids:
        raise ValueError("mask: no object in it, all ids are 0; give mask=None for a frame without a mask")
    if ids[0] < 1 or ids[-1] > MAX_ID:
        raise ValueError(f"mask: ids must lie in 1..{MAX_ID}, received {ids[0]}..{ids[-1]}")
    mask = upload(mask, device)  # asked for its ids before, where it was: a GPU would have to be waited for
    return ids, torch.stack([mask == i for i in ids]).float()


def check_known(ids: list[int], known: list[int]) -> None:
    """Raise ValueError for objects to remove that are not there."""
    unknown = sorted(set(ids) - set(known))
    if unknown:
        raise ValueError(f"remove_objects: no object with id {unknown}; known ids: {known}")


def id_mask(prob_LHW: Tensor, object_ids: list[int]) -> np.ndarray:
    """Turn probabilities of the background and `object_ids` into ids: [H,W] uint8, or uint16 if an id exceeds 255.

    Raises ValueError for another number of maps.
    """
    return LateIds(prob_LHW, object_ids).get()


def most_likely(prob_LHW: Tensor) -> Tensor:
    """Return which of its probabilities is each pixel's largest, the first of equal ones: [H,W] uint8.

    More than 256 maps give int64.
    """
    if len(prob_LHW) > 256:
        return prob_LHW.argmax(dim=0)
    if prob_LHW.device.type != "cpu":
        return prob_LHW.argmax(dim=0).byte()
    # PyTorch's argmax over the first dimension runs pixel by pixel on a CPU, and takes up to fifty times as long.
    best, place = prob_LHW[0], torch.zeros(prob_LHW.shape[1:], dtype=torch.uint8)
    for position, prob in enumerate(prob_LHW[1:], start=1):
        place = torch.maximum(place, (prob > best).view(torch.uint8) * position)
        best = torch.maximum(best, prob)
    return place


class LateIds:
    """The ids of a frame, which a GPU may still be computing."""

    def __init__(self, prob_LHW: Tensor, object_ids: list[int]) -> None:
        """Queue what makes ids of probabilities of the background and `object_ids`.

        Raises ValueError for another number of maps.
        """
        ids = [0, *object_ids]
        if prob_LHW.ndim != 3 or prob_LHW.shape[0] != len(ids):
            raise ValueError(
                f"to_id_mask: expected [{len(ids)},H,W] (background and {len(ids) - 1} objects), "
                f"received {list(prob_LHW.shape)}"
            )
        self._table = np.array(ids, dtype=np.uint8 if max(ids) <= 255 else np.uint16)
        self._place = Download(most_likely(prob_LHW))

    def get(self) -> np.ndarray:
        """Wait for the frame and return its ids, [H,W] uint8 or uint16."""
        return self._table[self._place.get().numpy()]
