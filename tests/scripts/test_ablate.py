"""The ablation: which runs there are, what of them is done, the table by hand, and a small one as a whole."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import train
from scripts import ablate
from scripts.ablation.report import STEP_SECONDS, overheads, read_result, spread, step_seconds, write_report
from scripts.ablation.runs import TABLES, choose_rows, differences, is_finished, plan_runs, run_folder
from scripts.score_run import FILE as SCORES
from scripts.score_run import ScoreConfig, Scoring, read_scores
from scripts.score_run import main as score_run
from tests.support.toy_videos import toy_checkpoint, write_davis
from util import cli
from util.config.plain import plain
from util.config.presets import preset
from util.config.train import CorrespondenceConfig, TrainConfig
from util.files.checkpoint import save_checkpoint
from util.parallel.jobs import Job, Outcome
from util.run.stop import StopRequest

SHARED = "--model stcn --size tiny --dataset davis --batch_size 2 --iterations 4".split()
SETTINGS = {"data": "d17 val", "videos": ["a"], "size": 48, "gaps": [1, 5, 20], "pairs": 8}


def write_run(
    folder: Path,
    config: TrainConfig,
    figures: dict[str, float] | None = None,
    seconds: Sequence[float] = (),
    step: int = 4,
) -> None:
    """Write what a run leaves that is at `step` and, with figures, scored."""
    folder.mkdir(parents=True)
    config = replace(config, output=folder)
    (folder / "config.json").write_text(json.dumps(plain(config)))
    facts = {"commit": "abc", "cpu": "fast", "cores": 2, "gpus": [], "processes": 1}
    (folder / "run.json").write_text(json.dumps({"stages": [plain(config)], "starts": [facts]}))
    save_checkpoint(folder / "last.pth", {"step": step, "seconds": 1.0, "stage": config.stage})
    lines = [
        {"step": number, "clips_per_second": config.batch_size / taken, "minutes": 1.0}
        for number, taken in enumerate(seconds, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if figures is not None:
        file = (folder / "last.pth").stat()
        weights = {"file": "last.pth", "bytes": file.st_size, "modified_ns": file.st_mtime_ns}
        (folder / SCORES).write_text(json.dumps({"settings": SETTINGS, "weights": weights, "figures": figures}))


def write_planned(output: Path, table: int = 4, seeds: Sequence[int] = (1,), **kwargs: Any) -> None:
    for run in plan_runs(output, TABLES[table], seeds, SHARED):
        write_run(run.folder, run.stages[-1], **kwargs)


def test_rows_differ_by_their_flags_only(tmp_path: Path) -> None:
    flags = {row.name: " ".join(row.flags()) for rows in TABLES.values() for row in rows}
    assert flags == {
        "baseline": "--alpha 0.0",
        "pcl": "--no_ocl",
        "ocl": "--no_pcl",
        "both": "",
        "pcl-intra": "--no_ocl --pcl_negatives intra",
        "pcl-inter": "--no_ocl --pcl_negatives inter",
        "pcl-both": "--no_ocl --pcl_negatives both",
        "ocl-manual": "--no_pcl --ocl_objects manual",
        "ocl-auto": "--no_pcl --ocl_objects auto",
        "ocl-both": "--no_pcl --ocl_objects both",
        "ocl-paper": "--no_pcl --ocl_variant paper",
        "ocl-hard": "--no_pcl --ocl_variant hard",
        "both-hard": "--ocl_variant hard",
    }
    runs = plan_runs(tmp_path, TABLES[4], (3, 5), [*SHARED, "--alpha", "0.3"])
    names = ["baseline seed 3", "pcl seed 3", "ocl seed 3", "both seed 3", "baseline seed 5"]
    assert [run.name for run in runs][:5] == names and len(runs) == 8
    assert runs[1].folder == tmp_path / "pcl" / "seed3" == runs[1].stages[0].output
    assert runs[1].words[-2:] == ("--resume", "auto")
    plans = [run.stages[0] for run in runs[:4]]
    assert [(c.correspondence.pcl, c.correspondence.ocl, c.correspondence.alpha) for c in plans] == [
        (True, True, 0.0),
        (True, False, 0.3),
        (False, True, 0.3),
        (True, True, 0.3),
    ]
    same = {json.dumps(plain(replace(c, correspondence=CorrespondenceConfig(), output=None))) for c in plans}
    assert len(same) == 1 and plans[0].seed == 3 and plans[0].iterations == 4


def test_flags_of_training_without_the_dashes_before_them_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ablate.command_line(["--output", str(tmp_path / "a"), "--model", "stcn"])
    assert "error: --model is a flag of train.py: those follow after --, as in -- --model" in capsys.readouterr().err


def test_a_chain_of_stages_is_finished_with_its_last(tmp_path: Path) -> None:
    (run,) = plan_runs(tmp_path, choose_rows(4, ("pcl",)), (1,), [*SHARED, "--stage", "03"])
    for stage in run.stages:
        assert not is_finished(run)
        write_run(stage.folder(), stage)
    assert is_finished(run) and [stage.stage for stage in run.stages] == ["0", "3"]
    assert [stage.folder().name for stage in run.stages] == ["stage0", "stage3"]


def test_finished_begun_and_new_runs(tmp_path: Path) -> None:
    new, begun, finished = plan_runs(tmp_path, TABLES[4][:3], (1,), SHARED)
    write_run(begun.folder, begun.stages[0], step=3)
    write_run(finished.folder, finished.stages[0], step=4)
    assert [is_finished(run) for run in (new, begun, finished)] == [False, False, True]
    commands = [len(ablate.remaining(config_of(tmp_path), run, SETTINGS)()) for run in (new, begun, finished)]
    assert commands == [2, 2, 1]  # training and scoring, or scoring alone


def test_runs_of_other_settings_are_refused_with_what_differs(tmp_path: Path) -> None:
    write_planned(tmp_path)
    plan_runs(tmp_path, TABLES[4], (1,), SHARED)
    unimportant = "--num_workers 3 --log_every 7 --save_every 9 --picture_every 0 --validate_every 5".split()
    plan_runs(tmp_path, TABLES[4], (1,), [*SHARED, *unimportant])
    with pytest.raises(ValueError) as refusal:
        plan_runs(tmp_path, TABLES[4], (1,), [*SHARED, "--iterations", "6", "--frames", "4", "--lr", "0.1"])
    assert str(refusal.value) == (
        f"{tmp_path}/baseline/seed1 holds a run with other settings: iterations 4 (now 6), frames 3 (now 4), "
        "lr 0.0005 (now 0.1). Give the same flags, choose another --output, or remove that folder."
    )
    with pytest.raises(ValueError, match=r"pcl/seed1 holds a run with other settings: beta 0.5 \(now 0.25\)\. Give"):
        plan_runs(tmp_path, TABLES[4], (1,), [*SHARED, "--beta", "0.25"])  # of no concern to the baseline
    with pytest.raises(ValueError, match=r"with other settings: stage 2 \(now 3\)"):
        plan_runs(tmp_path, TABLES[4], (1,), [*SHARED, "--stage", "3"])
    (tmp_path / "pcl" / "seed1" / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"pcl/seed1/run.json is damaged .*: remove that folder, or restore the file"):
        plan_runs(tmp_path, TABLES[4], (1,), SHARED)


def test_a_record_from_before_the_losses_is_one_of_a_baseline() -> None:
    config = preset("stcn", "tiny")
    recorded = plain(config)
    del recorded["correspondence"]
    del recorded["clip"]["plain_end"]
    assert differences(recorded, replace(config, correspondence=CorrespondenceConfig(alpha=0))) == []
    assert differences(recorded, config) == ["alpha 0.0 (now 0.2)"]


def test_data_are_the_same_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_davis(tmp_path / "real", {"a": 2}) / "trainval"
    linked = tmp_path / "linked"
    linked.mkdir()
    for part in ("JPEGImages", "Annotations"):
        (linked / part).symlink_to(root / part)
    (linked / "Proposals").mkdir()
    other = write_davis(tmp_path / "other", {"a": 2}) / "trainval"
    monkeypatch.chdir(tmp_path)

    def found(before: Path, now: Path) -> list[str]:
        config = preset("stcn", "tiny")
        old, new = (replace(config, data=replace(config.data, davis_root=place)) for place in (before, now))
        users = replace(new, data=replace(old.data, user_roots=(now,)))
        assert bool(differences(plain(replace(old, data=replace(old.data, user_roots=(before,)))), users)) == bool(
            differences(plain(old), new)
        )
        return differences(plain(old), new)

    assert found(root, linked) == found(linked, root) == found(root, Path("real/trainval")) == []
    assert found(root, other) == [f"davis_root {root} (now {other})"]
    assert found(Path("gone"), tmp_path / "gone") == [] != found(Path("gone"), Path("away"))


def test_what_the_rows_decide_is_not_the_users_to_give(tmp_path: Path) -> None:
    for word, name in (("--seed", "seed"), ("--no-pcl", "no_pcl"), ("--ocl", "ocl"), ("--output=x", "output")):
        with pytest.raises(ValueError, match=f"^--{name} after --: the rows, --seeds and --output decide it; leave it"):
            plan_runs(tmp_path, TABLES[4], (1,), [*SHARED, word])
    negatives = [*SHARED, "--pcl_negatives", "intra"]
    assert plan_runs(tmp_path, TABLES[4], (1,), negatives)[1].stages[0].correspondence.pcl_negatives == "intra"
    with pytest.raises(ValueError, match="--pcl_negatives after --: the rows"):
        plan_runs(tmp_path, TABLES[5], (1,), negatives)
    with pytest.raises(ValueError, match="--alpha 0: row pcl would be the baseline again"):
        plan_runs(tmp_path, TABLES[4], (1,), [*SHARED, "--alpha", "0"])
    with pytest.raises(ValueError, match="--rows pcl-intra: table 4 has the rows baseline, pcl, ocl, both"):
        choose_rows(4, ("pcl", "pcl-intra"))
    assert [row.name for row in choose_rows(4, ("ocl", "baseline"))] == ["baseline", "ocl"]


def test_a_run_of_table_4_serves_the_other_tables(tmp_path: Path) -> None:
    write_planned(tmp_path, figures={"J&F": 0.5, "J-Mean": 0.4, "F-Mean": 0.6})
    folders = {table: [run_folder(tmp_path, row, 1).parent.name for row in TABLES[table]] for table in (5, 6, 7)}
    assert folders[5] == ["baseline", "pcl-intra", "pcl-inter", "pcl"]
    assert folders[6] == ["baseline", "ocl", "ocl-auto", "ocl-both"]  # the tiny preset compares annotated objects
    assert folders[7] == ["baseline", "pcl", "ocl", "ocl-hard", "both-hard"]  # the paper's variant is the default
    first = write_report(tmp_path)
    assert "Table 5" not in first and "Variants" not in first
    (run,) = plan_runs(tmp_path, choose_rows(5, ("pcl-intra",)), (1,), SHARED)
    write_run(run.folder, run.stages[0], figures={"J&F": 0.5, "J-Mean": 0.4, "F-Mean": 0.6})
    text = write_report(tmp_path)
    assert text.count("| baseline | 1 |") == 2 and "Table 6" not in text
    assert text.index("Table 5") < text.index("| pcl-intra | 1 |") < text.index("| pcl-both | 1 |")


def test_time_of_a_step_by_hand() -> None:
    config = replace(preset("stcn", "tiny"), iterations=100, batch_size=6)
    log = [{"step": step, "clips_per_second": 6 / taken, "minutes": 1.0} for step, taken in ((10, 1), (20, 1), (30, 3))]
    assert step_seconds(log, config) == pytest.approx(3)  # the ramp starts at step 20
    log += [
        {"step": 40, "clips_per_second": 3.0, "minutes": 1.0},
        {"step": 50, "clips_per_second": 0.6, "minutes": 1.0},
    ]
    assert step_seconds(log, config) == pytest.approx(3)  # of 3, 2 and 10
    by_time = replace(config, iterations=10_000, max_minutes=2)
    assert step_seconds(log, by_time) == pytest.approx(2)  # of 1, 1, 3, 2, 10: half of the time is over in all
    assert step_seconds([], config) is None


def test_mean_and_spread_by_hand() -> None:
    assert spread([1.0, 2.0, 6.0], "{:.2f}".format) == "3.00 ± 2.65"  # sqrt((4 + 1 + 9) / 2)
    assert spread([1.0], "{:.1f}".format) == "1.0" and spread([], "{:.1f}".format) == "–"


def test_the_table_by_hand(tmp_path: Path) -> None:
    rows: dict[tuple[str, int], tuple[dict[str, float], list[float]]] = {
        ("baseline", 1): ({"J&F": 0.50, "J-Mean": 0.4, "F-Mean": 0.6, "match_foreground_5": 0.8}, [9, 2, 2]),
        ("baseline", 2): ({"J&F": 0.54, "J-Mean": 0.5, "F-Mean": 0.58, "match_foreground_5": 0.7}, [9, 4, 4]),
        ("pcl", 1): ({"J&F": 0.60, "J-Mean": 0.5, "F-Mean": 0.7, "match_foreground_20": 0.6}, [1, 2.2, 2.2]),
        ("pcl", 2): ({"J&F": 0.55, "J-Mean": 0.5, "F-Mean": 0.6, "match_background_5": 0.9}, [1, 4.8, 4.8]),
        ("both", 3): ({"J&F": 0.61, "J-Mean": 0.5, "F-Mean": 0.72, "match_foreground_5": 0.9}, []),
    }
    for run in plan_runs(tmp_path, TABLES[4], (1, 2, 3), [*SHARED, "--ramp", "0.3", "0.6"]):
        if (run.row.name, run.seed) in rows:
            figures, seconds = rows[run.row.name, run.seed]
            write_run(run.folder, run.stages[0], figures, seconds)
    write_run(tmp_path / "ocl" / "seed1", preset("stcn", "tiny"))  # not scored yet
    text = write_report(tmp_path)
    assert text == (tmp_path / "table.md").read_text()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert table[0] == [
        *("row", "seeds", "J&F", "J", "F", "objects, gap 5", "objects, gap 20", "background, gap 5"),
        *(STEP_SECONDS, "overhead"),
    ]
    assert table[2:] == [
        # The step before the ramp does not count.
        ["baseline", "2", "52.0 ± 2.8", "45.0 ± 7.1", "59.0 ± 1.4", "75.0 ± 7.1", "–", "–", "3.000 ± 1.414", ""],
        # Overheads of 10 % and 20 %, each against the baseline of its seed.
        ["pcl", "2", "57.5 ± 3.5", "50.0 ± 0.0", "65.0 ± 7.1", "–", "60.0", "90.0", "3.500 ± 1.838", "+15.0 % ± 7.1 %"],
        ["both", "1", "61.0", "50.0", "72.0", "90.0", "–", "–", "–", "–"],
    ]
    assert "4 steps of 2 clips of 3 frames, 160 pixels; scored on d17 val (1 videos, shorter side 48)" in text
    assert "(baseline: 1 2; pcl: 1 2; both: 3)" in text and "the median over the lines of the log" in text
    assert "Not the same" not in text
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.size == (3 * 630, 3 * 405)  # seven quantities, three rows

    record = json.loads((tmp_path / "pcl" / "seed1" / "run.json").read_text())
    record["starts"][-1]["cpu"] = "slow"
    (tmp_path / "pcl" / "seed1" / "run.json").write_text(json.dumps(record))
    assert "Not the same for all runs, so that times need care: cpu fast, slow." in write_report(tmp_path)


def test_scores_of_other_weights_or_data_do_not_count(tmp_path: Path) -> None:
    write_planned(tmp_path, figures={"J&F": 0.5, "J-Mean": 0.5, "F-Mean": 0.5})
    run = tmp_path / "pcl" / "seed1"
    assert read_scores(run, SETTINGS) is not None and read_scores(run, SETTINGS | {"size": 96}) is None
    os.utime(run / "last.pth", ns=(0, 0))
    assert read_scores(run, SETTINGS) is None and read_scores(run) is not None
    scores = json.loads((run / SCORES).read_text())
    (run / SCORES).write_text(json.dumps(scores | {"settings": SETTINGS | {"size": 96, "data": "d16 val"}}))
    with pytest.raises(
        ValueError, match="pcl/seed1 and .*baseline/seed1 were scored on different data, size: score all"
    ):
        write_report(tmp_path)
    assert "| pcl |" not in write_report(tmp_path, SETTINGS)
    with pytest.raises(
        FileNotFoundError, match=r"empty holds no scored run of an ablation \(ROW/seed<N>/scores.json\)"
    ):
        write_report(tmp_path / "empty")


def config_of(output: Path, **changes: Any) -> ablate.AblateConfig:
    return ablate.AblateConfig(output=output, **changes)


def test_shares_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shares = ablate.machine_shares(config_of(tmp_path, jobs=2))
    assert shares == 2 * [{"OMP_NUM_THREADS": "4"}]
    gpus = ablate.machine_shares(config_of(tmp_path, jobs=3, gpus=("0", "1", "5", "7"), nproc_per_node=2))
    assert [share["CUDA_VISIBLE_DEVICES"] for share in gpus] == ["0,1", "5,7", "0,1"]
    assert gpus[0]["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert ablate.machine_shares(config_of(tmp_path))[0] == {"OMP_NUM_THREADS": "3"}
    with pytest.raises(ValueError, match="--nproc_per_node 2: --gpus names only 1"):
        ablate.machine_shares(config_of(tmp_path, gpus=("0",), nproc_per_node=2))
    with pytest.raises(ValueError, match="--jobs and --nproc_per_node: expected at least 1"):
        ablate.machine_shares(config_of(tmp_path, jobs=0))


def test_torchrun_starts_several_processes(tmp_path: Path) -> None:
    (run,) = plan_runs(tmp_path, choose_rows(4, ("ocl",)), (1,), SHARED)
    scoring = Scoring(val_dataset="d16", val_root=Path("x"), val_size=240)
    train, score = ablate.remaining(config_of(tmp_path, nproc_per_node=2, scoring=scoring), run, SETTINGS)()
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    assert train == [*start, str(ablate.TRAIN), *run.words]
    words = "--val_dataset d16 --val_root x --val_split val --val_size 240 --device auto"
    assert score == [sys.executable, str(ablate.SCORE), str(run.folder), *words.split()]


def test_a_run_that_fails_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_davis(tmp_path / "data", {"a": 3})
    scoring = Scoring(val_root=root / "trainval", val_size=48)
    monkeypatch.setitem(SETTINGS, "data", scoring.settings()["data"])
    output, prepared = tmp_path / "output", tmp_path / "prepared"
    write_planned(prepared, figures={"J&F": 0.5, "J-Mean": 0.5, "F-Mean": 0.5})
    shutil.rmtree(prepared / "pcl")
    stand_in = tmp_path / "train.py"
    stand_in.write_text(
        "import pathlib, shutil, sys\n"
        "output = pathlib.Path(sys.argv[sys.argv.index('--output') + 1])\n"
        f"source = pathlib.Path({str(prepared)!r}) / output.parent.name / output.name\n"
        "print('training', output.parent.name)\n"
        "if not source.exists(): sys.exit('error: --davis_root: no such folder')\n"
        "shutil.copytree(source, output, dirs_exist_ok=True)\n"
    )
    (tmp_path / "score.py").write_text("")
    monkeypatch.setattr(ablate, "TRAIN", stand_in)
    monkeypatch.setattr(ablate, "SCORE", tmp_path / "score.py")
    words = ["--output", str(output), "--seeds", "1", "--jobs", "2", "--val_root", str(root / "trainval")]
    words += ["--val_size", "48", "--", *SHARED]
    with pytest.raises(SystemExit) as stop:
        ablate.command_line(words)
    shown = capsys.readouterr().err
    assert stop.value.code == 1 and "failed: pcl seed 1; the same command tries them again" in shown
    assert f"pcl seed 1 failed with status 1; the end of {output}/pcl/seed1/ablate.log:" in shown
    assert "training pcl\nerror: --davis_root: no such folder" in shown and "both seed 1: done" in shown
    table = (output / "table.md").read_text()
    assert [f"| {row} | 1 |" in table for row in ("baseline", "pcl", "ocl", "both")] == [True, False, True, True]

    write_run(prepared / "pcl" / "seed1", preset("stcn", "tiny"))
    stand_in.write_text(stand_in.read_text() + "sys.exit(5)\n")  # whoever is done must not be started again
    with pytest.raises(SystemExit) as stop:
        ablate.command_line(words)
    shown = capsys.readouterr().err
    assert "both seed 1: was done already" in shown and "pcl seed 1 failed with status 5" in shown

    ablate.command_line(["--output", str(output), "--only_report"])
    assert capsys.readouterr().out == table


def in_this_process(
    jobs: Sequence[Job], slots: Sequence[Any], stop: StopRequest, watch: Callable[[Sequence[Job]], None]
) -> Iterator[Outcome]:
    """Do what `run_jobs` does without starting Python for each command, which takes seconds."""
    for job in jobs:
        commands = job.commands()
        for _, program, *words in commands:
            if program == str(ablate.TRAIN):
                train.command_line(words)
            else:
                cli.run(score_run, ScoreConfig, "score_run.py", "", words)
            watch([job])
        yield Outcome(job=job, status=0, commands=len(commands))


def test_a_small_ablation_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablate, "run_jobs", in_this_process)
    root = write_davis(tmp_path / "data", {"a": 8, "b": 8}) / "trainval"
    words = f"--output {tmp_path}/out --rows baseline --seeds 7 --val_root {root} --val_size 48"
    words += f" -- --model stcn --size tiny --stage 2 --dataset davis --davis_root {root} --device cpu --batch_size 2"
    words += " --crop_size 32 --crop_scale 0.5 1 --iterations 2 --log_every 1"
    ablate.command_line(words.split())
    run = tmp_path / "out" / "baseline" / "seed7"
    result = read_result(run)
    assert result is not None and result.config.seed == 7 and result.config.correspondence.alpha == 0
    assert 0 <= result.figures["J&F"] <= 1 and 0 <= result.figures["match_foreground_5"] <= 1
    assert result.figures[STEP_SECONDS] > 0 and "| baseline | 1 |" in (tmp_path / "out" / "table.md").read_text()
    with Image.open(tmp_path / "out" / "plot.png") as plot:
        assert np.ptp(np.array(plot)) > 200
    capsys.readouterr()
    before = (run / SCORES).stat().st_mtime_ns, (run / "last.pth").stat().st_mtime_ns
    score_run(ScoreConfig(run=run, scoring=Scoring(val_root=root, val_size=48)))  # is there already
    assert capsys.readouterr().out.splitlines()[0].split() == ["J&F", f"{100 * result.figures['J&F']:.1f}"]
    ablate.command_line(words.split())
    assert before == ((run / SCORES).stat().st_mtime_ns, (run / "last.pth").stat().st_mtime_ns)
    assert "baseline seed 7: was done already" in capsys.readouterr().err


def test_what_cannot_be_scored_or_compared_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_davis(tmp_path / "data", {"a": 3}) / "trainval"
    with pytest.raises(FileNotFoundError, match="holds no last.pth: expected the folder of a run of train.py"):
        score_run(ScoreConfig(run=tmp_path, scoring=Scoring(val_root=root), device="cpu"))
    toy_checkpoint(tmp_path / "last.pth")
    score_run(ScoreConfig(run=tmp_path, scoring=Scoring(val_root=root, val_size=48), device="cpu"))
    assert "J-Mean" in capsys.readouterr().out
    for words, message in (
        (["--output", "x", "--seeds", "1", "1", "--"], "--seeds 1 1: expected different seeds, at least one"),
        (["--output", "x", "--", "--model", "stcm"], "no preset for model 'stcm'"),
        (["--output", "x", "--", "--iteration", "3"], "unknown flag --iteration: the nearest is --iterations"),
        (["--output", "x", "--iterations", "3"], "unknown flag --iterations"),
    ):
        scored = ["--val_root", str(root)]
        with pytest.raises(SystemExit) as stop:
            ablate.command_line([*scored, *words])
        assert stop.value.code == 2 and message in capsys.readouterr().err


def test_overheads_are_of_the_same_seed(tmp_path: Path) -> None:
    write_planned(tmp_path, seeds=(1, 2), figures={"J&F": 0.5}, seconds=[1.0, 1.0, 1.0])
    result = read_result(tmp_path / "pcl" / "seed1")
    assert result is not None
    slower = replace(result, figures={STEP_SECONDS: 1.5})
    assert overheads({1: slower, 4: slower}, {1: result, 2: result}) == [pytest.approx(0.5)]
    assert overheads({1: replace(result, figures={})}, {1: result}) == []
