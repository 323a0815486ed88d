"""Miniatures of MOSE, LVOS, VOST, BURST and SA-V, each in its exact layout: moving squares, a few frames."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

from tests.support.toy_videos import HEIGHT, WIDTH, draw
from util.files.palette import write_mask

FRAMES = 9
SEQUENCES = (("LaSOT", "bear-2"), ("YFCC100M", "v_f69e"))
# Of BURST's categories one common and one that is not.
CATEGORIES = {4: "airplane", 5: "alarm clock"}


def shown(frame: int, entries: dict[int, int]) -> tuple[int, ...]:
    """The objects that are there: each from the frame that `entries` gives it."""
    return tuple(number for number, entry in entries.items() if entry <= frame)


def write_frame(path: Path, frame: int, seed: int = 0) -> None:
    """Write a JPEG that shows objects 1 and 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw(frame, (1, 2), seed)[0]).save(path, quality=95)


def ids_of(frame: int, entries: dict[int, int]) -> np.ndarray:
    """Ids [H,W] of the objects that are there."""
    ids = draw(frame, (1, 2))[1].astype(np.uint8)
    return np.where(np.isin(ids, shown(frame, entries)), ids, 0).astype(np.uint8)


def write_folders(
    base: Path, video: str, names: list[str], entries: dict[int, int], annotated: Iterable[int] | None = None
) -> None:
    """Write frames, and the masks of the frames numbered in `annotated` (default: all)."""
    for frame, name in enumerate(names):
        write_frame(base / "JPEGImages" / video / f"{name}.jpg", frame)
        if annotated is None or frame in annotated:
            write_mask(base / "Annotations" / video / f"{name}.png", ids_of(frame, entries))


def write_mose(root: Path) -> Path:
    """MOSE: valid with first masks, fully annotated train, meta files, and the junk that its archives hold."""
    names = [f"{frame:05d}" for frame in range(FRAMES)]
    for split, videos, annotated in (("valid", ("a1b2", "c3d4"), (0,)), ("train", ("e5f6",), None)):
        for video in videos:
            write_folders(root / split, video, names, {1: 0, 2: 0}, annotated)
        (root / split / "JPEGImages" / "._a1b2").write_bytes(b"junk")
        (root / split / "JPEGImages" / videos[0] / "._00000.jpg").write_bytes(b"junk")
        entry = {"length": FRAMES, "height": HEIGHT, "width": WIDTH, "objects": ["1", "2"]}
        (root / f"meta_{split}.json").write_text(json.dumps({"videos": dict.fromkeys(videos, entry)}))
    return root


def write_lvos(root: Path, valid: str = "valid") -> Path:
    """LVOS: frames 00000001, 00000006, ...; the first object enters in the second frame, the other in the fourth."""
    names, entries = [f"{1 + 5 * frame:08d}" for frame in range(FRAMES)], {1: 1, 2: 3}
    for split, videos in ((valid, ("Ab1", "Cd2")), ("test", ("Ef3",)), ("train", ("Gh4",))):
        for video in videos:
            write_folders(root / split, video, names, entries, (1, 3) if split == "test" else range(1, FRAMES))
        last = int(names[-1])
        objects = {
            str(number): {
                "frame_range": {
                    "start": str(int(names[entry])),
                    "end": str(last),
                    "frame_nums": str(FRAMES - entry),
                }
            }
            for number, entry in entries.items()
        }
        (root / split / f"{split}_meta.json").write_text(
            json.dumps({"videos": dict.fromkeys(videos, {"objects": objects})})
        )
    (root / valid / "unseen_videos.txt").write_text("Cd2\n")
    return root


def write_vost(root: Path) -> Path:
    """VOST: every sixth frame of the source; 255 along one side is not annotated; object 2 enters late."""
    names = [f"frame{6 * frame + 12:05d}" for frame in range(FRAMES)]
    for split, video in (("train", "1_cut_onion"), ("val", "2_break_egg"), ("test", "")):
        (root / "ImageSets").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / f"{split}.txt").write_text(f"{video or '3_fold_towel'}\n")
        if not video:
            continue  # the archive has no videos of the test set
        write_folders(root, video, names, {1: 0, 2: 4})
        for frame, name in enumerate(names):
            ids = ids_of(frame, {1: 0, 2: 4})
            ids[:, -3:] = 255
            write_mask(root / "Annotations" / video / f"{name}.png", ids)
            write_frame(root / "JPEGImages_10fps" / video / f"{name}.jpg", frame)
    return root


def write_sav(root: Path) -> Path:
    """SA-V val: frames at 24 a second, masks of every fourth; object 001 is a part of object 000."""
    base = root / "sav_val"
    for video in ("sav_000001", "sav_000002"):
        for frame in range(4 * FRAMES - 3):
            write_frame(base / "JPEGImages_24fps" / video / f"{frame:05d}.jpg", frame // 4)
            if frame % 4 == 0:
                for number, mask in enumerate(overlapping(frame // 4)):
                    path = base / "Annotations_6fps" / video / f"{number:03d}" / f"{frame:05d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(path)
    (base / "sav_val.txt").write_text("sav_000001\nsav_000002\n")
    return root


def overlapping(frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks [H,W] bool of an object and of a part of it, which both masks cover."""
    whole = draw(frame, (1, 2))[1] == 1
    part = whole.copy()
    part[:9] = False
    return whole, part


def write_sav_train(root: Path, video: str = "sav_000001", as_film: bool = True) -> Path:
    """A film of grey frames, frame i of grey 8 i, and masklets of every fourth frame: one object, and a part of it."""
    folder = root / "sav_000"
    folder.mkdir(parents=True)
    if as_film:
        with av.open(str(folder / f"{video}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=24)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for frame in range(4 * 6):
                picture = np.full((HEIGHT, WIDTH, 3), 8 * frame, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
    else:
        for frame in range(4 * 6):
            write_frame(folder / video / f"{frame:05d}.jpg", frame // 4)
    masklet = []
    for frame in range(6):
        encoded = [run_lengths.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in overlapping(frame)]
        masklet.append([{"size": list(mask["size"]), "counts": mask["counts"].decode()} for mask in encoded])
    content = {"video_id": video, "video_height": float(HEIGHT), "video_width": float(WIDTH), "masklet": masklet}
    (folder / f"{video}_manual.json").write_text(json.dumps(content))
    return root


def write_burst(root: Path, split: str = "val") -> Path:
    """BURST: two sequences, every third frame annotated, track 7 from the first of them, track 9 from the second."""
    entries = []
    for index, (dataset, sequence) in enumerate(SEQUENCES):
        images = [f"img{frame + 1:04d}.jpg" for frame in range(FRAMES)]
        for frame, image in enumerate(images):
            write_frame(root / "frames" / split / dataset / sequence / image, frame)
        entries.append(burst_entry(index, dataset, sequence, images))
    first: list[dict[str, Any]] = []
    for entry in entries:
        seen: set[str] = set()
        kept = []
        for tracks in entry["segmentations"]:
            kept.append({track: {**mask, "bbox": [0, 0, 1, 1]} for track, mask in tracks.items() if track not in seen})
            seen |= set(tracks)
        first.append({**entry, "segmentations": kept})
    categories = [{"id": number, "name": name} for number, name in CATEGORIES.items()]
    (root / split).mkdir(parents=True, exist_ok=True)
    for name, sequences in (("all_classes", entries), ("first_frame_annotations", first)):
        content = {"split": split, "categories": categories, "sequences": sequences}
        (root / split / f"{name}.json").write_text(json.dumps(content))
    return root


def burst_entry(index: int, dataset: str, sequence: str, images: list[str]) -> dict[str, Any]:
    """A sequence in BURST's annotation files."""
    annotated = range(0, FRAMES, 3)
    segmentations = []
    for frame in annotated:
        masks = {"7": draw(frame, (1, 2))[1] == 1, "9": draw(frame, (1, 2))[1] == 2}
        tracks = masks if frame else {"7": masks["7"]}
        segmentations.append(
            {
                track: {
                    "rle": run_lengths.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode(),
                    "is_gt": True,
                }
                for track, mask in tracks.items()
            }
        )
    return {
        "id": index,
        "width": WIDTH,
        "height": HEIGHT,
        "seq_name": sequence,
        "dataset": dataset,
        "fps": 30,
        "all_image_paths": images,
        "annotated_image_paths": [images[frame] for frame in annotated],
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
        "track_category_ids": {"7": 4, "9": 5},
        "segmentations": segmentations,
    }


WRITERS = {
    "mose": write_mose,
    "mose2": write_mose,
    "lvos": write_lvos,
    "lvos2": write_lvos,
    "vost": write_vost,
    "burst": write_burst,
    "sav": write_sav,
}
