"""The data sets of a run: published ones by name, a user's own by flags or a TOML file.

A new one is a row of `TRAINING_SETS`; where it has a layout of its own, also a finder as in `recent_videos`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from dataset.clip import Clip, ClipRequest
from dataset.disk.layout import davis_base
from dataset.sample.sample import make_sample
from dataset.train.pairs import uses_proposals
from dataset.train.pictures import find_static
from dataset.train.recent_videos import find_burst, find_partly, find_sav, find_vost
from dataset.train.user_sources import UserSource, user_sources
from dataset.train.videos import VideoSource, find_videos
from util.config.data import Augmentation, ClipConfig, DataConfig
from util.config.train import CorrespondenceConfig

logger = logging.getLogger(__name__)

YOUTUBE_INTERVAL = 5  # YouTube-VOS is annotated on every fifth frame


class Source(Protocol):
    """A data set that answers requests."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def weight(self) -> int:
        """How often a pass shows each video."""

    def __len__(self) -> int:
        """Return the number of videos that can be requested; some count one more than once."""

    def alike(self, video: int) -> range:
        """Return the numbers, one after the other, under which the same video can be requested."""

    def load(
        self,
        request: ClipRequest,
        config: ClipConfig,
        augmentation: Augmentation,
        correspondence: CorrespondenceConfig | None = None,
    ) -> Clip:
        """Return the clip of a request, with what `correspondence` needs if it is given."""

    def check_proposals(self) -> None:
        """Raise FileNotFoundError or ValueError unless there are object proposals for every frame."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a run takes of a training set.

    Attributes:
        root: the set's folder.
        weight: how often a pass shows each video or picture.
        interval: frames of the original video from one annotated frame to the next.
        listed: a file that names the videos to train on; None for the set's own list.
        by_frame: a pass shows each video as often as it has frames; times `weight`.
        frames: length of the clips.
        stage: of the run.
    """

    root: Path
    weight: int = 1
    interval: int = 1
    listed: Path | None = None
    by_frame: bool = False
    frames: int = 1
    stage: str = "2"


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A row of the table of training sets.

    Attributes:
        choose: reads the set's own flags; --set_roots, --set_weights and --set_intervals come on top.
        open: finds the videos or pictures, from the set's name and the choice.
    """

    choose: Callable[[DataConfig], Choice]
    open: Callable[[str, Choice], Sequence[Source]]


def open_videos(name: str, choice: Choice) -> list[Source]:
    """Open videos in DAVIS's or YouTube-VOS's layout."""
    found = find_videos(
        name,
        choice.root,
        frames=choice.frames,
        weight=choice.weight,
        interval=choice.interval,
        listed=choice.listed,
    )
    return [replace(found, by_frame=choice.by_frame)]


def open_with(find: Callable[[str, Path, int], VideoSource]) -> Callable[[str, Choice], Sequence[Source]]:
    """Return what opens videos in a layout of their own."""

    def opened(name: str, choice: Choice) -> Sequence[Source]:
        if choice.listed is not None:
            raise ValueError(f"data set {name} takes no list of one's own.")
        found = find(name, choice.root, choice.frames)
        return [replace(found, weight=choice.weight, interval=choice.interval, by_frame=choice.by_frame)]

    return opened


def open_sav(name: str, choice: Choice) -> Sequence[Source]:
    """Open SA-V's training set, each video once a pass: its files would have to be read to count their frames."""
    if choice.by_frame:
        logger.warning(
            "%s: each of its videos counts once, not by its frames; --set_weights %s=N changes it", name, name
        )
    return open_with(find_sav)(name, replace(choice, by_frame=False))


def open_pictures(name: str, choice: Choice) -> Sequence[Source]:
    """Open sets of static pictures, each under its folder's name."""
    return find_static(choice.root, weight=choice.weight)


def open_sample(name: str, choice: Choice) -> Sequence[Source]:
    """Open the generated sample data, made where it is missing: in stage 0 its static pictures, else its videos."""
    root = make_sample(choice.root)
    if choice.stage == "0":
        return find_static(root / "static", weight=choice.weight)
    return open_videos(name, replace(choice, root=davis_base(root, "train")))


TRAINING_SETS: dict[str, TrainingSet] = {
    "davis": TrainingSet(
        choose=lambda data: Choice(
            root=data.davis_root, weight=data.davis_weight, interval=data.davis_interval, listed=data.davis_list
        ),
        open=open_videos,
    ),
    "youtube": TrainingSet(
        choose=lambda data: Choice(
            root=data.youtube_root,
            weight=data.youtube_weight,
            interval=YOUTUBE_INTERVAL,
            listed=data.youtube_list,
        ),
        open=open_videos,
    ),
    "mose": TrainingSet(
        choose=lambda data: Choice(root=data.mose_root, weight=data.mose_weight, interval=data.mose_interval),
        open=open_videos,
    ),
    "bl30k": TrainingSet(choose=lambda data: Choice(root=data.bl30k_root), open=open_videos),
    "static": TrainingSet(choose=lambda data: Choice(root=data.static_root), open=open_pictures),
    "sample": TrainingSet(choose=lambda data: Choice(root=data.sample_root), open=open_sample),
    # No flags of their own: --set_roots, --set_weights, --set_intervals.
    "mose2": TrainingSet(choose=lambda data: Choice(root=Path("data/MOSEv2/train"), interval=5), open=open_videos),
    "lvos": TrainingSet(
        choose=lambda data: Choice(root=Path("data/LVOS/train"), interval=5), open=open_with(find_partly)
    ),
    "lvos2": TrainingSet(
        choose=lambda data: Choice(root=Path("data/LVOSv2/train"), interval=5), open=open_with(find_partly)
    ),
    "vost": TrainingSet(choose=lambda data: Choice(root=Path("data/VOST"), interval=6), open=open_with(find_vost)),
    "burst": TrainingSet(choose=lambda data: Choice(root=Path("data/BURST"), interval=5), open=open_with(find_burst)),
    "ovis": TrainingSet(choose=lambda data: Choice(root=Path("data/OVIS-VOS-train"), interval=3), open=open_videos),
    "sav": TrainingSet(choose=lambda data: Choice(root=Path("data/SA-V/sav_train"), interval=4), open=open_sav),
}


def find_sources(
    data: DataConfig, frames: int, stage: str, correspondence: CorrespondenceConfig | None = None
) -> list[Source]:
    """Find the data sets of a run.

    Args:
        data: which ones, and where.
        frames: length of the clips.
        stage: of the run; in stage 0 the sample data are its static pictures.
        correspondence: of the run; what its losses need must be there too.

    Raises:
        FileNotFoundError: when a root is missing, or object proposals that are wanted.
        ValueError: for an unknown name, an empty root, weights and intervals that make no sense, or proposals that do
            not fit the data.
    """
    sources: list[Source] = []
    changes = _changes(data)
    for name in data.dataset:
        if name not in TRAINING_SETS:
            raise ValueError(
                f"unknown training set {name!r}: expected {', '.join(TRAINING_SETS)}, or --user_roots or "
                "--user_sources."
            )
        usual = replace(TRAINING_SETS[name].choose(data), frames=frames, stage=stage, by_frame=data.by_frame)
        choice = replace(usual, **changes.get(name, {}))
        sources.extend(TRAINING_SETS[name].open(name, choice))
    for user in user_sources(data):
        sources.extend(_open_user_source(user, frames))
    if not sources:
        raise ValueError("no training set: give --dataset, --user_roots or --user_sources.")
    for source in sources:
        if uses_proposals(correspondence):
            source.check_proposals()
        logger.info("%s: %d to train on, weight %d", source.name, len(source), source.weight)
    return sources


def _changes(data: DataConfig) -> dict[str, dict[str, Any]]:
    """Read --set_roots, --set_weights and --set_intervals: what they change of a set's `Choice`, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for field, words in (("root", data.set_roots), ("weight", data.set_weights), ("interval", data.set_intervals)):
        for word in words:
            name, _, value = word.partition("=")
            if name not in data.dataset or not value:
                known = ", ".join(data.dataset) or "none"
                raise ValueError(f"--set_{field}s {word}: expected NAME=VALUE, a name of --dataset ({known}).")
            if field != "root" and (not value.isdecimal() or int(value) < 1):
                raise ValueError(f"--set_{field}s {word}: expected an integer >= 1 after the name.")
            found.setdefault(name, {})[field] = Path(value) if field == "root" else int(value)
    return found


def _open_user_source(user: UserSource, frames: int) -> list[Source]:
    name = user.name or user.root.resolve().name
    if user.kind == "static":
        return [*find_static(user.root, weight=user.weight)]
    return [find_videos(name, user.root, frames=frames, weight=user.weight, interval=user.interval, listed=user.list)]
