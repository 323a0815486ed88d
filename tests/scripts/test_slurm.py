"""The SLURM template: it starts or continues the run, passes the signal on, and queues itself again."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.support.paths import ROOT

TEMPLATE = ROOT / "scripts" / "train.slurm"
# Stands for srun: notes its arguments and trains until the signal comes.
SRUN = """#!/bin/bash
echo "$@" > "$NOTES/started"
[ -n "$FAILS" ] && exit 3
[ -n "$QUICK" ] && exit 0
trap 'echo saved > "$NOTES/saved"; exit 143' TERM
touch "$NOTES/ready"
while true; do sleep 0.05; done
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then printf 'node7\\nnode8\\n'; else echo "$@" > "$NOTES/queued"; fi
"""


def start(folder: Path, **more: str) -> "subprocess.Popen[str]":
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "NOTES": str(folder)}
    environment |= {"FAILS": "", "QUICK": ""}
    environment |= {"SLURM_JOB_ID": "123", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4"}
    environment |= {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_SUBMIT_DIR": str(folder), **more}
    command = ["bash", str(TEMPLATE), "--model", "xmem", "--output", "a folder"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.02)


def test_a_preempted_job_saves_and_is_queued_again(tmp_path: Path) -> None:
    job = start(tmp_path)
    wait_for(tmp_path / "ready")
    job.send_signal(signal.SIGTERM)
    out, _ = job.communicate(timeout=20)
    assert job.returncode == 143 and "will continue" in out
    assert (tmp_path / "saved").exists() and (tmp_path / "queued").read_text() == "requeue 123\n"
    words = (tmp_path / "started").read_text()
    assert "--nnodes=2 --nproc_per_node=4" in words and "--rdzv_endpoint=node7:20123" in words
    assert words.endswith("train.py --resume auto --model xmem --output a folder\n")


def test_a_finished_or_failed_job_is_not(tmp_path: Path) -> None:
    for more, status in (({"QUICK": "1"}, 0), ({"FAILS": "1"}, 3)):
        job = start(tmp_path, **more)
        job.communicate(timeout=20)
        assert job.returncode == status and not (tmp_path / "queued").exists()
