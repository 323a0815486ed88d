"""BMVOS: its key and its score maps, the second way."""

import torch
import torch.nn.functional as F

from model.twoframe.bmvos import BMVOSMatcher
from model.twoframe.network import refer
from tests.support.random_twoframe import a_query, tiny


@torch.no_grad()
def test_one_key() -> None:
    matcher = BMVOSMatcher(5, 4)
    s16 = torch.randn(2, 5, 3, 4)
    key, second = matcher(s16)
    assert second is None and matcher.conv.conv.bias is not None
    by_hand = torch.einsum("kc,bcyx->bkyx", matcher.conv.conv.weight.flatten(1), s16)
    torch.testing.assert_close(key, by_hand + matcher.conv.conv.bias[:, None, None])


@torch.no_grad()
def test_only_the_previous_frame_is_matched_bijectively() -> None:
    model = tiny("bmvos")
    features, masks = a_query(model)
    other = refer(features.map(lambda x: x.flip(0)), masks)
    one, all_ = (model.match(features, [other], other, k) for k in (1, 0))
    assert torch.equal(one[:, :, :2], all_[:, :, :2])
    assert not torch.equal(one[:, :, 2:], all_[:, :, 2:])


@torch.no_grad()
def test_maps_in_order() -> None:
    model = tiny("bmvos")
    features, masks = a_query(model)
    first = refer(features.map(lambda x: x.flip(0)), masks)
    previous = refer(features, masks.flip(1))
    maps = model.match(features, [first], previous, 0).flatten(3)
    assert maps.shape == (2, 3, 4, 12)
    for at, frame in ((0, first), (2, previous)):
        cosine = F.cosine_similarity(frame.key[..., None], features.key.flatten(2)[:, :, None], dim=1)
        scores = (1 + cosine[:, None, None]) / 2 * frame.mask_BO2N[..., None]
        torch.testing.assert_close(maps[:, :, at : at + 2], scores.amax(dim=3), atol=1e-5, rtol=1e-4)
