"""Videos of a user's own: what is opened, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from dataset.evaluate.own import open_own
from tests.support.toy_videos import draw, write_video
from util.files.palette import read_mask

FRAMES = [draw(number, (1, 2))[0] for number in range(5)]
MASK = draw(0, (1, 2))[1]


@pytest.fixture
def video(tmp_path: Path) -> tuple[Path, Path]:
    write_video(tmp_path / "clip", tmp_path / "masks", length=5, given=(0, 3))
    return tmp_path / "clip", tmp_path / "masks"


def given(frames: object, masks: object, **options: object) -> dict[str, bool]:
    video = open_own(frames, masks, **options)  # type: ignore[arg-type]
    return {frame.name: frame.mask is not None for frame in video.frames(-1)}


def test_where_masks_are_given(video: tuple[Path, Path]) -> None:
    assert given(*video) == {"00000": True, "00001": False, "00002": False, "00003": True, "00004": False}
    assert given(*video, start=2) == {"00002": False, "00003": True, "00004": False}
    assert given(*video, stop=2, reverse=True) == {"00001": False, "00000": True}
    file = video[1] / "00000.png"
    assert given(video[0], file, start=3) == {"00003": True, "00004": False}
    assert given(FRAMES, [file], start=0, stop=2) == {"00000": True, "00001": False}
    assert given(iter(FRAMES), {3: read_mask(file)}, start=2) == {"00002": False, "00003": True, "00004": False}
    assert open_own(*video).name == "clip" and open_own(FRAMES, MASK).name == "frames"


def test_the_last_frame_of_a_stream_is_not_known() -> None:
    assert [frame.last for frame in open_own(FRAMES[:2], MASK).frames(-1)] == [False, True]
    assert [frame.last for frame in open_own(iter(FRAMES[:2]), MASK).frames(-1)] == [False, False]


def test_what_is_refused(video: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mask .*none.png does not exist: expected a mask PNG or a folder"):
        open_own(video[0], tmp_path / "none.png")
    with pytest.raises(FileNotFoundError, match="video .*none does not exist"):
        open_own(tmp_path / "none", MASK)
    with pytest.raises(ValueError, match="no mask for frames 00004 to 00004 of .*: the masks given are for 00000, 0"):
        open_own(*video, start=4)
    with pytest.raises(ValueError, match="masks of a stream: expected one mask or a dictionary"):
        open_own(iter(FRAMES), video[1])
    with pytest.raises(ValueError, match="a stream can't be read backwards"):
        open_own(iter(FRAMES), MASK, reverse=True)
    with pytest.raises(ValueError, match="frame 00001 has 60x48 pixels, the frames before it 64x48"):
        list(open_own([FRAMES[0], np.ascontiguousarray(FRAMES[1][:, :60])], MASK).frames(-1))
