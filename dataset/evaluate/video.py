"""What evaluation reads: videos as streams of prepared frames, with the masks that the protocol gives."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from dataset.disk.arrays import StreamFrames
from dataset.disk.films import FIRST_OF_FILE, VideoFileFrames
from dataset.disk.frames import FolderFrames, FrameSource, open_frames
from dataset.disk.masks import match_masks, some
from dataset.evaluate.files import VideoFiles
from dataset.evaluate.prefetch import prefetch
from dataset.evaluate.prepare import (
    Resizing,
    SizedFrame,
    VideoFrame,
    prepare_mask,
    resize_picture,
    size_without_enlarging,
)
from dataset.evaluate.prompts import GivenMask, read_prompt
from dataset.evaluate.protocols import EvaluationSet, MaskRule, find_evaluation_set

logger = logging.getLogger(__name__)


class Video:
    """A video, with its `name` and the `path` of its folder or file, and the masks that are given for it."""

    def __init__(
        self,
        name: str,
        source: FrameSource,
        masks: Mapping[str, GivenMask],
        *,
        rule: MaskRule = "every",
        binary: bool = False,
        wanted: Iterable[str] | None = None,
        enlarge: bool = True,
    ) -> None:
        """Join frames and masks.

        Args:
            name: the video's name.
            source: its frames.
            masks: mask files, or masks, by the names of their frames, in the order of the frames.
            rule: which of the masks are given: the "first" only; of each the ids that are "new"; "every" one.
            binary: take everything that is not zero for one object with id 1.
            wanted: the frames whose results are asked for; None for all.
            enlarge: work at the size asked for even where the video's own is smaller.
        """
        self.name = name
        self.path = source.path
        self._source = source
        first = next(iter(masks.items()))
        self._masks = dict([first]) if rule == "first" else dict(masks)
        self._rule = rule
        self._binary = binary
        self._enlarge = enlarge
        self._wanted = None if wanted is None else frozenset(wanted)
        # Where results go if every object has a folder of its own: its name, and the object's id.
        self.objects: Mapping[str, int] = {}

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._source.names)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._source.size

    @property
    def fps(self) -> float:
        """Frames per second; 24 for a folder of images."""
        return self._source.fps

    @property
    def seconds(self) -> list[Fraction]:
        """When each frame is shown, from the first on; empty where nothing but `fps` is known."""
        return self._source.seconds() if isinstance(self._source, VideoFileFrames) else []

    @property
    def frame_names(self) -> list[str]:
        """Names of all frames in order."""
        return self._source.names

    @property
    def wanted_names(self) -> list[str]:
        """Names of the frames whose results the benchmark asks for, in order."""
        return [name for name in self._source.names if self._wanted is None or name in self._wanted]

    @property
    def object_ids(self) -> list[int]:
        """All ids that the given masks hold, in rising order; reads the mask files."""
        return sorted({value for mask in self._masks.values() for value in self._read_mask(mask)[1]})

    @property
    def live(self) -> bool:
        """Whether frames count from when they are asked for, as a camera's do: none is taken ahead."""
        return isinstance(self._source, StreamFrames)

    def frames(
        self,
        size: int | Sequence[int] = 480,
        resizing: Resizing | None = None,
        *,
        decoders: int = 1,
        normalised: bool = True,
    ) -> Iterator[VideoFrame]:
        """Yield every frame in order, those of files read ahead in a thread; close the iterator to stop early.

        Args:
            size: the shorter side of `image` and `mask` in pixels; -1 keeps the video's own size, and so does a size
                that is larger, but for a video that is to be enlarged. Of several, each frame comes at all.
            resizing: how to get there; the defaults of `Resizing` by default.
            decoders: threads that decode images of a folder.
            normalised: whether the reading thread normalises images; else they are when they are asked for.

        Raises:
            ValueError: for masks without any object, an unfit or damaged frame or mask, a mask or frame of another
                size than the first frame; when the frame is reached.
        """
        sizes = [size] if isinstance(size, int) else list(size)
        prepared = self._prepared_frames(sizes, resizing or Resizing(), decoders, normalised)
        return prepared if self.live else prefetch(prepared)

    def _prepared_frames(
        self, sizes: Sequence[int], resizing: Resizing, decoders: int, normalised: bool
    ) -> Iterator[VideoFrame]:
        self._require_an_object()
        working = {size: self.working_size(size, resizing) for size in sizes}
        seen: set[int] = set()
        shape: tuple[int, ...] | None = None
        read = self._source.read(decoders)
        for (name, rgb), last in ((item, False) for item in read) if self.live else _mark_last(read):
            if shape is not None and rgb.shape != shape:
                raise ValueError(
                    f"video {self.path}: frame {name} has {_describe(rgb)} pixels, the frames before it "
                    f"{shape[1]}x{shape[0]}. Resize all frames to one size."
                )
            shape = rgb.shape
            given, ids = self._given_mask(name, rgb, seen)
            seen.update(ids or ())
            at_size = {}
            for size, own in working.items():
                side = own if self._enlarge else size_without_enlarging(shape, own)
                mask = None if given is None else prepare_mask(given, side)
                at_size[size] = sized = SizedFrame(picture=resize_picture(rgb, side, resizing.bicubic), mask=mask)
                sized.image if normalised else None  # noqa: B018  (it is kept)
            yield VideoFrame(
                name=name,
                at_size=at_size,
                given=given,
                object_ids=ids,
                rgb=rgb,
                wanted=self._wanted is None or name in self._wanted,
                last=last,
            )

    def _given_mask(self, name: str, rgb: np.ndarray, seen: set[int]) -> tuple[np.ndarray | None, list[int] | None]:
        """Return the ids [H,W] that the rule gives at this frame and which of them are meant, or None twice."""
        file = self._masks.get(name)
        if file is None:
            return None, None
        mask, ids = self._read_mask(file)
        if mask.shape != rgb.shape[:2]:
            raise ValueError(
                f"mask {file} has {_describe(mask)} pixels, its frame in {self.path} {_describe(rgb)}. "
                + self._remedy(name, mask.shape == rgb.shape[1::-1])
            )
        if self._rule == "new":
            mask, ids = np.where(np.isin(mask, list(seen)), 0, mask), [i for i in ids if i not in seen]
        elif not ids:
            logger.warning("video %s: mask %s holds no object and is skipped.", self.name, file)
        return (mask, ids) if ids else (None, None)

    def _remedy(self, name: str, swapped: bool) -> str:
        if swapped and isinstance(self._source, FolderFrames) and self._source.is_turned(name):
            return "The frame is shown turned, as its file's orientation tag (EXIF) says: turn the mask as well."
        return "Resize the mask to the frame's size with nearest neighbour."

    def working_size(self, size: int, resizing: Resizing) -> int:
        """Return `size`, or -1 (the video's own) if resizing would make one of the objects too small."""
        if not resizing.native_below or size == -1:
            return size
        seen: set[int] = set()
        for file in self._masks.values():
            mask, ids = self._read_mask(file)
            if min(mask.shape) <= size:
                return size  # the video's own size shows objects no larger
            pixels = np.bincount(prepare_mask(mask, size).numpy().ravel())
            new = set(ids) - seen
            if any(resizing.is_too_small(int(pixels[i]), size) for i in new):
                return -1
            seen |= new
        return size

    def _read_mask(self, mask: GivenMask) -> tuple[np.ndarray, list[int]]:
        ids_HW, ids = read_prompt(mask)
        return ((ids_HW != 0).astype(np.uint8), [1] if ids else []) if self._binary else (ids_HW, ids)

    def _require_an_object(self) -> None:
        if not any(self._read_mask(mask)[0].any() for mask in self._masks.values()):
            masks = [*self._masks.values()]
            folder = f" in {masks[0].parent}" if isinstance(masks[0], Path) else ""
            where = f"all {len(masks)} masks{folder} hold" if masks[1:] else f"mask {masks[0]} holds"
            raise ValueError(f"video {self.name}: {where} no object, only zeros. Give a mask with at least one object.")


def open_video(
    frames: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    *,
    allow_truncated: bool = False,
    enlarge: bool = True,
) -> Video:
    """Open a user's own video.

    Args:
        frames: a folder of images or a video file.
        masks: one mask PNG for the first frame, or a folder of PNGs named like the frames that they belong to (for a
            video file: by number, counted from 0). Every mask counts: later ones correct or add the objects they show.
        allow_truncated: take a video file that ends early as it is.
        enlarge: as for `Video`.

    Raises:
        FileNotFoundError: when one of them is missing.
        ValueError: when there are no frames or no masks, a mask's name is that of no frame, or a file ends early.
    """
    path, masks = Path(frames), Path(masks)
    source = open_frames(path, allow_truncated=allow_truncated)
    name = path.stem if path.is_file() else path.resolve().name
    if masks.is_file():
        first = FIRST_OF_FILE if isinstance(source, VideoFileFrames) else source.names[0]
        return Video(name, source, {first: masks}, enlarge=enlarge)
    if not masks.is_dir():
        raise FileNotFoundError(f"mask {masks} does not exist: expected a mask PNG or a folder of them.")
    return Video(name, source, match_masks(source, masks), enlarge=enlarge)


def open_dataset(
    dataset: str, *, split: str = "val", root: str | os.PathLike[str] | None = None, sparse: bool = False
) -> list[Video]:
    """Open the videos of a benchmark in the order of its list.

    Args:
        dataset: a row of `dataset.evaluate.protocols.BENCHMARKS`, such as d17; case does not matter.
        split: one of the row's, such as val.
        root: the data set's folder; None for its usual place under data/. Sample data is made where it is missing.
        sparse: take the annotated frames of y18 and y19 alone, which their protocols do not.

    Raises:
        FileNotFoundError: when the folder or parts of it are missing.
        ValueError: for an unknown name or split, or videos without frames or masks.
    """
    return open_videos(find_evaluation_set(dataset, split=split, root=root, sparse=sparse))


def open_videos(evaluation: EvaluationSet) -> list[Video]:
    """Open the videos of an evaluation set; raises as `open_dataset`."""
    found = {name: evaluation.files(name) for name in evaluation.videos}
    missing = [name for name, files in found.items() if not files.frames.is_dir()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(found)} videos of {evaluation.name} have no folder in "
            f"{evaluation.frames}: {some(missing)}. Complete the data or give another root."
        )
    return [_open_files(evaluation, name, files) for name, files in found.items()]


def _open_files(evaluation: EvaluationSet, name: str, files: VideoFiles) -> Video:
    source = FolderFrames(files.frames, files.images)
    masks = files.masks(source, evaluation.first_frame)
    wanted = set(masks) if evaluation.annotated_only and files.wanted is None else files.wanted
    absent = sorted(set(wanted or ()) - set(source.names))
    if absent:
        raise FileNotFoundError(
            f"video {source.path} lacks {len(absent)} frames that are to be written: {some(absent)}."
        )
    rules = {"binary": evaluation.binary, "enlarge": evaluation.enlarge}
    video = Video(name, source, masks, rule=evaluation.rule, wanted=wanted, **rules)
    video.objects = files.objects
    return video


def _mark_last(items: Iterator[tuple[str, np.ndarray]]) -> Iterator[tuple[tuple[str, np.ndarray], bool]]:
    for item in items:
        for following in items:
            yield item, False
            item = following
        yield item, True


def _describe(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
