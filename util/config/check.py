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


def check_correspondence(config: TrainConfig, processes: int) -> None:
    """Raise ValueError where the correspondence losses lack what they need.

    Args:
        config: the run.
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
    if config.batch_size > (1 if wanted.gather_negatives else processes):
        return
    lonely = {
        f"--pcl_negatives {wanted.pcl_negatives}": wanted.pcl and not released and wanted.pcl_negatives != "intra",
        "--ocl": wanted.ocl and wanted.beta > 0,
    }
    faults = [flag for flag, fault in lonely.items() if fault]
    if faults:
        alone = config.batch_size == 1
        who, remedy = ("a step", "give it more") if alone else ("a process", "leave out --no_gather_negatives")
        raise ValueError(
            f"{' and '.join(faults)}: negatives come from other clips, but {who} has one clip "
            f"(--batch_size {config.batch_size}, {processes} processes): {remedy}, or do without: "
            "--pcl_negatives intra --no_ocl."
        )
