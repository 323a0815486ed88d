"""Masks of a video as one COCO file: run lengths, an entry for each object and frame, and the objects as tracks.

The file is what `pycocotools.coco.COCO` loads: `images` are the frames, `annotations` hold a compressed run length
each, and `track_id` says which object it is. The object's id in a mask is its track's id.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

from util.files.atomic import atomic_write
from util.files.palette import object_ids

_MAX_ID = 65535


class CocoWriter:
    """Collects the masks of a video, frame by frame, and writes them as one JSON file.

    What is kept for a frame are its run lengths, so that a long video takes little memory.
    """

    def __init__(self, video: str) -> None:
        """Start without frames; `video` is the video's name."""
        self._video = {"id": 1, "name": video, "width": 0, "height": 0}
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, ids_HW: np.ndarray) -> None:
        """Append a frame: its name, and object ids [H,W], 0 for the background; frames come in order."""
        height, width = ids_HW.shape
        self._video |= {"height": height, "width": width}
        image = len(self._images) + 1
        self._images.append(
            {"id": image, "video_id": 1, "frame_index": image - 1, "file_name": name, "height": height, "width": width}
        )
        ids = object_ids(ids_HW)
        if not ids:
            return
        planes_HWO = np.stack([ids_HW == i for i in ids], axis=2).astype(np.uint8, order="F")
        encoded = run_lengths.encode(planes_HWO)
        areas, boxes = run_lengths.area(encoded), run_lengths.toBbox(encoded)
        for i, rle, area, box in zip(ids, encoded, areas, boxes, strict=True):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image,
                    "video_id": 1,
                    "track_id": i,
                    "category_id": 1,
                    "segmentation": {"size": [height, width], "counts": rle["counts"].decode("ascii")},
                    "area": int(area),
                    "bbox": [float(value) for value in box],
                    "iscrowd": 0,
                }
            )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all; raises OSError where it can't be written."""
        tracks = sorted({annotation["track_id"] for annotation in self._annotations})
        content = {
            "info": {"description": f"object masks of {self._video['name']}, written by CorrVOS"},
            "videos": [self._video],
            "categories": [{"id": 1, "name": "object"}],
            "tracks": [{"id": track, "video_id": 1, "category_id": 1} for track in tracks],
            "images": self._images,
            "annotations": self._annotations,
        }
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(content, separators=(",", ":")))


@dataclass(frozen=True, kw_only=True)
class CocoMasks:
    """The masks of a video, decoded when they are asked for.

    Attributes:
        path: the file that they were read from.
        size: height and width in pixels.
        names: the frames' names, without suffix, in order.
        object_ids: the ids of all tracks, rising.
    """

    path: Path
    size: tuple[int, int]
    names: list[str]
    object_ids: list[int]
    _segments: dict[str, dict[int, Any]]

    def masks(self, name: str) -> dict[int, np.ndarray]:
        """Return the masks [H,W] bool of a frame's objects by their ids; they may overlap.

        Raises KeyError for a frame that is not there, ValueError for run lengths that don't fit the frame.
        """
        return {i: self._decode(segment, name, i) for i, segment in sorted(self._segments[name].items())}

    def id_mask(self, name: str) -> np.ndarray:
        """Return a frame's ids [H,W] uint8, or uint16 if one exceeds 255; where masks overlap, the highest id stays.

        Raises as `masks`.
        """
        kind = np.uint8 if max(self.object_ids, default=0) <= 255 else np.uint16
        ids_HW = np.zeros(self.size, kind)
        for i, mask_HW in self.masks(name).items():
            ids_HW[mask_HW] = i
        return ids_HW

    def _decode(self, segment: Any, name: str, track: int) -> np.ndarray:
        try:
            compressed = isinstance(segment, dict) and isinstance(segment["counts"], str | bytes)
            rle = segment if compressed else run_lengths.frPyObjects(segment, *self.size)
            plane_HW = run_lengths.decode(run_lengths.merge(rle) if isinstance(rle, list) else rle)
        except Exception as error:  # pycocotools raises whatever its C code meets
            raise self._unfit(name, track, f"can't be decoded ({error})") from error
        if plane_HW.shape != self.size:
            raise self._unfit(name, track, f"are of size {list(plane_HW.shape)}")
        return plane_HW.astype(bool)

    def _unfit(self, name: str, track: int, what: str) -> ValueError:
        return ValueError(
            f"{self.path}: run lengths of track {track} in frame {name} {what}; expected a COCO run length of "
            f"{list(self.size)} (height, width). Export the masks again."
        )


def read_coco(path: str | os.PathLike[str]) -> CocoMasks:
    """Read a COCO file of one video, as `CocoWriter` writes it; run lengths may also be uncompressed, or polygons.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no such file, has frames of several sizes or names, or an object twice in a frame.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"COCO file {path} does not exist.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = sorted(content["images"], key=lambda image: (int(image.get("frame_index", image["id"])), image["id"]))
        sizes = {(int(image["height"]), int(image["width"])) for image in images}
        names = {image["id"]: Path(str(image["file_name"])).stem for image in images}
        entries = [
            (entry["image_id"], int(entry["track_id"]), entry["segmentation"]) for entry in content["annotations"]
        ]
        owners = [names[image] for image, _, _ in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no COCO file of a video ({type(error).__name__}: {error}). Expected `images` with id, "
            "file_name, height and width, and `annotations` with image_id, track_id and segmentation."
        ) from error
    if len(sizes) != 1 or len(set(names.values())) != len(images):
        raise ValueError(
            f"{path} has {len(images)} images with {len(set(names.values()))} names and {len(sizes)} sizes: expected "
            "the frames of one video. Write one file for each video."
        )
    segments: dict[str, dict[int, Any]] = {name: {} for name in names.values()}
    for owner, (_, track, segment) in zip(owners, entries, strict=True):
        if not 1 <= track <= _MAX_ID or track in segments[owner]:
            fault = "occurs twice" if track in segments[owner] else f"is outside 1..{_MAX_ID}"
            raise ValueError(f"{path}: track {track} of frame {owner} {fault}: expected each object once, by its id.")
        segments[owner][track] = segment
    return CocoMasks(
        path=path,
        size=sizes.pop(),
        names=list(names.values()),
        object_ids=sorted({track for _, track, _ in entries}),
        _segments=segments,
    )
