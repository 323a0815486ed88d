"""Training clips from annotated videos: DAVIS, YouTube-VOS, and any root in their layout."""

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from dataset.clip import Clip, ClipRequest
from dataset.disk.layout import Part, proposals_folder, training_part
from dataset.disk.lists import read_training_list, read_video_list
from dataset.disk.proposals import check_proposals, read_proposals
from dataset.train.pairs import draw_pairing, uses_proposals
from dataset.train.render import attempts, render_clip, visible_objects
from dataset.train.sampling import draw_frames, draw_objects, draw_successive_frames
from dataset.train.stored import ClipVideo, open_training_video
from dataset.train.transforms import draw_transforms, warp_mask
from util.config.data import Augmentation, ClipConfig
from util.config.train import CorrespondenceConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VideoSource:
    """Annotated videos of one data set.

    Attributes:
        name: for messages.
        videos: at least one.
        weight: how often a pass shows each video.
        interval: frames of the original video from one annotated frame to the next (YouTube-VOS: 5).
        single_object: everything that is not zero in a mask is one object (DAVIS-2016).
        listed: the file that named the videos, if it is not the data set's own.
        by_frame: a pass shows each video as often as it has frames (Cutie), not once; times `weight`.
    """

    name: str
    videos: Sequence[ClipVideo]
    weight: int = 1
    interval: int = 1
    single_object: bool = False
    listed: Path | None = None
    by_frame: bool = False

    def __len__(self) -> int:
        """Return the number of videos, or of all their frames if these count."""
        return self._ends[-1] if self.by_frame else len(self.videos)

    def alike(self, video: int) -> range:
        """Return the numbers under which the same video can be requested: if frames count, one for each of them."""
        if not self.by_frame:
            return range(video, video + 1)
        index = bisect_right(self._ends, video)
        return range(self._ends[index - 1] if index else 0, self._ends[index])

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(video.frames) for video in self.videos))

    def load(
        self,
        request: ClipRequest,
        config: ClipConfig,
        augmentation: Augmentation,
        correspondence: CorrespondenceConfig | None = None,
    ) -> Clip:
        """Draw, read and augment the clip of a request, with what `correspondence` needs if it is given.

        If the first frame's crop holds no object, other frames and another crop are drawn; after five tries the next
        video of the source is taken, which the log says.

        Raises ValueError when no video gives a clip, and when a file can't be used.
        """
        if self.by_frame:
            request = replace(request, video=bisect_right(self._ends, request.video))
        for index, redraws, rng in attempts(request, len(self.videos)):
            video = self.videos[index]
            frames = request.frames or self._draw_frames(rng, video, config, request.max_gap, correspondence)
            first = self._read_mask(video, frames[0])
            size = (first.shape[0], first.shape[1])
            transforms = draw_transforms(rng, augmentation, size, len(frames), static=False)
            ids = visible_objects(warp_mask(first, transforms[0]), config.min_object_pixels)
            if ids:
                break
            self._report_empty(video, frames)
            following = self.videos[(index + 1) % len(self.videos)].name
            if redraws % 5 == 4:
                logger.info("%s/%s: no object in 5 drawn first frames; taking %s", self.name, video.name, following)
        else:
            raise ValueError(f"data set {self.name}: no video has a frame with an object. Check its masks.")
        objects, pairing = draw_objects(rng, ids, config.max_objects), None
        if correspondence is not None:
            min_gap = self._min_gap(correspondence)
            transforms, pairing = draw_pairing(rng, frames, transforms, augmentation, correspondence, min_gap)
        if pairing is not None and uses_proposals(correspondence):
            names = [Path(video.frames[frames[t]]).stem for t in (pairing.pair, pairing.anchor)]
            found = read_proposals(proposals_folder(video.images.parent), video.name, names, size)
            pairing = pairing._replace(proposals=tuple(found))
        return render_clip(
            lambda t, reduction: video.read_frame(frames[t], reduction),
            [first, *(self._read_mask(video, i, size) for i in frames[1:])],
            transforms,
            objects,
            seed=request.seed,
            name=self._describe(video, frames),
            redraws=redraws,
            pairing=pairing,
        )

    def check_proposals(self) -> None:
        """See that there are object proposals for every frame.

        Raises FileNotFoundError and ValueError as `dataset.disk.proposals.check_proposals`.
        """
        frames = {video.name: [Path(frame).stem for frame in video.frames] for video in self.videos}
        check_proposals(proposals_folder(self.videos[0].images.parent), frames, self.listed)

    def _draw_frames(
        self,
        rng: np.random.Generator,
        video: ClipVideo,
        config: ClipConfig,
        max_gap: int,
        correspondence: CorrespondenceConfig | None,
    ) -> tuple[int, ...]:
        gap = max(max_gap // self.interval, 1)
        if correspondence is None or correspondence.released:
            return draw_frames(rng, len(video.frames), config.frames, gap, config.reverse)
        min_gap = self._min_gap(correspondence)
        return draw_successive_frames(rng, len(video.frames), config.frames, gap, config.reverse, min_gap)

    def _min_gap(self, correspondence: CorrespondenceConfig) -> int:
        return -(-correspondence.min_gap // self.interval)  # rounded up

    def _describe(self, video: ClipVideo, frames: Sequence[int]) -> str:
        return f"{self.name}/{video.name} frames {', '.join(Path(video.frames[i]).stem for i in frames)}"

    def _report_empty(self, video: ClipVideo, frames: Sequence[int]) -> None:
        # A crop often misses the objects; masks that hold none are worth a line.
        if not any(self._read_mask(video, i).any() for i in frames):
            logger.info("%s: no mask holds an object; drawing another clip", self._describe(video, frames))

    def _read_mask(self, video: ClipVideo, index: int, size: tuple[int, int] | None = None) -> np.ndarray:
        mask = video.read_mask(index)
        if size is not None and mask.shape != size:
            raise ValueError(
                f"mask {video.mask_place(index)} is {mask.shape[0]}x{mask.shape[1]} (height x width), others of its "
                f"video are {size[0]}x{size[1]}. All masks of a video must have the same size."
            )
        return (mask > 0).astype(np.uint8) if self.single_object else mask


def find_videos(
    name: str,
    root: Path,
    *,
    frames: int,
    weight: int = 1,
    interval: int = 1,
    single_object: bool | None = None,
    listed: Path | None = None,
) -> VideoSource:
    """Find the training videos of a root in DAVIS or YouTube-VOS layout.

    The layout is `JPEGImages/VIDEO` and `Annotations/VIDEO`, or the same below a folder `480p`. The videos are those
    that `listed` names, else of ImageSets/2017/train.txt, else 2016/train.txt, else 480p/train.txt (the 2016
    release's list), else all.

    Args:
        name: for messages.
        root: the folder that holds JPEGImages and Annotations.
        frames: length of the clips to draw; shorter videos are left out, which the log says.
        weight: how often a pass shows each video.
        interval: frames of the original video between two annotated ones.
        single_object: whether everything that is not zero is one object; None: yes if only a 2016 list is there.
        listed: a file with a video's name on each line.

    Raises:
        FileNotFoundError: when the root, its folders, the list, a listed video, or the mask of a frame are missing.
        ValueError: when nothing is left to train on.
    """
    part = _training_part(name, root)
    images, annotations = part.frames, part.masks
    assert annotations is not None
    names, release = read_training_list(part.lists) or (part.videos(), None)
    if listed is not None:
        names = read_video_list(f"data set {name}: list", listed, str(images), lambda video: (images / video).is_dir())
    videos = [open_training_video(images / video, annotations / video) for video in names]
    return VideoSource(
        name=name,
        videos=keep_long(name, videos, frames, images),
        weight=weight,
        interval=interval,
        single_object=release in ("2016", "480p") if single_object is None else single_object,
        listed=listed,
    )


def keep_long(name: str, videos: Sequence[ClipVideo], frames: int, place: Path) -> tuple[ClipVideo, ...]:
    """Return the videos of at least so many frames; the log says how many are left out, ValueError if all are."""
    long_enough = tuple(video for video in videos if len(video.frames) >= frames)
    if not long_enough:
        raise ValueError(
            f"data set {name}: {place} holds no video of at least {frames} frames ({len(videos)} videos in all). "
            "Check the root, or ask for shorter clips with --frames."
        )
    if len(long_enough) < len(videos):
        logger.warning(
            "%s: %d videos with less than %d frames are left out", name, len(videos) - len(long_enough), frames
        )
    return long_enough


def _training_part(name: str, root: Path) -> Part:
    if not root.is_dir():
        raise FileNotFoundError(
            f"data set {name}: folder {root} does not exist. Expected a folder with JPEGImages and Annotations; "
            "give its place, e.g. with --davis_root."
        )
    part = training_part(root)
    if part is None:
        found = ", ".join(sorted(entry.name for entry in root.iterdir())[:5]) or "nothing"
        raise FileNotFoundError(
            f"data set {name}: {root} lacks JPEGImages or Annotations; found: {found}. "
            "Give the folder that holds both, with a folder for every video in each."
        )
    return part
