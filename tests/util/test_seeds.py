"""The generators of what is drawn for a clip."""

import numpy as np

from util.seeds import clip_rng


def test_purposes_have_draws_of_their_own_and_the_same_again() -> None:
    drawn = {purpose: clip_rng(5, purpose).random(4).tolist() for purpose in ("pair", "mem", "rel", "paste", 0, 1)}
    assert len({tuple(values) for values in drawn.values()}) == 6
    assert drawn == {purpose: clip_rng(5, purpose).random(4).tolist() for purpose in drawn}
    assert clip_rng(6, "pair").random(4).tolist() != drawn["pair"]


def test_names_are_the_words_that_earlier_runs_had() -> None:
    words: dict[str | int, int] = {"pair": 0x70616972, "mem": 0x6D656D, "rel": 0x72656C, "paste": 0x7061737465, 3: 3}
    for purpose, word in words.items():
        assert clip_rng(9, purpose).random() == np.random.default_rng([9, word]).random()
