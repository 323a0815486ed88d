"""Compares trainings with and without the correspondence losses: the rows of the paper's Tables 4, 5 and 6.

Trains each row with each seed by starting train.py with the flags after `--`, which all share, scores the last weights,
and writes table.md and plot.png into --output, anew after each run. Started again, it goes on where it was.

python scripts/ablate.py --output runs/table4 --val_dataset d16 --val_size 240 -- --model stcn --size tiny --stage 2
python scripts/ablate.py --output runs/table4 --table 5 --gpus 0 1 2 3 --jobs 2 --nproc_per_node 2 -- --model stcn
python scripts/ablate.py --output runs/table4 --only_report
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import progressbar

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model.training.state import progress
from scripts.ablation.report import write_report
from scripts.ablation.runs import Run, choose_rows, is_finished, plan_runs
from scripts.score_run import Scoring, read_scores
from util import cli
from util.parallel.jobs import Job, Outcome, end_of, run_jobs
from util.run.log import FILE, read_scalars
from util.run.progress import CurrentStderr
from util.run.stop import StopRequest, stop_signals

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "train.py"
SCORE = ROOT / "scripts" / "score_run.py"
LOG, LOCK = "ablate.log", ".ablate.lock"
_UNITS = 1_000  # of the bar, for each run


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """What to compare, on what part of the machine. Flags of train.py follow after --."""

    output: Path
    """Folder of the ablation; a run's is OUTPUT/ROW/seed<N>."""
    table: Literal[4, 5, 6, 7] = 4
    """4: baseline, pcl, ocl, both; 5: negatives of PCL; 6: objects of OCL; 7: OCL's variants."""
    rows: tuple[str, ...] = ()
    """Rows of the table to run (default: all)."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds of each row."""
    jobs: int = 1
    """Runs at a time."""
    gpus: tuple[str, ...] = ()
    """GPUs to share out to the runs in turn, as CUDA_VISIBLE_DEVICES names them (default: as the environment says)."""
    nproc_per_node: int = 1
    """Processes of each run, started by torchrun, each with a GPU of its own if there are --gpus."""
    only_report: bool = False
    """Train and score nothing: write the table and the plot of what is there."""
    scoring: Scoring = field(default_factory=Scoring)


def command_line(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says; the status is 1 if a run failed."""
    with cli.program():
        words = list(sys.argv[1:] if arguments is None else arguments)
        end = words.index("--") if "--" in words else len(words)
        shared = [flag for flag in ("--model", "--stage", "--dataset") if flag in words[:end]]
        if shared:
            raise ValueError(f"{shared[0]} is a flag of train.py: those follow after --, as in -- {shared[0]} ...")
        main(cli.parse(AblateConfig, "ablate.py", __doc__ or "", words[:end]), words[end + 1 :])


def main(config: AblateConfig, words: Sequence[str]) -> None:
    """Train, score and report; `words` are the flags of train.py that all runs share."""
    if config.only_report:
        print(write_report(config.output), end="")
        return
    slots = machine_shares(config)
    settings = config.scoring.settings()
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"--seeds {' '.join(map(str, config.seeds))}: expected different seeds, at least one.")
    runs = plan_runs(config.output, choose_rows(config.table, config.rows), config.seeds, words)
    with stop_signals() as stop:
        failed = run_all(config, runs, slots, settings, stop)
    if stop.signal:
        logger.info("stopped by signal %d: the same command goes on", stop.signal)
        raise SystemExit(128 + stop.signal)
    if failed:
        logger.error("failed: %s; the same command tries them again", ", ".join(failed))
        raise SystemExit(1)


def run_all(
    config: AblateConfig,
    runs: Sequence[Run],
    slots: Sequence[Mapping[str, str]],
    settings: Mapping[str, object],
    stop: StopRequest,
) -> list[str]:
    """Train and score what is not done yet, report after each run, and return the names of those that failed."""
    named = {run.name: run for run in runs}
    jobs = [
        Job(name=run.name, commands=remaining(config, run, settings), log=run.folder / LOG, lock=run.folder / LOCK)
        for run in runs
    ]
    failed: list[str] = []
    over = 0
    bar = progressbar.ProgressBar(max_value=len(runs) * _UNITS, fd=CurrentStderr()).start()

    def watch(running: Sequence[Job]) -> None:
        share = over + sum(trained_share(named[job.name]) for job in running)
        if (units := int(share * _UNITS)) > bar.value:
            bar.update(units)

    logger.info("%d runs, %d at a time", len(runs), len(slots))
    try:
        for outcome in run_jobs(jobs, slots, stop, watch):
            if stop.signal and outcome.status != 0:
                continue
            over += 1
            tell(outcome)
            if outcome.status:
                failed.append(outcome.job.name)
            if any(read_scores(run.folder, settings) for run in runs):
                write_report(config.output, settings)
    finally:
        bar.finish(dirty=over < len(jobs))
    return failed


def remaining(config: AblateConfig, run: Run, settings: Mapping[str, object]) -> Callable[[], list[list[str]]]:
    """Return a call that gives the commands that a run still needs: its training, its scoring, both or none."""
    train = [sys.executable]
    if config.nproc_per_node > 1:
        train += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={config.nproc_per_node}"]
    train += [str(TRAIN), *run.words]
    score = [sys.executable, str(SCORE), str(run.folder), *scoring_words(config.scoring)]
    score += ["--device", run.stages[-1].device]

    def commands() -> list[list[str]]:
        if not is_finished(run):
            return [train, score]
        return [] if read_scores(run.folder, settings) else [score]

    return commands


def scoring_words(scoring: Scoring) -> list[str]:
    """Return the flags of score_run.py."""
    words: list[str] = []
    for item in fields(scoring):
        value = getattr(scoring, item.name)
        if value is not None:
            words += [f"--{item.name}", str(value)]
    return words


def machine_shares(config: AblateConfig) -> list[dict[str, str]]:
    """Return the environment of each of --jobs: its GPUs, taken in turn, and its part of the cores as threads.

    OMP_NUM_THREADS stays as it is where the environment sets it.
    Raises ValueError for numbers out of range.
    """
    if config.jobs < 1 or config.nproc_per_node < 1:
        raise ValueError("--jobs and --nproc_per_node: expected at least 1.")
    if config.gpus and len(config.gpus) < config.nproc_per_node:
        raise ValueError(f"--nproc_per_node {config.nproc_per_node}: --gpus names only {len(config.gpus)}.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = max(cores // (config.jobs * config.nproc_per_node), 1)
    shares = []
    for job in range(config.jobs):
        share = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
        if config.gpus:
            first = job * config.nproc_per_node
            own = [config.gpus[(first + i) % len(config.gpus)] for i in range(config.nproc_per_node)]
            share["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        shares.append(share)
    return shares


def trained_share(run: Run) -> float:
    """Return how much of a run's training its logs say is over, in 0..1."""
    shares = []
    for stage in run.stages:
        path = stage.folder() / FILE
        lines = read_scalars(path) if path.is_file() else []
        shares.append(min(progress(stage, lines[-1]["step"], 60 * lines[-1]["minutes"]), 1.0) if lines else 0.0)
    return sum(shares) / len(shares)


def tell(outcome: Outcome) -> None:
    """Log what became of a run; of one that failed, the end of its log."""
    job = outcome.job
    if outcome.status is None:
        logger.warning("%s: left out, another process is at it (%s is locked)", job.name, job.lock)
    elif outcome.status:
        logger.error("%s failed with status %d; the end of %s:\n%s", job.name, outcome.status, job.log, end_of(job.log))
    else:
        logger.info("%s: %s", job.name, "done" if outcome.commands else "was done already")


if __name__ == "__main__":
    command_line()
