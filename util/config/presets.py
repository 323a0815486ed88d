"""Whole runs by name, each with every value that was published for it (RECIPES of STCN, XMem, BMVOS and EMVOS)."""

from collections.abc import Callable
from dataclasses import replace

from util.config.augmentations import augmentation, twoframe_augmentation
from util.config.data import ClipConfig, DataConfig
from util.config.train import CorrespondenceConfig, LossConfig, OptimConfig, TrainConfig

STAGES = ("0", "1", "2", "3")


def preset(model: str, size: str = "base", stage: str = "2") -> TrainConfig:
    """Return the run for a model, size and stage.

    Raises ValueError for one that does not exist, with those that do.
    """
    sizes = PRESETS.get(model, {})
    for what, given, valid in (("model", model, [*PRESETS]), ("size", size, [*sizes]), ("stage", stage, [*STAGES])):
        if given not in valid:
            raise ValueError(f"no preset for {what} {given!r}: expected {', '.join(valid)}.")
    return sizes[size](stage)


def check_chain(chain: str) -> None:
    """Raise ValueError for stages that don't exist or come in the wrong order; `chain` is such as "2" or "03"."""
    unknown = [stage for stage in chain if stage not in STAGES]
    if unknown or not chain:
        preset("xmem", stage=unknown[0] if unknown else "")
    if list(chain) != sorted(set(chain)):
        right = "".join(sorted(set(chain)))
        raise ValueError(
            f"--stage {chain}: stages build on each other and run in ascending order, each once: --stage {right}."
        )


def xmem(stage: str) -> TrainConfig:
    """XMem as published: 384x384, clips of 8 frames after stage 0; the last 10,000 steps of 2 and 3 without affine.

    `torchrun --nproc_per_node=2 train.py --model xmem --stage 03`; the paper has J&F 86.2 on
    DAVIS-2017 val after stages 0 and 3, 84.5 after stage 2 alone.
    """
    iterations, drops, last_gap, plain_end = {
        "0": (150_000, (), 0.0, 0),
        "1": (250_000, (200 / 250,), 0.8, 0),
        "2": (160_000, (120 / 160,), 0.9, 10_000),
        "3": (110_000, (80 / 110,), 0.9, 10_000),
    }[stage]
    video = ClipConfig(
        frames=8,
        memory_frames=3,
        max_objects=3,
        gaps=(5, 10, 15, 5),
        gap_starts=(0.0, 0.1, 0.3, last_gap),
        reverse=0.5,
        plain_end=plain_end,
        deep_update=0.2,
    )
    return TrainConfig(
        model="xmem",
        size="base",
        stage=stage,
        iterations=iterations,
        batch_size=16 if stage == "0" else 8,
        clip=_static_clip(memory_frames=2) if stage == "0" else video,
        augment=augmentation(stage),
        correspondence=_correspondence(stage),
        data=_published_data(stage, davis_weight=5),
        loss=LossConfig(bootstrap_start=20_000, bootstrap_end=70_000, bootstrap_share=0.15, dice=1.0),
        optim=OptimConfig(optimizer="adamw", lr=1e-5, weight_decay=0.05, lr_schedule="steps", lr_drops=drops),
    )


def stcn(stage: str) -> TrainConfig:
    """STCN as published: 384x384, clips of 3 frames, all earlier ones in memory.

    `torchrun --nproc_per_node=2 train.py --model stcn --stage 03`; the paper has J&F 85.4 on
    DAVIS-2017 val after stages 0 and 3, 82.5 after stage 2 alone.
    """
    iterations, drops, last_gap = {
        "0": (300_000, (150 / 300,), 0.0),
        "1": (500_000, (400 / 500,), 0.8),
        "2": (300_000, (250 / 300,), 0.9),
        "3": (150_000, (125 / 150,), 0.9),
    }[stage]
    video = ClipConfig(
        frames=3,
        memory_frames=0,
        max_objects=2,
        gaps=(5, 10, 15, 20, 25, 5),
        gap_starts=(0.0, 0.1, 0.2, 0.3, 0.4, last_gap),
        reverse=0.5,
    )
    return TrainConfig(
        model="stcn",
        size="base",
        stage=stage,
        iterations=iterations,
        batch_size=16 if stage == "0" else 8,
        clip=_static_clip(memory_frames=0) if stage == "0" else video,
        augment=augmentation(stage),
        correspondence=_correspondence(stage),
        data=_published_data(stage, davis_weight=5),
        loss=LossConfig(bootstrap_start=20_000, bootstrap_end=70_000, bootstrap_share=0.15),
        optim=OptimConfig(optimizer="adam", lr=1e-5, weight_decay=1e-7, lr_schedule="steps", lr_drops=drops),
    )


def stcn_corr(stage: str) -> TrainConfig:
    """STCN as the authors of the correspondence paper train it, but for the correspondence terms themselves.

    `torchrun --nproc_per_node=2 train.py --model stcn-corr --stage 03`; the paper has J&F 86.6 on
    DAVIS-2017 val with the correspondence terms.
    """
    iterations, batch_size, lr, drops = {
        "0": (300_000, 16, 5e-5, (250 / 300,)),
        "1": (500_000, 8, 1e-5, (400 / 500,)),
        "2": (300_000, 8, 5e-5, (250 / 300,)),
        "3": (150_000, 16, 5e-5, (125 / 150,)),
    }[stage]
    video = ClipConfig(
        frames=3, memory_frames=0, max_objects=2, gaps=(5, 10, 15, 5), gap_starts=(0.0, 0.1, 0.3, 0.8), reverse=0.5
    )
    return TrainConfig(
        model="stcn-corr",
        size="base",
        stage=stage,
        iterations=iterations,
        batch_size=batch_size,
        clip=_static_clip(memory_frames=0) if stage == "0" else video,
        augment=augmentation(stage),
        correspondence=_correspondence(stage),
        data=_published_data(stage, davis_weight=1),
        loss=LossConfig(
            bootstrap_start=20_000, bootstrap_end=70_000, bootstrap_share=0.15, dice=0.4, dice_background=True
        ),
        optim=OptimConfig(
            optimizer="adamw",
            lr=lr,
            encoder_lr=0.2,
            deep_encoder_lr=0.4,
            weight_decay=1e-7,
            lr_schedule="steps",
            lr_drops=drops,
        ),
    )


def bmvos(stage: str) -> TrainConfig:
    """BMVOS as published: 384x384, one object, 5 frames of a static picture, then 10 consecutive ones of a video.

    `torchrun --nproc_per_node=2 train.py --model bmvos --stage 02`; the paper has J&F 72.6 on DAVIS-2017 val and 82.3
    on DAVIS-2016 val. Training is surjective; the bijective step comes on at test time.

    Stage 0 is published with COCO. Each picture `x.jpg` of it needs a mask `x.png` of its instances' numbers, from 1
    and 254 at most; with --static_root at their folder, every clip then draws one instance. As they stand, stage 0
    trains on the static pictures of STCN and XMem. Stage 2 is DAVIS. Stage 1 (BL30K) and 3 (DAVIS five times, and
    YouTube-VOS) have stage 2's values on other data, which nobody has published.
    """
    static = stage == "0"
    return TrainConfig(
        model="bmvos",
        size="base",
        stage=stage,
        iterations=64_000,
        batch_size=16 if static else 8,
        precision="fp32",
        clip=_consecutive_clip(static, frames=5 if static else 10, min_object_pixels=256),
        augment=twoframe_augmentation(static),
        data=DataConfig(dataset=("davis",)) if stage == "2" else _published_data(stage, davis_weight=5),
        loss=LossConfig(),
        correspondence=replace(_correspondence(stage), alpha=0.0),  # not part of what was published for them
        optim=OptimConfig(optimizer="adam", lr=1e-4, weight_decay=0.0),
    )


def emvos(stage: str) -> TrainConfig:
    """EMVOS as published: as BMVOS, and the encoder keeps its ImageNet weights.

    `torchrun --nproc_per_node=2 train.py --model emvos --stage 02`; we know no published score. Data as for `bmvos`.
    """
    return replace(bmvos(stage), model="emvos")


def tiny(model: str, stage: str) -> TrainConfig:
    """Return a run for laptops, from scratch: 160x160, clips of 3 frames, stronger jitter than published.

    `python train.py --model xmem --size tiny --stage 2 --dataset davis --max_minutes 25`, two CPU cores.
    """
    video = ClipConfig(
        frames=3,
        memory_frames=0,
        max_objects=2,
        gaps=(5, 10, 20),
        gap_starts=(0.0, 0.1, 0.3),
        reverse=0.5,
        deep_update=0.2,
    )
    return TrainConfig(
        model=model,
        size="tiny",
        stage=stage,
        iterations=8_000,
        batch_size=6,
        save_every=1_000,
        log_every=20,
        picture_every=200,
        clip=_static_clip(memory_frames=0) if stage == "0" else video,
        # The share of the frame is smaller than published, so that objects are about as large as in evaluation.
        # The jitter is stronger, because a few videos are seen very often.
        augment=replace(
            augmentation(stage), crop_size=160, crop_scale=(0.12, 0.7), clip_jitter=(0.3, 0.3, 0.3, 0.05), grey=0.1
        ),
        data=DataConfig(dataset=({"0": "static", "1": "bl30k"}.get(stage, "davis"),), num_workers=0),
        loss=LossConfig(dice=1.0),
        # Annotated objects alone: proposals would have to be extracted first.
        correspondence=CorrespondenceConfig(ocl_objects="manual"),
        optim=OptimConfig(
            optimizer="adamw",
            lr=5e-4,
            weight_decay=0.01,
            lr_schedule="cosine",
            warmup_steps=50,
            clip_gradient=1.0,
            ema=0.995,
        ),
    )


def small(model: str, stage: str) -> TrainConfig:
    """Return `tiny` for the size of the network in the box, whose encoders start from ImageNet weights.

    `scripts/train_box.sh` has the two runs that made that network, an XMem.
    """
    run = tiny(model, stage)
    return replace(
        run,
        size="small",
        freeze_encoder="early",
        augment=replace(run.augment, paste=0.3),
        loss=replace(run.loss, mask_matching=0.5),
        correspondence=replace(run.correspondence, ocl=False, ramp=(0.15, 0.4)),
        optim=replace(run.optim, lr=5e-4, encoder_lr=0.3, deep_encoder_lr=0.3, ema=0.998),
    )


def tiny_twoframe(model: str, stage: str) -> TrainConfig:
    """Return `tiny` for BMVOS and EMVOS: one object, clips of 4 frames, objects pasted; 10 minutes do."""
    run = tiny(model, stage)
    clip = _consecutive_clip(stage == "0", frames=4, min_object_pixels=44)
    # Gaps, unlike published: a few videos, whose neighbouring frames hardly differ, would soon teach no more.
    return replace(
        run,
        clip=clip if stage == "0" else replace(clip, gaps=(2, 5), gap_starts=(0.0, 0.2)),
        augment=replace(run.augment, paste=0.2),
        correspondence=replace(run.correspondence, alpha=0.0),
        optim=replace(run.optim, lr=1e-3),
    )


# The run of each network and size, a function of the stage.
PRESETS: dict[str, dict[str, Callable[[str], TrainConfig]]] = {
    "xmem": {"base": xmem, "small": lambda stage: small("xmem", stage), "tiny": lambda stage: tiny("xmem", stage)},
    "stcn": {"base": stcn, "small": lambda stage: small("stcn", stage), "tiny": lambda stage: tiny("stcn", stage)},
    "stcn-corr": {
        "base": stcn_corr,
        "small": lambda stage: small("stcn-corr", stage),
        "tiny": lambda stage: tiny("stcn-corr", stage),
    },
    "bmvos": {"base": bmvos, "tiny": lambda stage: tiny_twoframe("bmvos", stage)},
    "emvos": {"base": emvos, "tiny": lambda stage: tiny_twoframe("emvos", stage)},
}


def _static_clip(memory_frames: int) -> ClipConfig:
    still = ClipConfig(frames=3, memory_frames=memory_frames, max_objects=1, gaps=(1,), gap_starts=(0.0,), reverse=0.0)
    return replace(still, deep_update=0.2)


def _consecutive_clip(static: bool, frames: int, min_object_pixels: int) -> ClipConfig:
    return ClipConfig(
        frames=frames,
        memory_frames=0,
        max_objects=1,
        min_object_pixels=min_object_pixels,
        gaps=(1,),
        gap_starts=(0.0,),
        reverse=0.0 if static else 0.5,
    )


def _correspondence(stage: str) -> CorrespondenceConfig:
    # Stage 1, annotated objects alone: proposals of BL30K's 4.8 million frames would take hundreds of core-hours.
    return CorrespondenceConfig(ocl_objects="manual") if stage == "1" else CorrespondenceConfig()


def _published_data(stage: str, davis_weight: int) -> DataConfig:
    if stage in ("0", "1"):
        return DataConfig(dataset=("static" if stage == "0" else "bl30k",))
    return DataConfig(dataset=("davis", "youtube"), davis_weight=davis_weight)
