"""The data sets of a run: published ones by name, a user's own by flags or a TOML file."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from dataset.clip import Clip, ClipRequest
from dataset.sample.sample import make_sample
from dataset.train.pairs import uses_proposals
from dataset.train.pictures import find_static
from dataset.train.videos import find_videos
from util.config.data import Augmentation, ClipConfig, DataConfig
from util.config.train import CorrespondenceConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

logger = logging.getLogger(__name__)

YOUTUBE_INTERVAL = 5  # YouTube-VOS is annotated on every fifth frame
DATASETS = ("davis", "youtube", "mose", "bl30k", "static", "sample")


class Source(Protocol):
    """A data set that answers requests."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def weight(self) -> int:
        """How often a pass shows each video."""

    def __len__(self) -> int:
        """Return the number of videos."""

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
class UserSource:
    """A user's own data.

    Attributes:
        root: its folder.
        name: for messages; by default the folder's name.
        kind: videos in DAVIS layout, or static pictures `x.jpg` with `x.png`.
        weight: how often a pass shows each video or picture.
        interval: frames of the original video from one annotated frame to the next.
        list: a file with the names of the videos to train on, one on each line.
    """

    root: Path
    name: str = ""
    kind: str = "videos"
    weight: int = 1
    interval: int = 1
    list: Path | None = None


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
    published = _published(data, frames, stage)
    sources: list[Source] = []
    for name in data.dataset:
        if name not in published:
            raise ValueError(
                f"unknown training set {name!r}: expected {', '.join(DATASETS)}, or --user_roots or --user_sources."
            )
        sources.extend(published[name]())
    for user in (*_from_flags(data), *([] if data.user_sources is None else read_user_sources(data.user_sources))):
        sources.extend(_open_user_source(user, frames))
    if not sources:
        raise ValueError("no training set: give --dataset, --user_roots or --user_sources.")
    for source in sources:
        if uses_proposals(correspondence):
            source.check_proposals()
        logger.info("%s: %d to train on, weight %d", source.name, len(source), source.weight)
    return sources


def read_user_sources(path: Path) -> list[UserSource]:
    """Read a user's sources from a TOML file.

    Each is a table `[[source]]` with the attributes of `UserSource`; `root` is required. Relative paths start at the
    file's folder.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no TOML, has no source, or one with a wrong key or value.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--user_sources: {path} does not exist: expected a TOML file with [[source]] tables.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error
    tables = content.get("source")
    if not isinstance(tables, list) or not tables or set(content) != {"source"}:
        raise ValueError(
            f"{path}: expected [[source]] tables and nothing else, received {', '.join(content) or 'nothing'}."
        )
    return [_user_source(table, f"{path}, source {number}", path.parent) for number, table in enumerate(tables, 1)]


def _published(data: DataConfig, frames: int, stage: str) -> dict[str, Callable[[], list[Source]]]:
    """Return how to find each set, by name: only those that are wanted need to exist."""

    def videos(name: str, root: Path, weight: int = 1, interval: int = 1, listed: Path | None = None) -> list[Source]:
        return [find_videos(name, root, frames=frames, weight=weight, interval=interval, listed=listed)]

    def sample() -> list[Source]:
        root = make_sample(data.sample_root)
        return [*find_static(root / "static")] if stage == "0" else videos("sample", root / "trainval")

    return {
        "davis": lambda: videos("davis", data.davis_root, data.davis_weight, listed=data.davis_list),
        "youtube": lambda: videos(
            "youtube", data.youtube_root, data.youtube_weight, YOUTUBE_INTERVAL, data.youtube_list
        ),
        "mose": lambda: videos("mose", data.mose_root, data.mose_weight, data.mose_interval),
        "bl30k": lambda: videos("bl30k", data.bl30k_root),
        "static": lambda: [*find_static(data.static_root)],
        "sample": sample,
    }


def _from_flags(data: DataConfig) -> list[UserSource]:
    roots = data.user_roots
    weights = _for_each(data.user_weights, roots, "--user_weights")
    intervals = _for_each(data.user_intervals, roots, "--user_intervals")
    return [
        UserSource(root=root, weight=weight, interval=interval)
        for root, weight, interval in zip(roots, weights, intervals, strict=True)
    ]


def _for_each(values: tuple[int, ...], roots: tuple[Path, ...], flag: str) -> tuple[int, ...]:
    if not values:
        return (1,) * len(roots)
    if len(values) != len(roots) or min(values) < 1:
        raise ValueError(f"{flag} {values}: expected {len(roots)} integers >= 1, one for each of --user_roots.")
    return values


def _user_source(table: Any, where: str, folder: Path) -> UserSource:
    known = [item.name for item in fields(UserSource)]
    unknown = sorted(set(table) - set(known)) if isinstance(table, dict) else [str(table)]
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; expected {', '.join(known)}.")
    for name, value in table.items():
        number = name in ("weight", "interval")
        if number and (type(value) is not int or value < 1):
            raise ValueError(f"{where}: {name} = {value!r}: expected an integer >= 1.")
        if not number and not isinstance(value, str):
            raise ValueError(f"{where}: {name} = {value!r}: expected a text in quotes.")
    if "root" not in table:
        raise ValueError(f"{where}: root is missing: expected the folder of the data.")
    if table.get("kind", "videos") not in ("videos", "static"):
        raise ValueError(f"{where}: kind = {table['kind']!r}: expected 'videos' or 'static'.")
    return UserSource(**{name: folder / value if name in ("root", "list") else value for name, value in table.items()})


def _open_user_source(user: UserSource, frames: int) -> list[Source]:
    name = user.name or user.root.resolve().name
    if user.kind == "static":
        return [*find_static(user.root, weight=user.weight)]
    return [find_videos(name, user.root, frames=frames, weight=user.weight, interval=user.interval, listed=user.list)]
