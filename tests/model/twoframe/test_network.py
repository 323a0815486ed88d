"""BMVOS and EMVOS as networks: objects as a dimension, clips of a batch, first frames, folding, and building."""

from collections.abc import Sequence

import pytest
import torch

from model import build_model
from model.fast.twin import for_inference
from model.twoframe.network import Reference, refer, start_history
from tests.support.random_twoframe import NAMES, a_query, segment, tiny

EITHER = pytest.mark.parametrize("name", NAMES)


@EITHER
@torch.no_grad()
def test_objects_together_equal_objects_alone(name: str) -> None:
    model = tiny(name)
    features, masks = a_query(model)
    together = segment(model, features, masks)
    assert together.shape == (2, 3, 48, 64) and together.dtype == torch.float32
    alone = torch.cat([segment(model, features, masks[:, i, None]) for i in range(3)], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    chunked = segment(model, features, masks, chunk=2)
    torch.testing.assert_close(together, chunked, atol=1e-5, rtol=1e-4)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


@EITHER
@torch.no_grad()
def test_clips_of_a_batch_are_independent(name: str) -> None:
    model = tiny(name)
    features, masks = a_query(model)
    other = refer(features.map(lambda x: x.flip(0)), masks)
    whole = model.segment(features, [other], other, start_history(masks), bijective_k=2)
    one = Reference(*(None if x is None else x[1:] for x in other))  # type: ignore[arg-type]
    last = model.segment(features.map(lambda x: x[1:]), [one], one, start_history(masks[1:]), bijective_k=2)
    torch.testing.assert_close(whole[1:], last, atol=1e-5, rtol=1e-4)


@EITHER
@torch.no_grad()
def test_first_frames_of_their_own(name: str) -> None:
    """Objects that entered in different frames, in one call and in one for each frame."""
    model = tiny(name)
    features, masks = a_query(model)
    now = late = features.map(lambda x: x[:1])
    early = features.map(lambda x: x[1:])
    first = [refer(early, masks[1:, :2]), refer(late, masks[:1, 2:])]
    previous, history = refer(early, masks[:1]), start_history(masks[:1])
    together = model.segment(now, first, previous, history)
    for part, anchor in zip((slice(0, 2), slice(2, 3)), first, strict=True):
        own = model.segment(
            now,
            [anchor],
            previous.select(list(range(3))[part]),
            tuple(mask[:, part] for mask in history),
        )
        torch.testing.assert_close(together[:, part], own, atol=1e-5, rtol=1e-4)


@EITHER
@torch.no_grad()
def test_folded_batch_norm_computes_the_same(name: str) -> None:
    model = tiny(name)
    folded = for_inference(model, torch.device("cpu"))
    kinds = [type(module) for module in folded.modules()]
    left = sum(type(module) is torch.nn.BatchNorm2d for module in model.modules()) - kinds.count(torch.nn.BatchNorm2d)
    assert left == 1 + 12  # the stem's, and the second of each dense layer
    features, masks = a_query(model)
    ours, _ = a_query(folded)
    for x, y in zip(ours, features, strict=True):
        if x is not None and y is not None:
            torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(segment(folded, ours, masks), segment(model, features, masks), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "bmvo"}, r"unknown model 'bmvo'; did you mean 'bmvos'\? Valid: stcn, stcn-corr, xmem, bmvos, emvos"),
        ({"name": "bmvos", "size": "huge"}, r"unknown size 'huge' Valid: base, tiny"),
        ({"name": "emvos", "hidden_dim": 8}, r"unknown size argument 'hidden_dim' Valid: key_dim"),
        ({"name": "emvos", "key_dim": 0}, r"key_dim=0: expected at least 1"),
    ],
)
def test_bad_names_and_sizes(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(**arguments)  # type: ignore[call-overload]


def test_sizes() -> None:
    def millions(modules: Sequence[torch.nn.Module]) -> float:
        return sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6

    for name in NAMES:
        model = build_model(name, "tiny", key_dim=24)
        config = model.config
        assert (config.name, config.size, config.key_dim) == (name, "tiny", 24)
        assert (config.value_dim, config.hidden_dim, config.mask_channels) == (0, 0, 0)
        assert millions([model]) < 0.7
