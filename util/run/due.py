"""What a training run does beside its steps, and after which of them."""

from typing import NamedTuple

from util.config.train import TrainConfig


class Due(NamedTuple):
    """What happens after a step."""

    log: bool
    picture: bool
    validation: bool
    checkpoint: bool


def whats_due(config: TrainConfig, step: int, over: bool, stopped: bool) -> Due:
    """Return what happens after a step: everything every so many steps (0: never).

    All but pictures happen also when the run is `over`; a signal that `stopped` it leaves no time for validation.
    """

    def every(steps: int, at_the_end: bool) -> bool:
        return steps > 0 and (at_the_end or step % steps == 0)

    validation = not stopped and every(config.validation.validate_every, over)
    checkpoint = every(config.save_every, over or validation)
    log = every(config.log_every, checkpoint)  # what is judged or kept has a line in the log
    return Due(log=log, picture=every(config.picture_every, False), validation=validation, checkpoint=checkpoint)


def owes_validation(config: TrainConfig, step: int, over: bool, validated: int) -> bool:
    """Return whether a run was ended between a step and its validation; `validated` is the step of the last one."""
    return step > 0 and validated != step and whats_due(config, step, over, stopped=False).validation
