"""Checks of a training run's configuration that involve several values."""

from util.config.train import TrainConfig


def check_ranges(config: TrainConfig) -> None:
    """Raise ValueError for a number out of range."""
    for name in ("iterations", "batch_size", "accumulate", "save_every", "log_every"):
        if getattr(config, name) < 1:
            raise ValueError(f"--{name} {getattr(config, name)}: expected at least 1.")
    if config.keep < 0 or config.picture_every < 0 or config.validation.validate_every < 0:
        raise ValueError("--keep, --picture_every and --validate_every: expected at least 0.")
    if config.clip.frames < 2:
        raise ValueError(f"--frames {config.clip.frames}: expected at least 2, the first holds the given masks.")
    if config.clip.memory_frames < 0 or config.clip.max_objects < 1:
        raise ValueError("--memory_frames must be at least 0, --max_objects at least 1.")


def check_correspondence(config: TrainConfig, clips: int, processes: int) -> None:
    """Raise ValueError where the correspondence losses lack what they need.

    Args:
        config: the run.
        clips: that a process computes at a time.
        processes: of the run.
    """
    wanted = config.correspondence
    if not wanted.active:
        return
    if config.clip.frames < 3:
        raise ValueError(
            f"--frames {config.clip.frames}: the correspondence losses need two successive frames and an anchor frame, "
            "3 frames at least; or train without them: --alpha 0."
        )
    released = wanted.released
    if released and wanted.ocl:
        raise ValueError("--pcl_variant released: the released code has no object-level loss; add --no_ocl.")
    if clips * (processes if wanted.gather_negatives else 1) > 1:
        return
    lonely = {
        f"--pcl_negatives {wanted.pcl_negatives}": wanted.pcl and not released and wanted.pcl_negatives != "intra",
        "--ocl": wanted.ocl and wanted.beta > 0,
    }
    faults = [flag for flag, fault in lonely.items() if fault]
    if faults:
        others = "; --gather_negatives adds those of the other processes" if processes > 1 else ""
        raise ValueError(
            f"{' and '.join(faults)}: negatives come from other clips, but a process computes one clip at a time "
            f"(--batch_size {config.batch_size}, {processes} processes, --accumulate {config.accumulate}). Give it "
            f"more clips{others}; or do without: --pcl_negatives intra --no_ocl."
        )
