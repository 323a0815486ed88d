"""Sixty malformed inputs: each ends in one line and status 2, and leaves everything as it was."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import eval as program
from tests.support.eval_runs import TINY
from tests.support.films import write_film
from tests.support.toy_videos import HEIGHT, WIDTH, write_video

OWN = ["--video", "clip", "--mask", "first.png", "--output", "out", *TINY]
D17 = ["--dataset", "d17", "--root", "davis", "--output", "out", *TINY]
G = ["--dataset", "g", "--root", "g", "--output", "out", *TINY]
Y19 = ["--dataset", "y19", "--root", "yt", "--sparse", "--output", "out", *TINY]
SCORE = ["--dataset", "d17", "--root", "davis", "--output", "pred", "--score_only"]
FRAMES, GIVEN = Path("davis/trainval/JPEGImages/480p"), Path("davis/trainval/Annotations/480p")
LIST, META = Path("davis/trainval/ImageSets/2017/val.txt"), Path("yt/valid/meta.json")
FIRST, CHECKPOINT = Path("first.png"), Path("tiny.pth")


def text(path: Path, content: str | bytes) -> Callable[[], object]:
    return lambda: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(path: Path, share: float) -> Callable[[], object]:
    return lambda: path.write_bytes(path.read_bytes()[: int(len(path.read_bytes()) * share)])


def flip(path: Path, place: float) -> Callable[[], object]:
    def change() -> None:
        content = bytearray(path.read_bytes())
        content[int(len(content) * place)] ^= 0xFF
        path.write_bytes(content)

    return change


def picture(path: Path, array: np.ndarray, format: str | None = None) -> Callable[[], object]:
    return lambda: Image.fromarray(array).save(path, format)


def saved(value: object) -> Callable[[], object]:
    return lambda: torch.save(value, CHECKPOINT)


def film(path: str, share: float) -> Callable[[], object]:
    def make() -> None:
        write_film(Path(path), 12)
        cut(Path(path), share)()

    return make


def jpeg_header_of(side: int) -> Callable[[], object]:
    def make() -> None:
        frame = Path("clip/00000.png")
        with Image.open(frame) as image:
            image.save("clip/00000.jpg")
        frame.unlink()
        content = bytearray(Path("clip/00000.jpg").read_bytes())
        place = content.index(b"\xff\xc0") + 5
        content[place : place + 4] = struct.pack(">HH", side, side)
        Path("clip/00000.jpg").write_bytes(content)

    return make


def meta(value: object) -> Callable[[], object]:
    return lambda: META.write_text(json.dumps(value))


def after(*steps: Callable[[], object]) -> Callable[[], object]:
    """Do one step after the other."""
    return lambda: [step() for step in steps]


def small_mask_for_a_film() -> None:
    film("film.mp4", 1.0)()
    picture(FIRST, np.eye(9, dtype=np.uint8))()


def empty_the_clip() -> None:
    for path in Path("clip").iterdir():
        path.unlink()


def mask_of_no_frame() -> None:
    os.mkdir("masks")
    shutil.copy(FIRST, "masks/7.png")


SOFT = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)
RGB = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
CASES: list[tuple[str, list[str], Callable[[], object]]] = [
    # Frames.
    ("empty frame", OWN, text(Path("clip/00001.png"), "")),
    ("text as frame", OWN, text(Path("clip/00001.png"), "no picture")),
    ("truncated frame", OWN, cut(Path("clip/00001.png"), 0.5)),
    ("frame of another size", OWN, picture(Path("clip/00001.png"), RGB[:-2])),
    ("16 bit frame", OWN, picture(Path("clip/00001.png"), np.zeros((HEIGHT, WIDTH), np.uint16))),
    ("frame's header of billions of pixels", OWN, jpeg_header_of(65_500)),
    ("no frames", OWN, empty_the_clip),
    ("two frames of a name", OWN, lambda: shutil.copy("clip/00001.png", "clip/00001.jpg")),
    ("a folder named like a frame", OWN, after(Path("clip/00001.png").unlink, Path("clip/00001.png").mkdir)),
    ("a folder of folders", [*OWN, "--video", "davis"], lambda: None),
    # Films.
    ("text as film", [*OWN, "--video", "film.mp4"], text(Path("film.mp4"), "no film")),
    ("empty film", [*OWN, "--video", "film.mp4"], text(Path("film.mp4"), "")),
    ("truncated mp4", [*OWN, "--video", "film.mp4"], film("film.mp4", 0.5)),
    ("truncated mkv", [*OWN, "--video", "film.mkv"], film("film.mkv", 0.3)),
    ("truncated avi", [*OWN, "--video", "film.avi"], film("film.avi", 0.6)),
    ("a picture as film", [*OWN, "--video", "first.png"], lambda: None),
    ("mask of another size than the film's", [*OWN, "--video", "film.mp4"], small_mask_for_a_film),
    # Masks.
    ("empty mask", OWN, text(FIRST, "")),
    ("text as mask", OWN, text(FIRST, "no mask")),
    ("truncated mask", OWN, cut(FIRST, 0.5)),
    ("mask of colours", OWN, picture(FIRST, RGB)),
    ("anti-aliased mask", OWN, picture(FIRST, SOFT)),
    ("mask without object", OWN, picture(FIRST, SOFT * 0)),
    ("mask of another size", OWN, picture(FIRST, np.ones((HEIGHT - 1, WIDTH), np.uint8))),
    ("mask as JPEG", OWN, picture(FIRST, SOFT // 99, format="JPEG")),
    ("no mask", OWN, FIRST.unlink),
    ("folder as mask", OWN, after(FIRST.unlink, FIRST.mkdir)),
    ("masks of no frame", [*OWN[:2], "--masks", "masks", *OWN[4:]], mask_of_no_frame),
    ("empty folder of masks", [*OWN[:2], "--masks", "masks", *OWN[4:]], lambda: os.mkdir("masks")),
    # Lists and meta.json.
    ("list with a path upwards", D17, text(LIST, "../../../home\n")),
    ("list with a path", D17, text(LIST, "480p/bear\n")),
    ("list with an absolute path", D17, text(LIST, "/etc\n")),
    ("list with a hidden name", D17, text(LIST, ".bear\n")),
    ("list with a Windows path", D17, text(LIST, "..\\bear\n")),
    ("empty list", D17, text(LIST, "\n\n")),
    ("list of bytes", D17, text(LIST, b"\xff\xfe\x00b")),
    ("list with an unknown video", D17, text(LIST, "bear\nzebra\n")),
    ("no list", D17, LIST.unlink),
    ("no masks of a video", D17, lambda: shutil.rmtree(GIVEN / "camel")),
    ("no mask of a first frame", D17, (GIVEN / "camel" / "00000.png").unlink),
    ("an empty frame of a benchmark", D17, text(FRAMES / "camel" / "00002.png", "")),
    ("meta.json with a path upwards", Y19, meta({"videos": {"../fox": {"objects": {}}}})),
    ("meta.json with frames elsewhere", Y19, meta({"videos": {"fox": {"objects": {"1": {"frames": ["../00000"]}}}}})),
    ("meta.json of another kind", Y19, meta([1, 2])),
    ("meta.json without objects", Y19, meta({"videos": {"fox": 3}})),
    ("truncated meta.json", Y19, cut(META, 0.5)),
    ("no meta.json", Y19, META.unlink),
    ("generic data without masks", G, lambda: shutil.rmtree("g/Annotations")),
    # Checkpoints.
    ("text as checkpoint", OWN, text(CHECKPOINT, "<html>quota</html>")),
    ("empty checkpoint", OWN, text(CHECKPOINT, "")),
    ("truncated checkpoint", OWN, cut(CHECKPOINT, 0.7)),
    ("a flipped byte in a checkpoint", OWN, flip(CHECKPOINT, 0.5)),
    ("checkpoint of a number", OWN, saved(3)),
    ("checkpoint of other tensors", OWN, saved({"weight": torch.zeros(3)})),
    ("checkpoint with code", OWN, saved({"network": {"x": os.system}})),
    # Outputs and records.
    ("output below a file", [*OWN, "--output", "first.png/out"], lambda: None),
    ("damaged record", OWN, after(partial(os.makedirs, "out/.corrvos"), text(Path("out/.corrvos/places.json"), "{"))),
    ("foreign results", OWN, after(partial(os.makedirs, "out/clip"), text(Path("out/clip/a.png"), "mine"))),
    # Scoring.
    ("predictions of another size", SCORE, lambda: picture(Path("pred/bear/00002.png"), SOFT[:-1] * 0)()),
    ("a missing prediction", SCORE, Path("pred/bear/00002.png").unlink),
    ("a truncated prediction", SCORE, cut(Path("pred/bear/00002.png"), 0.6)),
    ("predictions of colours", SCORE, picture(Path("pred/bear/00002.png"), RGB)),
]  # fmt: skip


@pytest.fixture
def inputs(folder: Path) -> Path:
    """Sound inputs of every kind."""
    write_video(folder / "clip", folder / "m", length=3)
    shutil.move(folder / "m" / "00000.png", FIRST)
    (folder / "m").rmdir()
    write_video(folder / "g/JPEGImages/fox", folder / "g/Annotations/fox", length=2)
    write_video(folder / "yt/valid/JPEGImages/fox", folder / "yt/valid/Annotations/fox", length=2)
    META.write_text(json.dumps({"videos": {"fox": {"objects": {"1": {"frames": ["00000", "00001"]}}}}}))
    shutil.copytree(GIVEN, "pred")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_there_are_sixty_and_no_two_alike() -> None:
    assert len({name for name, _, _ in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize(("words", "change"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_malformed_input_is_one_line(
    words: list[str], change: Callable[[], object], inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change()
    before = contents(inputs)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        program.command_line(words)
    shown = capsys.readouterr().err
    assert stop.value.code == 2 and shown.splitlines()[-1].startswith("error: ") and "Traceback" not in shown
    after = contents(inputs)
    assert {path: content for path, content in after.items() if path in before} == before, "inputs stay as they are"
    new = {Path(path).relative_to(inputs).parts[:2] for path in after.keys() - before.keys()}
    assert all(parts[0] == "out" or parts == ("pred", ".corrvos") for parts in new), "and nothing is written elsewhere"
