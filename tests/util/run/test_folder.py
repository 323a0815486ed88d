"""The folder of a run: what a new run may replace, and what it leaves alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from util.config.presets import preset
from util.config.train import TrainConfig
from util.run.folder import clean_stage, open_stage, read_record, save_step, start_run, write_record

OURS = ("best.pth", "last.pth", "config.json", "metrics.jsonl", "step-0000005.pth", "run.json")


def run_in(folder: Path) -> TrainConfig:
    return replace(preset("xmem", "tiny"), output=folder)


def started(folder: Path, overwrite: bool = False) -> None:
    start_run(folder, [run_in(folder)], overwrite)
    open_stage(folder, run_in(folder))
    write_record(folder, [run_in(folder)], {})


@pytest.mark.parametrize("name", [*OURS, "events.out.tfevents.1", "stage0/best.pth"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_without_a_record_nothing_is_replaced(name: str, overwrite: bool, tmp_path: Path) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text('{"by": "somebody else"}')
    with pytest.raises(ValueError, match=f"{tmp_path} holds {name}, but no record of a run .*Choose another --output"):
        started(tmp_path, overwrite)
    assert theirs.read_text() == '{"by": "somebody else"}'
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]


def test_what_does_not_look_like_a_runs_stays_in_either_case(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("notes.txt", ".backup.tmp", ".last.1-0123abcd.tmp.pth", "model.pth")]
    for path in theirs:
        path.write_text("kept")
    started(tmp_path)
    assert all(path.read_text() == "kept" for path in theirs)
    save_step(tmp_path, {"step": 5}, 5, keep=1)
    with pytest.raises(ValueError, match="holds the weights of another run: continue it with --resume"):
        started(tmp_path)
    started(tmp_path, overwrite=True)
    assert [path.exists() for path in theirs] == [True, True, False, True]  # a killed saving's: it is a run's folder
    assert not list(tmp_path.glob("step-*")) and not (tmp_path / "last.pth").exists()


def test_a_run_killed_while_it_starts_can_be_started_again(tmp_path: Path) -> None:
    start_run(tmp_path, [run_in(tmp_path)], False)
    open_stage(tmp_path, run_in(tmp_path))
    started(tmp_path)
    assert read_record(tmp_path) == [run_in(tmp_path)]


def test_a_replaced_run_loses_its_other_stages_too(tmp_path: Path) -> None:
    stages = [replace(preset("xmem", "tiny", stage), output=tmp_path / f"stage{stage}") for stage in "03"]
    start_run(tmp_path, stages, False)
    for stage in stages:
        open_stage(stage.folder(), stage)
        save_step(stage.folder(), {"step": 1}, 1, keep=1)
    start_run(tmp_path, stages[:1], True)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["run.json"]


def test_cleaning_takes_what_killed_savings_and_validations_left(tmp_path: Path) -> None:
    left = [".last.12-0123abcd.tmp.pth", ".step-0000003.1-00000000.tmp.pth", ".config.7-ffffffff.tmp.json"]
    kept = [".last.tmp.pth", ".mine.12-0123abcd.tmp.pth", "last.pth", ".x.tmp"]
    for name in left + kept:
        (tmp_path / name).touch()
    validation = tmp_path / ".validation.12-0123abcd.tmp" / "dog"
    validation.mkdir(parents=True)
    (validation / "00000.png").touch()
    clean_stage(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
