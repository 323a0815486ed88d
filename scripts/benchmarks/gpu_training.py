"""The parts of scripts/gpu_check.py that train."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import train
from model.build import NETWORKS
from model.training.start import build_state
from scripts.benchmarks.calibration import seconds
from scripts.benchmarks.train import random_batch
from util.config.presets import preset
from util.config.train import TrainConfig
from util.device import peak_memory_bytes


def training_steps(device: torch.device) -> dict[str, Any]:
    """Do one step of every network in fp32 on the device and on the CPU; losses at most 1e-3 apart, relatively."""
    apart = {}
    for name in NETWORKS:
        run = small_run(name, "fp32")
        batch, losses = random_batch(run), []
        for place in (torch.device("cpu"), device):
            metrics, _ = train.train_step(build_state(run, place), [batch], run)
            losses.append(metrics["loss"].item())
        apart[name] = abs(losses[1] - losses[0]) / abs(losses[0])
    return {**apart, "passed": max(apart.values()) < 1e-3}


def matrix_rate(device: torch.device, quick: bool) -> float:
    """Measure the device's rate in a large bf16 matrix product, in TFLOP/s: what no network can exceed."""
    side, count = (256, 2) if quick else (8192, 20)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    a @ b
    return 2 * side**3 * count / seconds(device, lambda: [a @ b for _ in range(count)]) / 1e12


def training_speed(device: torch.device, quick: bool) -> dict[str, Any]:
    """Measure steps of XMem and STCN at the published batch, eager and compiled, in the device's usual precision.

    Gives clips a second and the share of `matrix_rate` that the eager step reaches. A quick check on a CPU leaves the
    compiled steps out: to compile takes minutes there.
    """
    peak, count = matrix_rate(device, quick), 2 if quick else 10
    out: dict[str, Any] = {"bf16 TFLOP/s": peak}
    for name in ("xmem", "stcn"):
        run = (
            small_run(name, "auto") if quick else replace(preset(name, "base", "2"), pretrained=False, freeze_bn="yes")
        )
        run, batch = replace(run, device=str(device)), None
        for word, compiled in (("eager", False), ("compiled", True)):
            if compiled and quick and device.type == "cpu":
                continue
            mine = replace(run, compile=compiled)
            state, batch = build_state(mine, device), batch or random_batch(mine).to(device)

            def step(state: Any = state, batch: Any = batch, run: TrainConfig = mine) -> None:
                train.train_step(state, [batch], run)

            for _ in range(3 if compiled else 1):
                step()
            taken = seconds(device, lambda step=step: [step() for _ in range(count)]) / count  # type: ignore[misc]
            out[f"{name} {word} clips a second"] = run.batch_size / taken
            if not compiled:
                with FlopCounterMode(display=False) as counter:
                    step()
                out[f"{name} share of the matrix rate"] = counter.get_total_flops() / taken / 1e12 / peak
    return {**out, "peak MB": peak_memory_bytes(device) / 2**20, "passed": True}


def short_training(device: torch.device, minutes: float) -> dict[str, Any]:
    """Train a tiny XMem on the generated sample data, with its loader; the loss must fall.

    Gives the mean loss of the first and the last lines of the log, clips a second, and the share of the time that was
    spent waiting for clips.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = ["--model", "xmem", "--size", "tiny", "--stage", "2", "--dataset", "sample", "--device", str(device)]
        words += ["--sample_root", f"{folder}/sample", "--output", f"{folder}/run", "--max_minutes", str(minutes)]
        train.command_line([*words, "--log_every", "1", "--alpha", "0"])
        lines = [json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()]
    few = max(len(lines) // 10, 1)
    first, last = (sum(line["loss"] for line in part) / few for part in (lines[:few], lines[-few:]))
    means = {name: sum(line[name] for line in lines) / len(lines) for name in ("clips_per_second", "data_wait")}
    return {"loss before": first, "loss after": last, "steps": lines[-1]["step"], **means, "passed": last < first}


def small_run(name: str, precision: str) -> TrainConfig:
    """Return a run of a tiny network on small pictures, without correspondence losses."""
    run = preset(name, "tiny", "2")
    return replace(
        run,
        precision=precision,  # type: ignore[arg-type]
        batch_size=2,
        pretrained=False,
        freeze_bn="yes",
        augment=replace(run.augment, crop_size=64),
        correspondence=replace(run.correspondence, alpha=0.0),
    )
