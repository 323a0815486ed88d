"""Draws the matches between two frames of a video as lines: right ones and wrong ones, of one or two networks.

python scripts/visualize_matches.py --checkpoint baseline.pth ours.pth --dataset d16 --video dog --gap 20
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image

from dataset.evaluate.annotated import AnnotatedFrame, AnnotatedVideo, open_annotated
from dataset.evaluate.prepare import prepare_image
from dataset.evaluate.protocols import find_evaluation_set
from inference.matches.accuracy import MatchKeys, check_settings, encode_frames, prepare_network
from inference.matches.picture import FramePair, match_picture
from model.weights import load_checkpoint
from util.cli import run
from util.device import select_device
from util.files.atomic import atomic_write


@dataclass(frozen=True, kw_only=True)
class MatchesConfig:
    """What to draw.

    Attributes:
        checkpoint: one trained network, or two: the first above (the baseline), the second below (ours).
        names: a title for each (default: the file's path).
        dataset: d16, d17, sample, or one's own videos in DAVIS-2017's layout as d17.
        split: val, or train.
        root: the data set's folder (default: its place under data/).
        video: the video's name (default: the first).
        query: the query frame's name (default: the middle one of those that have a reference).
        gap: how many frames the reference lies before it.
        size: pixels of the shorter side at which the network works; -1 is native.
        matches: lines of each network at most.
        width: width of one frame in pixels.
        device: auto, cpu, cuda, cuda:INDEX or mps.
        output: the PNG to write.
    """

    checkpoint: tuple[Path, ...]
    names: tuple[str, ...] = ()
    dataset: str = "d17"
    split: str = "val"
    root: Path | None = None
    video: str | None = None
    query: str | None = None
    gap: int = 20
    size: int = 480
    matches: int = 24
    width: int = 480
    device: str = "auto"
    output: Path = Path("matches.png")


def main(config: MatchesConfig) -> None:
    """Draw the picture and say where it is; raises ValueError or FileNotFoundError for unfit input."""
    check_settings((config.gap,), 1, config.size)
    if len(config.checkpoint) > 2:
        raise ValueError(f"--checkpoint: expected one or two networks, received {len(config.checkpoint)}.")
    names = config.names or tuple(map(str, config.checkpoint))
    if len(names) != len(config.checkpoint) or len(set(names)) < len(names):
        raise ValueError(f"--names: expected {len(config.checkpoint)} different titles, received {' '.join(names)}.")
    evaluation = find_evaluation_set(config.dataset, split=config.split, root=config.root)
    video = choose_video(open_annotated(evaluation), config.video)
    index = choose_query(video, config.query, config.gap)
    frames = video.read(index - config.gap), video.read(index)
    rows = {name: encode(config, file, frames) for name, file in zip(names, config.checkpoint, strict=True)}
    pair = FramePair(
        reference_rgb_HW3=frames[0].rgb_HW3,
        query_rgb_HW3=frames[1].rgb_HW3,
        reference_ids_HW=frames[0].ids_HW,
        query_ids_HW=frames[1].ids_HW,
        captions=(f"reference: {video.name} {frames[0].name}", f"query: {video.name} {frames[1].name}"),
    )
    picture = match_picture(pair, rows, size=config.size, matches=config.matches, width=config.width)
    with atomic_write(config.output) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", optimize=True)
    print(f"matches: {config.output}")


def choose_video(videos: list[AnnotatedVideo], name: str | None) -> AnnotatedVideo:
    """Return the video of that name, or the first; ValueError for an unknown one."""
    chosen = [video for video in videos if name in (None, video.name)]
    if not chosen:
        raise ValueError(f"--video {name}: expected one of {', '.join(video.name for video in videos)}.")
    return chosen[0]


def choose_query(video: AnnotatedVideo, name: str | None, gap: int) -> int:
    """Return the index of the query frame: that of `name`, or the middle one of all that have a reference.

    Raises:
        ValueError: when the frame is unknown, or no annotated frame lies so far before it.
    """
    known = [frame for frame in video.masks if frame - gap in video.masks]
    chosen = [frame for frame in known if name in (None, video.frames[frame].stem)]
    if chosen:
        return chosen[len(chosen) // 2]
    if not known:
        raise ValueError(
            f"--gap {gap}: video {video.name} has no two annotated frames so far apart, it has {len(video.frames)} "
            "frames: choose a smaller gap."
        )
    stems = [video.frames[frame].stem for frame in (known[0], known[-1])]
    raise ValueError(f"--query {name}: expected a frame of {video.name} from {stems[0]} to {stems[1]} at --gap {gap}.")


def encode(config: MatchesConfig, checkpoint: Path, frames: tuple[AnnotatedFrame, AnnotatedFrame]) -> MatchKeys:
    """Return a network's keys of the two frames."""
    device = select_device(config.device)
    network = prepare_network(load_checkpoint(checkpoint, device), device)
    images = torch.stack([prepare_image(frame.rgb_HW3, config.size) for frame in frames])
    return encode_frames(network, images, device)


if __name__ == "__main__":
    run(main, MatchesConfig, "visualize_matches.py", __doc__ or "")
