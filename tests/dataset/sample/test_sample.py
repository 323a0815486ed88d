import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.evaluate.video import open_dataset
from dataset.sample import sample
from dataset.sample.sample import TRAIN, VAL, make_sample
from util.files.palette import davis_palette, read_mask


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("sample") / "data" / "sample"
    yield make_sample(path)
    shutil.rmtree(path)


def ids_of_clip(root: Path, name: str) -> np.ndarray:
    files = sorted((root / "trainval" / "Annotations" / "480p" / name).iterdir())
    return np.stack([read_mask(file) for file in files])


def present(masks: np.ndarray, object_id: int) -> np.ndarray:
    return (masks == object_id).sum(axis=(1, 2)) > 0


def test_layout_is_that_of_davis(root: Path) -> None:
    trainval = root / "trainval"
    train = (trainval / "ImageSets" / "2017" / "train.txt").read_text().split()
    val = (trainval / "ImageSets" / "2017" / "val.txt").read_text().split()
    assert len(train) == 6 and len(val) == 2 and len({*train, *val}) == 8
    for name in [*train, *val]:
        frames = sorted(file.name for file in (trainval / "JPEGImages" / "480p" / name).iterdir())
        masks = sorted(file.name for file in (trainval / "Annotations" / "480p" / name).iterdir())
        assert frames == [f"{t:05d}.jpg" for t in range(30)] and masks == [f"{t:05d}.png" for t in range(30)]
        with Image.open(trainval / "Annotations" / "480p" / name / masks[0]) as image:
            assert image.mode == "P" and image.getpalette() == davis_palette().ravel().tolist()
    pictures = sorted(file.stem for file in (root / "static").glob("*.jpg"))
    assert len(pictures) == 40 and pictures == sorted(file.stem for file in (root / "static").glob("*.png"))
    assert all(read_mask(root / "static" / f"{name}.png").max() == 1 for name in pictures)


def test_objects_enter_leave_and_occlude(root: Path) -> None:
    for name, scene in {**TRAIN, **VAL}.items():
        masks = ids_of_clip(root, name)
        assert masks.max() == scene.objects
        for index in range(1, scene.objects + 1):
            area = (masks == index).sum(axis=(1, 2))
            first = int(np.argmax(area > 0))
            assert first == (scene.enters_at if index == scene.enters else 0), (name, index)
            assert area[first] > 300, (name, index, "its first mask shows enough to go by")
            if index == scene.leaves:
                assert not area[-3:].any(), (name, index)
    meeting = ids_of_clip(root, "meeting")
    assert (meeting[-1] == 2).sum() == 0 and present(meeting, 2)[0]


def test_the_protocol_gives_a_late_object_when_it_enters(root: Path) -> None:
    videos = {video.name: video for video in open_dataset("sample", root=root)}
    assert list(videos) == list(VAL)
    given = {frame.name: frame.object_ids for frame in videos["latecomer"].frames() if frame.mask is not None}
    assert given == {"00000": [1, 2], "00010": [3]}


def test_it_is_made_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_write_all", None)
    assert make_sample(root) == root


def write_little(folder: Path) -> None:
    folder.mkdir()
    (folder / sample.MARKER).write_text(f'{{"version": {sample.VERSION}}}')


def test_a_broken_off_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(folder: Path) -> None:
        (folder / "trainval").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "_write_all", break_off)
    with pytest.raises(KeyboardInterrupt):
        make_sample(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sample, "_write_all", write_little)
    assert (make_sample(tmp_path / "sample") / sample.MARKER).is_file()


def test_an_older_version_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_write_all", write_little)
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / sample.MARKER).write_text('{"version": 0}')
    (tmp_path / "sample" / "old.jpg").write_text("")
    assert [entry.name for entry in make_sample(tmp_path / "sample").iterdir()] == [sample.MARKER]


def test_two_processes_may_make_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_slowly(folder: Path) -> None:
        write_little(folder)
        write_little(tmp_path / "sample")  # the other process is faster

    monkeypatch.setattr(sample, "_write_all", write_slowly)
    assert make_sample(tmp_path / "sample") == tmp_path / "sample"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sample"]


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ValueError) as caught:
        make_sample(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} exists, but is no sample data made by this program (it has no sample.json). "
        "Remove it or choose another place for the sample data."
    )
    assert (tmp_path / "mine.txt").exists()
