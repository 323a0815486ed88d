"""Training clips from static pictures (stage 0): every frame is the same picture, warped on its own."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.clip import Clip, ClipRequest
from dataset.disk.frames import read_reduced
from dataset.disk.layout import StaticSet, static_sets
from dataset.disk.proposals import STATIC_NAME, check_proposals, read_proposals
from dataset.train.pairs import draw_pairing, uses_proposals
from dataset.train.render import attempts, render_clip, visible_objects
from dataset.train.transforms import draw_transforms, warp_mask
from util.config.data import Augmentation, ClipConfig
from util.config.train import CorrespondenceConfig
from util.files.palette import count_ids, read_mask
from util.files.picture import open_picture

logger = logging.getLogger(__name__)

# Published: the two small sets of fine masks count five times.
WEIGHTS = {"BIG_small": 5, "HRSOD_small": 5}


@dataclass(frozen=True, kw_only=True)
class StaticSource:
    """Pictures `x.jpg` with masks `x.png`.

    A grey mask that reaches 255 marks one object, with soft edges or without. Any other holds ids: with several, one
    region, drawn anew for every clip, becomes the object.

    Attributes:
        name: for messages.
        folder: which holds the pictures, or their folders.
        pictures: at least one; the mask lies beside each.
        weight: how often a pass shows each picture.
    """

    name: str
    folder: Path
    pictures: Sequence[Path]
    weight: int = 1

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.pictures)

    def alike(self, video: int) -> range:
        """Return the numbers under which the same picture can be requested: it has one."""
        return range(video, video + 1)

    def load(
        self,
        request: ClipRequest,
        config: ClipConfig,
        augmentation: Augmentation,
        correspondence: CorrespondenceConfig | None = None,
    ) -> Clip:
        """Read and augment the clip of a request; if no object is in sight, draw again as `VideoSource.load`.

        Any two neighbours pass as successive frames: with `correspondence`, one pair of them is warped alike.

        Raises ValueError when no picture gives a clip, and when a file can't be used.
        """
        for index, redraws, rng in attempts(request, len(self)):
            picture = self.pictures[index]
            mask = read_static_mask(picture.with_suffix(".png"))
            region = _draw_region(rng, mask)
            mask = (mask == region).astype(np.uint8) if region else np.zeros_like(mask, np.uint8)
            size = (mask.shape[0], mask.shape[1])
            transforms = draw_transforms(rng, augmentation, size, config.frames, static=True)
            if visible_objects(warp_mask(mask, transforms[0]), config.min_object_pixels):
                break
            if redraws % 5 == 4:
                logger.info("%s: no object in 5 crops; taking the next picture", picture)
        else:
            raise ValueError(f"data set {self.name}: no picture has an object. Check its masks.")
        pairing = None
        if correspondence is not None:
            transforms, pairing = draw_pairing(rng, range(config.frames), transforms, augmentation, correspondence)
        if pairing is not None and uses_proposals(correspondence):
            (found,) = read_proposals(self.folder, STATIC_NAME, [self._listed_name(picture)], size)
            pairing = pairing._replace(proposals=(found, found))
        return render_clip(
            lambda t, reduction: read_reduced(picture, reduction),
            [mask] * config.frames,
            transforms,
            [1],
            seed=request.seed,
            name=f"{self.name}/{picture.stem}",
            redraws=redraws,
            pairing=pairing,
        )

    def check_proposals(self) -> None:
        """See that there are object proposals for every picture.

        Raises FileNotFoundError and ValueError as `dataset.disk.proposals.check_proposals`.
        """
        check_proposals(self.folder, {STATIC_NAME: [self._listed_name(picture) for picture in self.pictures]})

    def _listed_name(self, picture: Path) -> str:
        return picture.relative_to(self.folder).as_posix()


def read_static_mask(path: Path) -> np.ndarray:
    """Read a static picture's mask as ids [H,W]; grey masks that reach 255 are cut at one half and give id 1.

    Raises FileNotFoundError and ValueError as `util.files.palette.read_mask`.
    """
    if path.is_file():
        try:
            with open_picture(path) as image:
                if image.mode in ("L", "LA"):
                    grey = np.asarray(image.getchannel(0))
                    if grey.max() == 255:
                        return (grey >= 128).astype(np.uint8)
        except (OSError, SyntaxError, ValueError):
            pass  # read_mask meets the same damage and explains it
    return read_mask(path)


def find_static(root: Path, weight: int = 1) -> list[StaticSource]:
    """Find the sets of static pictures in a folder: the folder itself, or each of its folders.

    A set is flat (`x.jpg` and `x.png` side by side) or has a folder for every class (FSS-1000).

    Args:
        root: the folder.
        weight: how often a pass shows each picture; for sets in `WEIGHTS` so many times more.

    Raises:
        FileNotFoundError: when the folder, or the mask of a picture, is missing.
        ValueError: when there is no picture.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"static pictures: folder {root} does not exist. Expected sets of x.jpg with x.png; give its place with "
            "--static_root."
        )
    sources = [source for source in (_open_set(found, weight) for found in static_sets(root)) if len(source)]
    if not sources:
        raise ValueError(f"static pictures: {root} holds no x.jpg, neither flat nor in folders. Check --static_root.")
    return sources


def _open_set(found: StaticSet, weight: int) -> StaticSource:
    pictures = found.pictures()
    for picture in pictures:
        if not picture.with_suffix(".png").is_file():
            raise FileNotFoundError(f"picture {picture} has no mask: expected {picture.with_suffix('.png')}.")
    return StaticSource(
        name=found.name,
        folder=found.folder,
        pictures=tuple(pictures),
        weight=weight * WEIGHTS.get(found.name, 1),
    )


def _draw_region(rng: np.random.Generator, mask: np.ndarray) -> int:
    """Draw an id; among several, one that covers between 1 % and 60 % of the picture if there is one. 0 for none."""
    counts = count_ids(mask)
    counts[0] = 0
    ids = np.flatnonzero(counts)
    share = counts[ids] / mask.size
    fit = ids[(share >= 0.01) & (share <= 0.6)]
    pool = fit if len(ids) > 1 and len(fit) else ids
    return int(rng.choice(pool)) if len(pool) else 0
