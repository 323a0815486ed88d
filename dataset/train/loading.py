"""Loading the clip of a request when a file may be bad: the run stops with its name, or takes the next clip by rule."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from dataset.clip import Clip, ClipRequest
from dataset.train.sources import Source
from util.config.data import Augmentation, ClipConfig
from util.config.train import CorrespondenceConfig

logger = logging.getLogger(__name__)

# More bad clips in a row are no accident: a disk is gone, or the data set is not what it should be.
MOST_SKIPPED = 20


class BadSampleError(ValueError):
    """A clip that can't be loaded; says which file and why, also when it comes from a process of the data loader."""

    def __init__(self, text: str) -> None:
        """Keep the message; of the traceback that the loader makes of another process's error, its last line."""
        super().__init__(text.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


def load_clip(
    sources: Sequence[Source],
    request: ClipRequest,
    config: ClipConfig,
    augmentation: Augmentation,
    on_bad_sample: Literal["raise", "skip"] = "raise",
    correspondence: CorrespondenceConfig | None = None,
) -> Clip:
    """Return the clip of a request, with what `correspondence` needs if it is given.

    With "skip", the clip of a bad file is replaced by that of the source's next video with the same seed: the rule
    depends on nothing but the request and the files. The log says which file was bad, whatever process meets it.

    Raises:
        BadSampleError: for a bad file with "raise", and when `MOST_SKIPPED` clips in a row are bad.
    """
    source = sources[request.source]
    for _ in range(min(MOST_SKIPPED, len(source))):
        try:
            return source.load(request, config, augmentation, correspondence)
        except (ValueError, OSError) as error:
            message = " ".join(str(error).split())
        if on_bad_sample == "raise":
            raise BadSampleError(f"{message} (To train without it: --on_bad_sample skip.)")
        logger.warning("bad sample skipped, the next clip of %s is taken: %s", source.name, message)
        request = replace(request, video=(request.video + 1) % len(source), frames=None)
    raise BadSampleError(f"data set {source.name}: too many bad clips in a row; the last: {message}")
