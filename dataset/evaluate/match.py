"""Which mask belongs to which frame."""

from pathlib import Path

from dataset.disk.films import VideoFileFrames
from dataset.disk.frames import FrameSource, list_images


def match_masks(source: FrameSource, folder: Path, *, first_frame: bool = False) -> dict[str, Path]:
    """Return a folder's mask files by the names of their frames, in the frames' order.

    With `first_frame` there must be one for the first frame, and others may lack theirs.

    Raises:
        FileNotFoundError: when there is no such folder.
        ValueError: when it holds no mask, or one whose name is that of no frame.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"masks {folder} of video {source.path} do not exist: expected a folder of PNGs.")
    files = list_images(folder)
    if not files:
        raise ValueError(f"no mask in {folder}: expected PNGs named like the frames in {source.path}.")
    names = source.names
    if isinstance(source, VideoFileFrames):
        files = {f"{int(stem):05d}" if stem.isdecimal() else stem: file for stem, file in files.items()}
    known = set(names)
    strangers = [file.name for stem, file in files.items() if stem not in known]
    if strangers and not first_frame:
        raise ValueError(
            f"{len(strangers)} masks in {folder} match no frame of {source.path}: {some(strangers)}. "
            f"Name each mask like its frame ({names[0]}.png ... {names[-1]}.png)."
        )
    if first_frame and names[0] not in files:
        raise ValueError(f"no mask for the first frame: {folder / names[0]}.png is missing.")
    return {name: files[name] for name in names if name in files}


def some(names: list[str]) -> str:
    """Return the first of many names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
