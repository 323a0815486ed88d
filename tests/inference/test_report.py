import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.metrics import STATISTICS, mask_scores, statistics
from inference.report import Report, format_table, make_report, read_json, score_folders, write_csv, write_json
from inference.scoring.inputs import read_sequence_list
from inference.scoring.masks import png_size

HEIGHT, WIDTH = 24, 32
Videos = dict[str, list[np.ndarray]]


def save(root: Path, videos: Videos, mode: str = "L") -> Path:
    for name, masks in videos.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index, mask in enumerate(masks):
            Image.fromarray(mask).convert(mode).save(root / name / f"{index:05d}.png")
    return root


def frame(**boxes: tuple[int, int]) -> np.ndarray:
    """A mask with a square of side 8 for each object: id2=(top, left)."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for key, (top, left) in boxes.items():
        mask[top : top + 8, left : left + 8] = int(key[2:])
    return mask


def random_videos(seed: int, lengths: dict[str, int]) -> Videos:
    generator = np.random.default_rng(seed)
    return {
        name: [
            frame(**{f"id{key}": (8 * (key - 1), int(generator.integers(0, 24))) for key in (1, 2, 3)})
            for _ in range(length)
        ]
        for name, length in lengths.items()
    }


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    lengths = {"ant": 7, "bee": 5, "cow": 6}
    gt = save(tmp_path / "gt", random_videos(0, lengths))
    return gt, save(tmp_path / "pred", random_videos(1, lengths))


def test_scores_by_hand(tmp_path: Path) -> None:
    # Object 1 is perfect, object 2 is shifted by half its width in the two frames that count (J = 1/3).
    gt = save(tmp_path / "gt", {"ant": [frame(id1=(0, 0), id2=(12, 8))] * 4})
    pred = save(
        tmp_path / "pred", {"ant": [np.zeros((HEIGHT, WIDTH), np.uint8)] + [frame(id1=(0, 0), id2=(12, 12))] * 2}
    )
    report = score_folders(gt, pred)
    assert report.sequences["ant"][1] == {
        "J&F": 1, "J-Mean": 1, "J-Recall": 1, "J-Decay": 0, "F-Mean": 1, "F-Recall": 1, "F-Decay": 0,
    }  # fmt: skip
    two = report.sequences["ant"][2]
    assert two["J-Mean"] == pytest.approx(1 / 3) and two["J-Recall"] == 0
    assert report.mean["J-Mean"] == pytest.approx((1 + 1 / 3) / 2)
    assert report.mean["J&F"] == pytest.approx((report.mean["J-Mean"] + report.mean["F-Mean"]) / 2)
    assert list(report.frames["ant"][2]["J"]) == ["00001", "00002"]
    assert tuple(report.mean) == STATISTICS == tuple(two)


def test_equals_the_metrics_frame_by_frame(pair: tuple[Path, Path]) -> None:
    gt, pred = pair
    report = score_folders(gt, pred)
    lengths = {"ant": 7, "bee": 5, "cow": 6}
    truth, guess = random_videos(0, lengths), random_videos(1, lengths)
    assert list(report.sequences) == list(lengths)
    means = []
    for name, length in lengths.items():
        for key in (1, 2, 3):
            values = [mask_scores(truth[name][t] == key, guess[name][t] == key) for t in range(1, length - 1)]
            assert list(report.frames[name][key]["J"].values()) == [j for j, _ in values]
            assert list(report.frames[name][key]["F"].values()) == [f for _, f in values]
            figures = report.sequences[name][key]
            j = figures["J-Mean"], figures["J-Recall"], figures["J-Decay"]
            f = figures["F-Mean"], figures["F-Recall"], figures["F-Decay"]
            assert j == statistics([j for j, _ in values]) and f == statistics([f for _, f in values])
            means.append(figures["J&F"])
    # Over objects, not over sequences.
    assert report.mean["J&F"] == pytest.approx(np.mean(means))
    assert report.sequence_mean("bee")["J&F"] == pytest.approx(np.mean(means[3:6]))


def test_objects_that_are_absent_or_late(tmp_path: Path) -> None:
    empty = np.zeros((HEIGHT, WIDTH), np.uint8)
    one, both = frame(id1=(0, 0)), frame(id1=(0, 0), id7=(12, 8))
    # 7 enters at frame 3 (gaps between ids are fine); the prediction misses it there, and sees 1 where it has gone.
    gt = save(tmp_path / "gt", {"ant": [one, one, empty, both, both, both]})
    pred = save(tmp_path / "pred", {"ant": [empty, one, one, one, both, both]})
    report = score_folders(gt, pred)
    assert list(report.sequences["ant"]) == [1, 7]
    assert list(report.frames["ant"][1]["J"].values()) == [1, 0, 1, 1]
    assert list(report.frames["ant"][7]["J"].values()) == [1, 1, 0, 1]
    assert list(report.frames["ant"][7]["F"].values()) == [1, 1, 0, 1]


def test_an_object_only_in_the_last_frame_does_not_count(tmp_path: Path) -> None:
    one, both = frame(id1=(0, 0)), frame(id1=(0, 0), id2=(12, 8))
    gt = save(tmp_path / "gt", {"ant": [one, one, one, both]})
    assert list(score_folders(gt, save(tmp_path / "pred", {"ant": [one] * 4})).sequences["ant"]) == [1]


def test_predicted_ids_that_the_truth_lacks(tmp_path: Path) -> None:
    one, both = frame(id1=(0, 0)), frame(id1=(0, 0), id9=(12, 8))
    gt = save(tmp_path / "gt", {"ant": [one] * 5, "bee": [one] * 5})
    pred = save(tmp_path / "pred", {"ant": [one, one, both, both, one], "bee": [frame(id4=(0, 0))] * 5})
    with pytest.raises(ValueError) as error:
        score_folders(gt, pred)
    assert "ids that the ground truth lacks: ant: id 9 (first in frame 00002); bee: id 4" in str(error.value)
    # In frames that are not scored nothing is read.
    pred = save(tmp_path / "pred2", {"ant": [both, one, one, one, both], "bee": [one] * 5})
    assert score_folders(gt, pred).mean["J&F"] == 1


def test_single_object_is_all_that_is_not_zero(tmp_path: Path) -> None:
    gt = save(tmp_path / "gt", {"ant": [frame(id255=(0, 0))] * 4})
    save(gt, {"bee": [frame(id255=(0, 0))] * 4}, mode="LA")
    pred = save(tmp_path / "pred", {"ant": [frame(id1=(0, 0))] * 4, "bee": [frame(id3=(0, 0))] * 4}, mode="P")
    report = score_folders(gt, pred, single_object=True)
    assert report.mean["J&F"] == 1 and list(report.sequences["bee"]) == [1]
    # Without the option 255 is an id like others.
    assert list(score_folders(gt, gt).sequences["ant"]) == [255]
    with pytest.raises(ValueError, match="score all that is not zero as one object"):
        score_folders(gt, pred)


def test_the_first_and_last_frame_of_single_objects_do_not_count(tmp_path: Path) -> None:
    one, other = frame(id255=(0, 0)), frame(id1=(12, 20))
    gt, pred = (
        save(tmp_path / "gt", {"ant": [one] * 5}),
        save(tmp_path / "pred", {"ant": [other, one, one, one, other]}),
    )
    report = score_folders(gt, pred, single_object=True)
    assert report.mean["J&F"] == 1 and list(report.frames["ant"][1]["J"]) == ["00001", "00002", "00003"]


def test_ids_above_255(tmp_path: Path) -> None:
    masks = [np.where(frame(id1=(2, 2)) > 0, 40000, 0).astype(np.uint16)] * 3
    for root in ("gt", "pred"):
        (tmp_path / root / "ant").mkdir(parents=True)
        for index, mask in enumerate(masks):
            Image.fromarray(mask).save(tmp_path / root / "ant" / f"{index:05d}.png")
    assert list(score_folders(tmp_path / "gt", tmp_path / "pred").sequences["ant"]) == [40000]


def test_names_every_problem_before_any_mask_is_read(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    gt, pred = pair
    (pred / "ant" / "00001.png").unlink()
    (pred / "ant" / "00004.png").unlink()
    Image.fromarray(np.zeros((9, 11), np.uint8)).save(pred / "ant" / "00002.png")
    (pred / "ant" / "00003.png").write_text("<html>")
    (pred / "bee").rename(pred / "wasp")
    save(gt, {"dot": [frame(id1=(0, 0))] * 2})
    save(pred, {"dot": [frame(id1=(0, 0))] * 2})
    monkeypatch.setattr("inference.scoring.masks.read_mask", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(ValueError) as error:
        score_folders(gt, pred)
    message = str(error.value)
    for part in (
        f"cannot score {pred} against {gt}, 6 problem(s)",
        f"ant: 2 of 5 frames missing in {pred / 'ant'}: 00001, 00004",
        "ant: frame 00002 is 11x9 pixels, its ground truth 32x24",
        f"ant: {pred / 'ant' / '00003.png'} is not a PNG file",
        f"bee: sequence missing, {pred} has no such folder",
        f"wasp: unknown sequence, {gt} has no such folder",
        "dot: 2 ground-truth frame(s) leave nothing to score: first and last are not scored",
    ):
        assert part in message
    assert "cow" not in message


def test_a_long_list_of_problems_is_cut(pair: tuple[Path, Path]) -> None:
    gt, pred = pair
    save(gt, {f"v{number:02d}": [frame(id1=(0, 0))] * 3 for number in range(15)})
    save(gt, {"long": [frame(id1=(0, 0))] * 14})
    save(pred, {"long": [frame(id1=(0, 0))]})
    with pytest.raises(ValueError) as error:
        score_folders(gt, pred)
    message = str(error.value)
    assert "16 problem(s)" in message and ";\n  and 6 more.\n" in message and message.count("sequence missing") <= 10
    with pytest.raises(ValueError, match=r"12 of 12 frames missing in .*: 00001, .*00010, and 2 more\.\n"):
        score_folders(gt, pred, sequences=["long"])


def test_first_and_last_prediction_may_be_missing(pair: tuple[Path, Path]) -> None:
    gt, pred = pair
    before = score_folders(gt, pred)
    for name, last in (("ant", 6), ("bee", 4), ("cow", 5)):
        (pred / name / "00000.png").unlink()
        (pred / name / f"{last:05d}.png").unlink()
    (pred / "ant" / "00000_extra.png").write_bytes(b"")
    (pred / ".unfinished").mkdir()
    assert score_folders(gt, pred) == before


def test_some_sequences(pair: tuple[Path, Path], tmp_path: Path) -> None:
    gt, pred = pair
    whole = score_folders(gt, pred)
    (pred / "bee" / "00001.png").unlink()  # not asked for
    (tmp_path / "val.txt").write_text("cow\nant\n\ncow\n")
    for sequences in (["cow", "ant"], tmp_path / "val.txt", str(tmp_path / "val.txt")):
        report = score_folders(gt, pred, sequences=sequences)
        assert list(report.sequences) == ["cow", "ant"]
        assert report.sequences["cow"] == whole.sequences["cow"]
    with pytest.raises(ValueError, match=r"2 problem\(s\):\s+elk: unknown sequence.*;\s+fox: unknown sequence"):
        score_folders(gt, pred, sequences=["elk", "ant", "fox"])
    with pytest.raises(ValueError, match="the list of sequences for .* is empty"):
        score_folders(gt, pred, sequences=[])


def test_sequence_lists(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_text(
        "/JPEGImages/480p/ant/00000.jpg /Annotations/480p/ant/00000.png\n/JPEGImages/480p/ant/00001.jpg x\n"
    )
    assert read_sequence_list(path) == ["ant"]
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"val.txt is empty; expected a name on each line"):
        read_sequence_list(path)
    with pytest.raises(FileNotFoundError, match=r"none.txt does not exist"):
        read_sequence_list(tmp_path / "none.txt")


def test_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "gt").mkdir()
    with pytest.raises(FileNotFoundError, match=r"ground truth folder .*nowhere does not exist; expected <sequence>"):
        score_folders(tmp_path / "nowhere", tmp_path / "gt")
    with pytest.raises(FileNotFoundError, match=r"predictions folder .*nowhere does not exist"):
        score_folders(tmp_path / "gt", tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"gt has no sequence folders"):
        score_folders(tmp_path / "gt", tmp_path / "gt")
    with pytest.raises(ValueError, match="workers must be 0"):
        score_folders(tmp_path / "gt", tmp_path / "gt", workers=-1)


def test_masks_that_hold_no_ids_are_named(pair: tuple[Path, Path]) -> None:
    gt, pred = pair
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(pred / "bee" / "00002.png")
    with pytest.raises(ValueError, match=r"bee.00002\.png"):
        score_folders(gt, pred)


def test_sequences_without_objects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty, one = np.zeros((HEIGHT, WIDTH), np.uint8), frame(id1=(0, 0))
    gt = save(tmp_path / "gt", {"ant": [empty] * 4, "bee": [one] * 4})
    with caplog.at_level(logging.WARNING):
        report = score_folders(gt, gt)
    assert "no object to score in ant" in caplog.text
    assert report.mean["J&F"] == 1 and "ant" not in format_table(report)
    with pytest.raises(ValueError, match="shows no object in any scored sequence"):
        score_folders(gt, gt, sequences=["ant"])


def test_natural_order_of_frames(tmp_path: Path) -> None:
    for name in ("1", "2", "10"):
        save(tmp_path / name, {"ant": [frame(id1=(0, 0))]})
        (tmp_path / "all" / "ant").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "ant" / "00000.png").rename(tmp_path / "all" / "ant" / f"{name}.png")
    assert list(score_folders(tmp_path / "all", tmp_path / "all").frames["ant"][1]["J"]) == ["2"]


@pytest.fixture
def youtube(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two videos; ant's object 2 (an elk) enters at frame 2."""
    one, both = frame(id1=(0, 0)), frame(id1=(0, 0), id2=(12, 8))
    shifted = frame(id1=(0, 0), id2=(12, 12))
    gt = save(tmp_path / "gt", {"ant": [one, one, both, both, both], "bee": [one] * 3})
    pred = save(tmp_path / "pred", {"ant": [one, one, both, both, shifted], "bee": [one, one, frame(id1=(0, 4))]})
    meta = tmp_path / "meta.json"
    videos = {"ant": {"1": "dog", "2": "elk"}, "bee": {"1": "cat"}, "unused": {"1": "eel"}}
    meta.write_text(
        json.dumps({"videos": {n: {"objects": {k: {"category": c} for k, c in v.items()}} for n, v in videos.items()}})
    )
    return gt, pred, meta


def test_youtube_by_hand(youtube: tuple[Path, Path, Path]) -> None:
    gt, pred, meta = youtube
    report = score_folders(gt, pred, meta=meta, seen_categories=["dog", "cat"])
    # After the frame where the object enters, the last frame included.
    assert list(report.frames["ant"][1]["J"]) == ["00001", "00002", "00003", "00004"]
    assert list(report.frames["ant"][2]["J"].items()) == [("00003", 1), ("00004", pytest.approx(1 / 3))]
    assert list(report.frames["bee"][1]["J"].values()) == [1, pytest.approx(1 / 3)]
    assert report.mean["J-Seen"] == pytest.approx((1 + 2 / 3) / 2)
    assert report.mean["J-Unseen"] == pytest.approx(2 / 3)
    assert report.mean["F-Unseen"] == report.sequences["ant"][2]["F-Mean"]
    four = [report.mean[key] for key in ("J-Seen", "J-Unseen", "F-Seen", "F-Unseen")]
    assert report.mean["G"] == pytest.approx(sum(four) / 4)
    assert format_table(report).splitlines()[-1].startswith(f"G {100 * report.mean['G']:.1f}  J-Seen 83.3")


def test_youtube_sources_of_the_seen_categories(youtube: tuple[Path, Path, Path], tmp_path: Path) -> None:
    gt, pred, meta = youtube
    expected = score_folders(gt, pred, meta=meta, seen_categories=["dog", "cat"])
    (tmp_path / "seen.txt").write_text("dog\ncat\ntennis racket\n")
    train = tmp_path / "train.json"
    train.write_text('{"videos": {"x": {"objects": {"1": {"category": "dog"}, "2": {"category": "cat"}}}}}')
    assert score_folders(gt, pred, meta=meta, seen_categories=tmp_path / "seen.txt") == expected
    assert score_folders(gt, pred, meta=str(meta), seen_categories=str(train)) == expected
    words = meta.read_text().replace("dog", "seen").replace('cat"', 'seen"').replace("elk", "unseen")
    meta.write_text(words.replace("eel", "seen").replace("seenegory", "category"))
    assert score_folders(gt, pred, meta=meta) == expected


def test_youtube_with_one_kind_only(youtube: tuple[Path, Path, Path]) -> None:
    gt, pred, meta = youtube
    mean = score_folders(gt, pred, meta=meta, seen_categories=["dog", "cat", "elk", "eel"]).mean
    assert "J-Unseen" not in mean and mean["G"] == pytest.approx((mean["J-Seen"] + mean["F-Seen"]) / 2)


def test_youtube_errors(youtube: tuple[Path, Path, Path], tmp_path: Path) -> None:
    gt, pred, meta = youtube
    with pytest.raises(ValueError, match=r"categories \(cat, dog, eel, ...\) but not which of them are seen. Give"):
        score_folders(gt, pred, meta=meta)
    with pytest.raises(FileNotFoundError, match=r"seen.txt does not exist"):
        score_folders(gt, pred, meta=meta, seen_categories=tmp_path / "seen.txt")
    with pytest.raises(FileNotFoundError, match=r"none.json does not exist; expected a YouTube-VOS meta.json"):
        score_folders(gt, pred, meta=tmp_path / "none.json", seen_categories=["dog"])
    bad = tmp_path / "bad.json"
    for text, words in (("{", "is not a JSON file"), ("[]", "another layout"), ('{"videos": {"a": {}}}', "layout")):
        bad.write_text(text)
        with pytest.raises(ValueError, match=rf"bad\.json .*{words}"):
            score_folders(gt, pred, meta=bad, seen_categories=["dog"])
    bad.write_text('{"videos": {"ant": {"objects": {"1": {"category": "dog"}}}}}')
    with pytest.raises(ValueError, match="names no category for ant object 2; bee object 1"):
        score_folders(gt, pred, meta=bad, seen_categories=["dog"])


def test_json_round_trip(pair: tuple[Path, Path], tmp_path: Path) -> None:
    report = score_folders(*pair)
    write_json(report, tmp_path / "out" / "scores.json")
    assert read_json(tmp_path / "out" / "scores.json") == report
    for text in ("", "[]", "{}"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json is not a report"):
            read_json(tmp_path / "bad.json")
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        read_json(tmp_path / "none.json")


def test_csv_round_trip(pair: tuple[Path, Path], tmp_path: Path) -> None:
    report = score_folders(*pair)
    write_csv(report, tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["level"] for row in rows] == ["global"] + ["sequence", *["object"] * 3] * 3
    for row in rows:
        values = {key: float(row[key]) for key in STATISTICS}
        if row["level"] == "global":
            assert values == report.mean
        elif row["level"] == "sequence":
            assert values == report.sequence_mean(row["sequence"])
        else:
            assert values == report.sequences[row["sequence"]][int(row["object"])]


def test_csv_with_categories(youtube: tuple[Path, Path, Path], tmp_path: Path) -> None:
    gt, pred, meta = youtube
    report = score_folders(gt, pred, meta=meta, seen_categories=["dog", "cat"])
    write_csv(report, tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["G"]) == report.mean["G"] and rows[1]["G"] == ""
    assert all(None not in row for row in rows)


def perfect(names: list[str]) -> dict[str, dict[int, dict[str, dict[str, float]]]]:
    return {name: {1: {"J": {"00001": 1.0}, "F": {"00001": 1.0}}} for name in names}


def test_table_is_aligned() -> None:
    frames = perfect(["ant", "a-much-longer-name"])
    frames["ant"][2] = {"J": {"00001": 0.25}, "F": {"00001": 0.5}}
    lines = format_table(make_report(frames)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["sequence", "objects", *STATISTICS]
    assert lines[2].split() == ["ant", "2", "68.8", "62.5", "50.0", "0.0", "75.0", "50.0", "0.0"]
    assert lines[-1].startswith("mean over objects") and lines[-1].split()[3:5] == ["3", "79.2"]
    text = format_table(make_report(frames), objects=True)
    assert "  ant / 2" in text and "37.5" in text and "longer-name / 1" not in text


def test_report_keeps_what_it_was_made_from() -> None:
    frames = perfect(["ant"])
    report = make_report(frames)
    assert isinstance(report, Report) and report.frames == frames


def test_workers_give_the_same_report(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert score_folders(*pair, workers=2, show_progress=True) == score_folders(*pair)
    assert "scoring" in capsys.readouterr().err


def test_errors_of_workers_arrive(pair: tuple[Path, Path]) -> None:
    gt, pred = pair
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(pred / "bee" / "00002.png")
    with pytest.raises(ValueError, match=r"bee.00002\.png"):
        score_folders(gt, pred, workers=1)


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:20], lambda b: b"<!DOCTYPE html> a page of some length"]
)
def test_png_size_reads_the_header(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.zeros((5, 300), np.uint8)).save(path)
    assert png_size(path) == (300, 5)
    path.write_bytes(damage(path.read_bytes()))
    assert png_size(path) is None
