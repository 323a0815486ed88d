"""Does everything work on this GPU, and how fast? One command for a machine that has nothing but the project.

    python scripts/gpu_check.py                      # the GPU: at most 8 minutes
    python scripts/gpu_check.py --train 5            # and then trains a tiny network for five minutes
    python scripts/gpu_check.py --device cpu --quick # every part, small, to see that the check itself works

Prints a table and writes JSON. A part that fails is reported, and the others go on; the exit status is then 1.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import torch.distributed as dist
import tyro

from dataset.sample.sample import CHAIR
from inference import InferenceConfig, build_segmenter, segment_video
from model import build_model, load_checkpoint
from scripts.benchmarks.gpu_frames import compiled_frames, frames_a_second, from_files
from scripts.benchmarks.gpu_training import short_training, training_speed, training_steps
from tests.support.golden_clip import clip
from tests.support.golden_weights import fill_state_dict
from util.cli import program
from util.device import select_device, set_up

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to check.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        only: parts, by name; all of them by default.
        quick: small networks, pictures and counts: shows that the check works, and no speed.
        output: where the JSON goes.
        minutes: parts that would begin later are left out, and said to be.
        train: minutes of a training of a tiny network on the sample data that follows the parts; 0 leaves it out.
    """

    device: str = "auto"
    only: tuple[str, ...] = ()
    quick: bool = False
    output: Path = Path("gpu_check.json")
    minutes: float = 8.0
    train: float = 0.0

    @property
    def size(self) -> str:
        """The networks' size."""
        return "tiny" if self.quick else "base"


def parity(config: Config, device: torch.device) -> dict[str, Any]:
    """Compare probabilities in fp32 with those of the released XMem in tests/data; at most 1e-3 apart."""
    golden = np.load(ROOT / "tests" / "data" / "xmem_newobject.npz")
    info = json.loads(str(golden["info"]))
    images, masks = clip(info["frames"], info["h"], info["w"], info["objects"], info["seed"])
    appear = {int(frame): ids for frame, ids in info["appear"].items()}
    known = set(InferenceConfig.__dataclass_fields__)
    settings = {key: value for key, value in {**info, **info.get("config", {})}.items() if key in known}
    model = build_model("xmem").eval()
    model.load_state_dict(fill_state_dict(model.state_dict()))
    segmenter = build_segmenter(model, InferenceConfig(**settings | {"precision": "fp32"}), device)
    worst = 0.0
    for t in range(6 if config.quick else info["frames"]):
        mask = torch.from_numpy(masks[t]) if t in appear else None
        prob = segmenter.step(torch.from_numpy(images[t]), mask, appear.get(t), last=t == info["frames"] - 1)
        if f"prob_{t:03d}" in golden.files:
            worst = max(worst, float(np.abs(prob.cpu().numpy() - golden[f"prob_{t:03d}"]).max()))
    return {"largest difference": worst, "passed": worst < 1e-3}


def precisions(config: Config, device: torch.device) -> dict[str, Any]:
    """Compare masks of a real clip in half precision with those in fp32: mean IoU of the object, at least 0.995."""
    model = load_checkpoint("box", device)
    frames, masks = next(CHAIR.glob("JPEGImages/*")), next(CHAIR.glob("Annotations/*"))
    found = {}
    for precision in ("fp32", "bf16", "fp16"):
        settings = InferenceConfig(precision=precision)  # type: ignore[arg-type]
        stop = 3 if config.quick else None
        video = segment_video(model, frames, masks, 240, settings, device=device, stop=stop)
        found[precision] = np.stack([frame.id_mask > 0 for frame in video])
    iou = {name: _iou(found[name], found["fp32"]) for name in ("bf16", "fp16")}
    return {**iou, "passed": min(iou.values()) >= 0.995}


def processes(config: Config, device: torch.device) -> dict[str, Any]:
    """Start a process group of one process and sum a tensor on the device."""
    backend, own = ("nccl", device) if device.type == "cuda" else ("gloo", None)
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, device_id=own)
    try:
        x = torch.ones(1000, device=device)
        dist.all_reduce(x)
        return {"backend": backend, "passed": bool(x.sum().item() == 1000)}
    finally:
        dist.destroy_process_group()


PARTS: dict[str, Callable[[Config, torch.device], dict[str, Any]]] = {
    "parity": parity,
    "precisions": precisions,
    "training_steps": lambda _, device: training_steps(device),
    "processes": processes,
    "frames_a_second": lambda config, device: frames_a_second(device, config.quick),
    "compiled_frames": lambda config, device: compiled_frames(device, config.quick),
    "from_files": lambda config, device: from_files(device, config.quick),
    "training_speed": lambda config, device: training_speed(device, config.quick),
}


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = (a | b).sum(axis=(1, 2))
    return float(np.where(union > 0, (a & b).sum(axis=(1, 2)) / np.maximum(union, 1), 1.0).mean())


def main(config: Config) -> None:
    """Run the parts, print what they found, write it."""
    device, began = select_device(config.device), time.monotonic()
    unknown = sorted(set(config.only) - set(PARTS))
    if unknown:
        raise ValueError(f"--only {' '.join(unknown)}: expected some of {', '.join(PARTS)}.")
    set_up(device, fixed_sizes=device.type == "cuda")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"on {name}" + ("" if device.type == "cuda" else ": no GPU is checked"))
    report: dict[str, Any] = {"device": name, "torch": torch.__version__, "quick": config.quick, "parts": {}}
    parts = dict(PARTS)
    if config.train:
        parts["short_training"] = lambda config, device: short_training(device, config.train)
    for part in (*(config.only or PARTS), *(("short_training",) if config.train else ())):
        start = time.monotonic()
        if start - began > 60 * config.minutes and part in PARTS:
            found: dict[str, Any] = {"left out": f"{config.minutes} minutes were over"}
        else:
            try:
                found = parts[part](config, device)
            except Exception as error:  # the other parts are still worth knowing
                found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        found["seconds"] = time.monotonic() - start
        report["parts"][part] = found
        words = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in found.items())
        print(f"{part:16} {', '.join(words)}", flush=True)
    config.output.write_text(json.dumps(report, indent=2) + "\n")
    if not all(found.get("passed", False) for found in report["parts"].values()):
        raise SystemExit(1)


if __name__ == "__main__":
    with program():
        main(tyro.cli(Config, description=__doc__))
