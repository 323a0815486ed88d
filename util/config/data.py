"""The configuration of training clips: where they come from, how they are drawn, what is done to them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from util.config.choices import Matching

Mix = Literal["published", "mega"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where training clips come from."""

    dataset: tuple[str, ...] = ("davis",)
    """Training sets, mixed: davis, youtube, mose, bl30k, static, sample, mose2, lvos, lvos2, vost, burst, ovis, sav.
    One's own: --user_roots, --user_sources."""
    data: Mix = "published"
    """published: the stage's sets, or those of --dataset. mega: Cutie's mixture of DAVIS, YouTube-VOS, MOSE, BURST and
    OVIS, with its multipliers and intervals, in stages 2 and 3."""
    by_frame: bool = False
    """A pass shows each video as often as it has frames (Cutie), not once."""
    davis_root: Path = Path("data/DAVIS/2017/trainval")
    """DAVIS-2017 or DAVIS-2016: the folder that holds JPEGImages and Annotations."""
    davis_list: Path | None = None
    """A file with the names of the videos of DAVIS to train on, one on each line; the others are left out."""
    youtube_root: Path = Path("data/YouTube/train_480p")
    """YouTube-VOS 2019: the folder that holds JPEGImages and Annotations."""
    youtube_list: Path | None = None
    """A file with the names of the videos of YouTube-VOS to train on, one on each line; the others are left out."""
    mose_root: Path = Path("data/MOSE/train")
    """MOSE: the folder that holds JPEGImages and Annotations."""
    bl30k_root: Path = Path("data/BL30K")
    """BL30K: the folder that holds JPEGImages and Annotations."""
    static_root: Path = Path("data/static")
    """Static pictures: a folder of data sets, or one data set."""
    sample_root: Path = Path("data/sample")
    """The generated sample data; made there if it is missing."""
    set_roots: tuple[str, ...] = ()
    """Where sets of --dataset lie, as NAME=FOLDER."""
    set_weights: tuple[str, ...] = ()
    """How often a pass shows sets of --dataset, as NAME=NUMBER."""
    set_intervals: tuple[str, ...] = ()
    """Frames of the original video from one annotated frame of sets of --dataset to the next, as NAME=NUMBER."""
    user_roots: tuple[Path, ...] = ()
    """More roots in DAVIS layout: JPEGImages[/480p]/VIDEO and Annotations[/480p]/VIDEO."""
    user_weights: tuple[int, ...] = ()
    """How often a pass shows each of --user_roots (default 1)."""
    user_intervals: tuple[int, ...] = ()
    """Frames of the original video from one annotated frame to the next in each of --user_roots (default 1)."""
    user_sources: Path | None = None
    """A TOML file with more sources: [[source]] with root, and if wanted name, kind, weight, interval, list."""
    davis_weight: int = 1
    """How often a pass shows DAVIS (published: 5, beside YouTube-VOS)."""
    davis_interval: int = 1
    """Frames of the original video from one frame of DAVIS to the next; the frame gap is divided by it."""
    youtube_weight: int = 1
    """How often a pass shows YouTube-VOS."""
    mose_weight: int = 1
    """How often a pass shows MOSE."""
    mose_interval: int = 5
    """Frames of the original video from one frame of MOSE to the next; the frame gap is divided by it."""
    on_bad_sample: Literal["raise", "skip"] = "raise"
    """A file that can't be read stops the run; or the next clip of its source is taken, which the log says."""
    num_workers: int = 8
    """Processes that load data, for each training process; 0 loads in the training process."""


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """How clips are drawn and used. A preset states what has no default; the other defaults are "not at all"."""

    frames: int
    """Frames of a clip."""
    memory_frames: int
    """Memory frames that a frame reads: the first, the others drawn; 0 reads all previous."""
    max_objects: int
    """Objects of a clip; of more, so many are drawn."""
    min_object_pixels: int = 0
    """Pixels of the first crop that an object must cover to count; 0 is one of 2048 of the crop's."""
    gaps: tuple[int, ...]
    """Largest distances between neighbouring frames, one after the other."""
    gap_starts: tuple[float, ...]
    """Share of the iterations from which each of --gaps holds."""
    reverse: float
    """Probability that time runs backwards."""
    plain_end: int = 0
    """Last steps of the run without rotation and shear of single frames."""
    deep_update: float = 0.0
    """Probability of a deep update of XMem's sensory memory on a frame."""
    matching: Matching = "softmax"
    """bijective: each memory element of STCN or XMem counts for its best queries alone; an experiment."""
    bijective_k: int = 4
    """So many queries; 0: all count."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range."""
        if self.min_object_pixels < 0:
            raise ValueError(f"min_object_pixels {self.min_object_pixels}: expected at least 0.")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Changes of colour and geometry, none by default.

    Jitters are largest changes of brightness, contrast, saturation and hue, the hue's in turns.
    """

    crop_size: int
    """Side of the crop in pixels."""
    crop_scale: tuple[float, float] = (1.0, 1.0)
    """Share of a video frame's area that the crop shows; drawn once per clip."""
    crop_ratio: float = 1.0
    """Largest distortion of width against height by that crop."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Scale of a static picture; drawn once per clip."""
    flip: float = 0.0
    """Probability that a clip is mirrored."""
    vertical_flip: float = 0.0
    """Probability that a clip is turned upside down by a mirror."""
    grey: float = 0.0
    """Probability that a clip is grey."""
    clip_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Colour change of a whole clip."""
    frame_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Colour change of each frame."""
    degrees: float = 0.0
    """Largest rotation of each frame."""
    shear: float = 0.0
    """Largest shear of each frame along x, in degrees."""
    frame_scale: tuple[float, float] = (1.0, 1.0)
    """Scale of each frame."""
    spline: float = 0.0
    """Probability of a thin-plate spline on a frame."""
    spline_sigma: float = 0.02
    """Standard deviation of its displacements, in halves of the crop."""
    spline_points: int = 12
    """Number of its control points."""
    paste: float = 0.0
    """Probability that an object of another clip is pasted onto a clip: as one more, before or behind its own; or where
    it has --max_objects, as background before them."""

    def __post_init__(self) -> None:
        """Raise ValueError for values out of range."""
        if self.crop_size < 16 or self.crop_size % 16:
            raise ValueError(f"crop_size {self.crop_size}: expected a multiple of 16, the stride of the networks.")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale {low} {high}: expected 0 < smallest <= largest <= 1.")
        for name in ("vertical_flip", "paste"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)}: expected a probability, 0 to 1.")

    def plain(self) -> "Augmentation":
        """Return it without what turns, shears or scales single frames, as in the last --plain_end steps."""
        return replace(self, degrees=0.0, shear=0.0, frame_scale=(1.0, 1.0))
