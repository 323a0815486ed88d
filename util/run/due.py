"""What happens after a step of training."""

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

    validation = every(config.validation.validate_every, over and not stopped)
    checkpoint = every(config.save_every, over)
    log = every(config.log_every, validation or checkpoint)  # what is judged or kept has a line in the log
    return Due(log=log, picture=every(config.picture_every, False), validation=validation, checkpoint=checkpoint)
