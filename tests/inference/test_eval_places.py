"""Names of eval.py's results by hand, and what they keep away from."""

from pathlib import Path

import pytest

from dataset.evaluate.video import open_video
from inference.eval_config import EvalConfig
from inference.eval_places import archive_of, check_places, name_of, output_folder, places, written_places
from tests.support.toy_videos import write_video

OUT = Path("results/net/d17-val")


def test_results_other_than_masks_lie_beside_them() -> None:
    assert places(EvalConfig(), OUT, "bear") == {"probs": None, "overlay": None, "coco": None}
    config = EvalConfig(save_probs=True, overlay=True, format="coco")
    assert places(config, OUT, "bear") == {
        "probs": Path("results/net/d17-val_probs/bear"),
        "overlay": Path("results/net/d17-val/bear.mp4"),
        "coco": Path("results/net/d17-val_coco/bear.json"),
    }
    assert archive_of(OUT, "davis") == Path("results/net/d17-val.zip")
    assert archive_of(OUT, "burst") == Path("results/net/d17-val.json")


def test_all_that_is_written() -> None:
    videos = ["bear", "dog"]
    assert written_places(EvalConfig(), OUT, videos) == [OUT / "bear", OUT / "dog"]
    config = EvalConfig(dataset="d17", score=True, overlay=True, zip=True)
    masks_and_films = [OUT / "bear", OUT / "bear.mp4", OUT / "dog", OUT / "dog.mp4"]
    archive = OUT.with_name("d17-val.zip")
    assert written_places(config, OUT, videos) == [*masks_and_films, OUT / "scores.json", OUT / "scores.csv", archive]
    assert written_places(EvalConfig(dataset="d17", zip_only=True), OUT, videos) == [archive]
    assert written_places(EvalConfig(dataset="d17", score_only=True, official=True), OUT, videos) == []


def test_folders_are_named_after_network_and_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "clip", tmp_path / "masks", length=1)
    videos = [open_video(tmp_path / "clip", tmp_path / "masks" / "00000.png")]
    assert output_folder(EvalConfig(checkpoint=Path("x/XMem.pth")), None, videos) == Path("results/XMem/clip")
    assert output_folder(EvalConfig(model="stcn"), None, videos) == Path("results/stcn/clip")
    assert output_folder(EvalConfig(output=Path("mine")), None, videos) == Path("mine")
    monkeypatch.chdir(tmp_path)
    assert output_folder(EvalConfig(output=Path(".")), None, videos) == tmp_path.resolve()  # "." has no name


def test_own_checkpoints_are_named_after_their_run(tmp_path: Path) -> None:
    for place in ("xmem-base-s2", "chain-s03/stage3"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text("{}")
    for record in ("xmem-base-s2", "chain-s03"):
        (tmp_path / record / "run.json").write_text("{}")
    assert name_of(tmp_path / "xmem-base-s2" / "last.pth") == "xmem-base-s2-last"
    assert name_of(tmp_path / "chain-s03" / "stage3" / "best.pth") == "chain-s03-stage3-best"
    assert name_of(tmp_path / "XMem.pth") == "XMem"


def test_archives_too_keep_away_from_what_is_read(tmp_path: Path) -> None:
    config = EvalConfig(video=tmp_path / "clip_probs", mask=tmp_path / "first.png")
    check_places(config, None, tmp_path / "other")
    with pytest.raises(ValueError, match=f"the output {tmp_path}/clip_probs is --video {tmp_path}/clip_probs"):
        check_places(config, None, tmp_path / "clip")
    check_places(EvalConfig(video=tmp_path / "clip", benchmark=True), None, tmp_path / "clip")  # nothing is written
