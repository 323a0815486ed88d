"""Whole runs by name. Published values: RECIPES of STCN and XMem, quoted in the README."""

from dataclasses import replace

from util.config import Augmentation, ClipConfig, DataConfig, LossConfig, OptimConfig, TrainConfig

MODELS = ("xmem", "stcn", "stcn-corr")
SIZES = ("base", "tiny")
STAGES = ("0", "2", "3")


def preset(model: str, size: str = "base", stage: str = "2") -> TrainConfig:
    """Return the run for a model, size and stage.

    Raises ValueError for one that does not exist, with those that do.
    """
    for what, given, valid in (("model", model, MODELS), ("size", size, SIZES), ("stage", stage, STAGES)):
        if given not in valid:
            raise ValueError(f"no preset for {what} {given!r}: expected {', '.join(valid)}.")
    if size == "tiny":
        return tiny(model, stage)
    return xmem(stage) if model == "xmem" else replace(stcn(stage), model=model)


def xmem(stage: str) -> TrainConfig:
    """XMem as published: 384x384, clips of 8 frames in stages 2 and 3.

    `python train.py --model xmem --stage 3 --checkpoint STAGE0.pth --dataset davis youtube`, two 32 GB GPUs, about
    two days; J&F 86.2 on DAVIS-2017 val after stages 0 and 3.
    """
    iterations, drops = {
        "0": (150_000, ()),
        "2": (160_000, (120 / 160,)),
        "3": (110_000, (80 / 110,)),
    }[stage]
    return TrainConfig(
        model="xmem",
        stage=stage,
        iterations=iterations,
        batch_size=16 if stage == "0" else 8,
        clip=_static_clip(2) if stage == "0" else ClipConfig(),
        augment=static_augmentation() if stage == "0" else Augmentation(),
        data=_published_data(stage),
        optim=OptimConfig(optimizer="adamw", lr=1e-5, weight_decay=0.05, lr_drops=drops),
    )


def stcn(stage: str) -> TrainConfig:
    """STCN as published: 384x384, clips of 3 frames, all earlier ones in memory.

    `python train.py --model stcn --stage 3 --checkpoint STAGE0.pth --dataset davis youtube`, two 11 GB GPUs, about
    two days; J&F 85.4 on DAVIS-2017 val after stages 0 and 3.
    """
    iterations, drops = {
        "0": (300_000, (150 / 300,)),
        "2": (300_000, (250 / 300,)),
        "3": (150_000, (125 / 150,)),
    }[stage]
    video = ClipConfig(
        frames=3,
        memory_frames=0,
        max_objects=2,
        gaps=(5, 10, 15, 20, 25, 5),
        gap_starts=(0.0, 0.1, 0.2, 0.3, 0.4, 0.9),
    )
    return TrainConfig(
        model="stcn",
        stage=stage,
        iterations=iterations,
        batch_size=16 if stage == "0" else 8,
        clip=_static_clip(0) if stage == "0" else video,
        augment=static_augmentation() if stage == "0" else Augmentation(),
        data=_published_data(stage),
        loss=LossConfig(dice=0.0),
        optim=OptimConfig(optimizer="adam", lr=1e-5, weight_decay=1e-7, lr_drops=drops),
    )


def tiny(model: str, stage: str) -> TrainConfig:
    """Return a run for laptops, from scratch: 160x160, clips of 3 frames, stronger jitter than published.

    `python train.py --model xmem --size tiny --stage 2 --dataset davis --max_minutes 25`, two CPU cores.
    """
    static = stage == "0"
    small = static_augmentation() if static else Augmentation()
    return TrainConfig(
        model=model,
        size="tiny",
        stage=stage,
        iterations=8_000,
        batch_size=6,
        save_every=1_000,
        log_every=20,
        clip=_static_clip(0)
        if static
        else ClipConfig(frames=3, memory_frames=0, max_objects=2, gaps=(5, 10, 20), gap_starts=(0.0, 0.1, 0.3)),
        # The share of the frame is smaller than published, so that objects are about as large as in evaluation.
        # The jitter is stronger, because a few videos are seen very often.
        augment=replace(small, crop_size=160, crop_scale=(0.12, 0.7), clip_jitter=(0.3, 0.3, 0.3, 0.05), grey=0.1),
        data=DataConfig(dataset=("static" if static else "davis",), num_workers=0),
        loss=LossConfig(bootstrap_share=1.0),
        optim=OptimConfig(
            lr=5e-4, weight_decay=0.01, lr_schedule="cosine", warmup_steps=50, clip_gradient=1.0, ema=0.995
        ),
    )


def static_augmentation() -> Augmentation:
    """Return the published augmentation of static pictures (stage 0)."""
    return Augmentation(
        zoom=(0.8, 1.5),
        clip_jitter=(0.1, 0.05, 0.05, 0.05),
        frame_jitter=(0.1, 0.05, 0.05, 0.0),
        degrees=20.0,
        frame_scale=(0.9, 1.1),
        spline=1 / 3,
    )


def _static_clip(memory_frames: int) -> ClipConfig:
    return ClipConfig(frames=3, memory_frames=memory_frames, max_objects=1, gaps=(1,), gap_starts=(0.0,), reverse=0.0)


def _published_data(stage: str) -> DataConfig:
    return DataConfig(dataset=("static",)) if stage == "0" else DataConfig(dataset=("davis", "youtube"), davis_weight=5)
