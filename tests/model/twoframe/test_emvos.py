"""EMVOS: its keys and its score maps, the second way."""

import torch
from torch import Tensor

from model.twoframe.emvos import EMVOSMatcher
from model.twoframe.matching import surjective
from model.twoframe.network import refer
from tests.support.random_twoframe import a_query, tiny


@torch.no_grad()
def test_two_keys_by_two_layers() -> None:
    matcher = EMVOSMatcher(5, 4)
    s16 = torch.randn(2, 5, 3, 4)
    for key, layer in zip(matcher(s16), (matcher.conv1, matcher.conv2), strict=True):
        by_hand = torch.einsum("kc,bcyx->bkyx", layer.conv.weight.flatten(1), s16)
        assert layer.conv.bias is not None
        torch.testing.assert_close(key, by_hand + layer.conv.bias[:, None, None])


@torch.no_grad()
def test_a_bijective_step_has_no_effect() -> None:
    model = tiny("emvos")
    features, masks = a_query(model)
    other = refer(features.map(lambda x: x.flip(0)), masks)
    assert torch.equal(model.match(features, [other], other, 1), model.match(features, [other], other, 0))


@torch.no_grad()
def test_maps_of_emvos_in_order() -> None:
    model = tiny("emvos")
    features, masks = a_query(model)
    first = refer(features.map(lambda x: x.flip(0)), masks)
    previous = refer(features, masks.flip(1))
    maps = model.match(features, [first], previous, 0).flatten(3)
    query, equal = features.key.flatten(2), features.equal_key
    assert equal is not None

    def cosine(reference: Tensor) -> Tensor:
        both = torch.nn.functional.cosine_similarity(reference[..., None], query[:, :, None], dim=1)
        return surjective((1 + both) / 2, masks_of)

    def votes(reference: Tensor | None) -> Tensor:
        assert reference is not None
        scores = torch.einsum("bkn,bkp->bnp", reference.double(), equal.flatten(2).double()).exp()
        return surjective(scores / scores.sum(dim=2, keepdim=True), masks_of)

    for at, frame in ((0, first), (2, previous)):
        masks_of = frame.mask_BO2N
        torch.testing.assert_close(maps[:, :, at : at + 2], cosine(frame.key), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(maps[:, :, at + 4 : at + 6], votes(frame.equal_key), atol=1e-5, rtol=1e-4)
    pooled = torch.nn.functional.avg_pool2d(masks.flip(1), 16).flatten(2)
    torch.testing.assert_close(maps[:, :, 8:], torch.stack([1 - pooled, pooled], dim=2))
