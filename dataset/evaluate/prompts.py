"""Masks that a user gives: as files, as arrays, for one frame or for several."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dataset.disk.masks import StoredMask
from util.files.palette import object_ids, read_mask

PathLike = str | os.PathLike[str]
MaskArray = np.ndarray | Tensor
OneMask = PathLike | MaskArray | tuple[MaskArray, Sequence[int]]
"""A PNG, or ids [H,W]; with a list of ids if only these are meant, which also says that one of them is not there."""
Masks = OneMask | Sequence[PathLike] | Mapping[int, OneMask] | Mapping[str, OneMask]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """A mask that is given as an array.

    Attributes:
        ids_HW: integer ids, 0 for none.
        object_ids: the ids that are meant; one that is not in the mask is said to be absent from the frame.
        frame: the name of its frame, for messages.
    """

    ids_HW: np.ndarray
    object_ids: list[int]
    frame: str

    def __str__(self) -> str:
        """Say which mask it is."""
        return f"given for frame {self.frame}"


GivenMask = Path | StoredMask | Prompt


def to_prompt(mask: OneMask, frame: str) -> Path | Prompt:
    """Return a user's mask of one frame as a path, or as a checked array.

    Raises ValueError for an array of another shape or type, or ids outside 0..65535.
    """
    if isinstance(mask, str | os.PathLike):
        return Path(mask)
    array, meant = mask if isinstance(mask, tuple) else (mask, None)
    ids = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    if ids.dtype == bool:
        ids = ids.astype(np.uint8)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(
            f"mask given for frame {frame}: expected integer ids [H,W], received {ids.dtype} {list(ids.shape)}"
        )
    if ids.size and (ids.min() < 0 or ids.max() > 65535):
        raise ValueError(f"mask given for frame {frame}: expected ids in 0..65535, received {ids.min()}..{ids.max()}")
    ids = ids.astype(np.uint8 if ids.size == 0 or ids.max() <= 255 else np.uint16)
    listed = object_ids(ids) if meant is None else sorted({int(i) for i in meant})
    return Prompt(ids_HW=ids, object_ids=listed, frame=frame)


def read_prompt(mask: GivenMask) -> tuple[np.ndarray, list[int]]:
    """Return a mask's ids [H,W] and which of them are meant; raises as `util.files.palette.read_mask`."""
    if isinstance(mask, Prompt):
        return mask.ids_HW, mask.object_ids
    ids = read_mask(mask) if isinstance(mask, Path) else mask.read()
    return ids, object_ids(ids)


def by_frame(masks: Mapping[Any, OneMask], names: Sequence[str] | None) -> dict[str, Path | Prompt]:
    """Return masks by the names of their frames, in the frames' order.

    Args:
        masks: by frame number, counted from 0, or by frame name.
        names: the names of all frames; None if they are not known, and are the numbers in five digits.

    Raises:
        ValueError: for a frame that is not there, or masks that are unfit.
    """
    found: dict[str, Path | Prompt] = {}
    for frame, mask in masks.items():
        number = isinstance(frame, int | np.integer)
        if names is None:
            name = f"{frame:05d}" if number else str(frame)
        elif number and 0 <= frame < len(names):
            name = names[frame]
        elif not number and frame in names:
            name = frame
        else:
            raise ValueError(
                f"mask given for frame {frame!r}: there is no such frame; expected a number from 0 to {len(names) - 1} "
                f"or a name from {names[0]} to {names[-1]}"
            )
        found[name] = to_prompt(mask, name)
    order = sorted(found) if names is None else names
    return {name: found[name] for name in order if name in found}
