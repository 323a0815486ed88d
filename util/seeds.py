"""Random numbers of a clip: each purpose has its own, so that what one of them draws changes no other."""

import numpy as np


def clip_rng(seed: int, purpose: str | int) -> np.random.Generator:
    """Return the generator of what is drawn for a clip for one purpose.

    The purpose is the second word of the generator's seed. It keeps the draws of the losses, of the memory and of
    pasting apart from those of the clip's own frames, so a setting that draws more or less leaves the rest as it was.

    Args:
        seed: of the clip.
        purpose: a short name; or, for the clip's own frames, the number of the try.
    """
    word = purpose if isinstance(purpose, int) else int.from_bytes(purpose.encode(), "big")
    return np.random.default_rng([seed, word])
