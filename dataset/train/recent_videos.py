"""Training videos of LVOS, VOST, BURST and SA-V, whose masks are not a PNG of ids for every frame."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from dataset.disk.burst import read_burst
from dataset.disk.frames import VideoFileFrames, list_images, read_reduced, reduce_picture
from dataset.disk.layout import burst_part, first_file, plain_part, require_folder, vost_part
from dataset.disk.lists import read_names
from dataset.disk.masks import RunLengthMasks, VoidMask
from dataset.disk.sav import MANUAL, SAV_STEP, film_of, masklet_files, read_masklets
from dataset.disk.seek import FilmReader
from dataset.train.stored import ClipVideo, TrainingVideo, open_training_video
from dataset.train.videos import VideoSource, keep_long


@dataclass(frozen=True, kw_only=True)
class VoidVideo(TrainingVideo):
    """A video in whose masks 255 is not annotated (VOST): it is trained on as background."""

    def read_mask(self, index: int) -> np.ndarray:
        """Read a frame's ids [H,W]."""
        return VoidMask(self.annotations / self.masks[index]).read()


@dataclass(frozen=True, kw_only=True)
class RunLengthVideo(TrainingVideo):
    """A video whose masks are run lengths in one file for the whole set (BURST); `stored` are those by frame."""

    stored: Mapping[str, RunLengthMasks]

    def mask_place(self, index: int) -> str:
        """Return where a frame's mask is."""
        return str(self.stored[self.masks[index]])

    def read_mask(self, index: int) -> np.ndarray:
        """Decode a frame's ids [H,W]."""
        return self.stored[self.masks[index]].read()


@dataclass(frozen=True, kw_only=True)
class SavVideo:
    """A video of SA-V's training set: a film, or its frames in a folder, and masklets in a JSON file.

    The files are opened when a clip is drawn: the set has 50,000.

    Attributes:
        name: the video's.
        images: the film, or the folder of its frames 00000.jpg, 00001.jpg, ...
        annotations: the JSON file.
    """

    name: str
    images: Path
    annotations: Path

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of the annotated frames."""
        return tuple(f"{SAV_STEP * number:05d}" for number in range(len(read_masklets(self.annotations).masks)))

    def read_frame(self, index: int, reduction: int) -> np.ndarray:
        """Read an annotated frame as [h,w,3] uint8 RGB."""
        number = SAV_STEP * index
        if self.images.is_dir():
            return read_reduced(self.images / f"{number:05d}.jpg", reduction)
        return reduce_picture(_film(self.images).read(number), reduction)

    def mask_place(self, index: int) -> str:
        """Return where a frame's mask is."""
        return str(read_masklets(self.annotations).masks[index])

    def read_mask(self, index: int) -> np.ndarray:
        """Decode a frame's ids [H,W]: 1, 2, ... in the order of the masklets."""
        return read_masklets(self.annotations).masks[index].read()


@dataclass(frozen=True, kw_only=True)
class UnsearchedSource(VideoSource):
    """Videos whose frames scripts/extract_proposals.py does not know."""

    def check_proposals(self) -> None:
        """Raise ValueError: there are none."""
        raise ValueError(
            f"data set {self.name} has no object proposals: compare annotated objects, --ocl_objects manual."
        )


def find_partly(name: str, root: Path, frames: int) -> VideoSource:
    """Find videos in JPEGImages with Annotations, of which only annotated frames count: LVOS's objects enter late.

    Raises:
        FileNotFoundError: when a folder is missing.
        ValueError: when no video has so many annotated frames.
    """
    part = plain_part(root)
    require_folder(part.frames, f"data set {name}", f"Give its place with --set_roots {name}=FOLDER.")
    assert part.masks is not None
    videos = [open_training_video(part.frames / video, part.masks / video, partly=True) for video in part.videos()]
    return VideoSource(name=name, videos=keep_long(name, videos, frames, part.frames))


def find_vost(name: str, root: Path, frames: int) -> VideoSource:
    """Find the videos of VOST's training list, at 5 frames a second; errors as `find_partly`."""
    part = vost_part(root)
    require_folder(part.frames, f"data set {name}", f"Give its place with --set_roots {name}=FOLDER.")
    listed = next(path for path in part.lists if path.stem == "train")
    if not listed.is_file():
        raise FileNotFoundError(f"data set {name}: list {listed} does not exist. It comes with the data set.")
    assert part.masks is not None
    plain = [open_training_video(part.frames / video, part.masks / video) for video in read_names(listed)]
    videos = [VoidVideo(**{field.name: getattr(video, field.name) for field in fields(video)}) for video in plain]
    return VideoSource(name=name, videos=keep_long(name, videos, frames, part.frames))


def find_burst(name: str, root: Path, frames: int) -> VideoSource:
    """Find BURST's training sequences: of frames/train those that train/train.json annotates.

    Raises:
        FileNotFoundError: when the folder, the file or frames of a sequence are missing.
        ValueError: when the file is not BURST's, or no sequence has so many annotated frames.
    """
    part = burst_part(root, "train")
    require_folder(part.frames, f"data set {name}", f"Give its place with --set_roots {name}=FOLDER.")
    assert part.masks is not None
    path = first_file(part.masks / "train.json", part.masks / "all_classes.json")
    if path is None:
        raise FileNotFoundError(f"data set {name}: {part.masks} holds no train.json. Unpack BURST's annotations there.")
    videos = []
    for video, sequence in read_burst(path).sequences.items():
        folder = part.frames / sequence.dataset / sequence.sequence
        files = {stem: file.name for stem, file in list_images(folder).items() if stem in sequence.masks}
        missing = [stem for stem in sequence.masks if stem not in files]
        if missing:
            raise FileNotFoundError(
                f"data set {name}: {folder} lacks {len(missing)} of {len(sequence.masks)} annotated frames, such as "
                f"{missing[0]}. Complete the frames, or take the sequence out of {path}."
            )
        videos.append(
            RunLengthVideo(
                name=video,
                images=folder,
                annotations=path,
                frames=tuple(files[stem] for stem in sequence.masks),
                masks=tuple(sequence.masks),
                stored=sequence.masks,
            )
        )
    return UnsearchedSource(name=name, videos=keep_long(name, videos, frames, part.frames))


def find_sav(name: str, root: Path, frames: int) -> VideoSource:
    """Find SA-V's training videos: every VIDEO_manual.json with VIDEO.mp4, or its frames in a folder VIDEO, beside it.

    Nothing is opened: a video with fewer annotated frames than a clip is met when it is drawn.

    Raises:
        FileNotFoundError: when the folder, or a video's film, is missing.
        ValueError: when there is no annotation.
    """
    require_folder(root, f"data set {name}", f"Give its place with --set_roots {name}=FOLDER.")
    videos: list[ClipVideo] = []
    for path in masklet_files(root):
        video = path.name.removesuffix(MANUAL)
        images = film_of(path)
        if images is None:
            raise FileNotFoundError(f"data set {name}: {path} has no film: expected {video}.mp4 beside it.")
        videos.append(SavVideo(name=video, images=images, annotations=path))
    if not videos:
        raise ValueError(f"data set {name}: {root} holds no *{MANUAL}. Unpack SA-V's training archives there.")
    return UnsearchedSource(name=name, videos=tuple(videos))


@lru_cache(maxsize=2)
def _film(path: Path) -> FilmReader:
    return FilmReader(VideoFileFrames(path))
