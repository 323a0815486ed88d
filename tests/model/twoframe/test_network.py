"""BMVOS and EMVOS as networks: objects as a dimension, parts against a plain second way, clips, and building."""

from collections.abc import Sequence

import pytest
import torch
import torchvision
from torch import Tensor

from inference import InferenceConfig, build_segmenter
from model import TwoFrameNetwork, build_model
from model.aggregate import soft_odds
from model.fast.twin import for_inference
from model.layers.batch_norm import freeze_batch_norm
from model.layers.densenet import DENSENET121, DenseEncoder
from model.twoframe.decoder import MaskEmbedder, TwoFrameDecoder, coordinates
from model.twoframe.matching import surjective
from model.twoframe.network import Reference, TwoFrameFeatures, refer, start_history
from model.twoframe.unroll import TwoFrameClipNetwork
from tests.support.golden_clip import clip as synthetic_clip

NAMES = ["bmvos", "emvos"]
EITHER = pytest.mark.parametrize("name", NAMES)


def tiny(name: str) -> TwoFrameNetwork:
    torch.manual_seed(0)
    model = build_model(name, "tiny")
    assert isinstance(model, TwoFrameNetwork)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_var is not None and module.running_mean is not None
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(std=0.2)
    for part in (model.decoder, model.vos.mask_embedder or torch.nn.Identity()):
        for weight in part.parameters():
            weight.data *= 2  # with fresh weights an object's masks hardly matter
    return model.eval()


def a_query(model: TwoFrameNetwork) -> tuple[TwoFrameFeatures, Tensor]:
    """Features of two pictures, and the masks of three objects in each."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 48, 64, generator=generator)
    masks = torch.rand(2, 3, 3, 4, generator=generator).repeat_interleave(16, 2).repeat_interleave(16, 3)
    return model.encode_key(images), masks


def segment(
    model: TwoFrameNetwork, features: TwoFrameFeatures, masks: Tensor, k: int = 4, chunk: int | None = None
) -> Tensor:
    """Segment each picture with the other one as its only reference."""
    other = refer(features.map(lambda x: x.flip(0)), masks)
    history = (masks, masks.square(), masks.sqrt())
    return model.segment(features, [other], other, history, bijective_k=k, object_chunk=chunk)


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


@torch.no_grad()
def test_only_bmvos_matches_bijectively_and_only_with_the_previous_frame() -> None:
    for name, differs in (("bmvos", True), ("emvos", False)):
        model = tiny(name)
        features, masks = a_query(model)
        other = refer(features.map(lambda x: x.flip(0)), masks)
        one, all_ = (model.match(features, [other], other, k) for k in (1, 0))
        assert torch.equal(one[:, :, :2], all_[:, :, :2])
        assert torch.equal(one[:, :, 2:4], all_[:, :, 2:4]) != differs


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


@torch.no_grad()
def test_encoder_is_torchvisions_to_its_third_block() -> None:
    torch.manual_seed(0)
    whole = torchvision.models.densenet121(weights=None).features.eval()
    encoder = DenseEncoder(DENSENET121).eval()
    missing, unexpected = encoder.load_state_dict(whole.state_dict(), strict=False)
    assert set(missing) == {"mean", "std"}
    assert all(name.startswith(("transition3.", "denseblock4.", "norm5.")) for name in unexpected)
    image = torch.randn(1, 3, 32, 64)
    expected, x = {}, image
    for name, layer in whole.named_children():
        x = expected[name] = layer(x)
        if name.startswith("denseblock"):
            expected[name] = x.clone()
    s16, s8, s4 = encoder(image)
    for ours, number in ((s4, 1), (s8, 2), (s16, 3)):
        torch.testing.assert_close(ours, expected[f"denseblock{number}"])
        assert ours.shape[1] == DENSENET121.channels[number - 1]


@torch.no_grad()
def test_what_is_shared_by_objects_equals_plain_concatenation() -> None:
    torch.manual_seed(0)
    decoder = TwoFrameDecoder((12, 10, 8), 5, 6, gated=True).eval()
    skips = [torch.randn(2, 12, 2, 3), torch.randn(2, 10, 4, 6), torch.randn(2, 8, 8, 12)]
    maps = torch.randn(2, 3, 5, 2, 3)
    ours = decoder(*skips, maps)
    assert ours.shape == (2, 3, 2, 32, 48)

    def layer(name: str, x: Tensor) -> Tensor:
        out: Tensor = getattr(decoder, name)(x)
        return out

    def plain(name: str, x: Tensor) -> Tensor:
        conv = getattr(decoder, name).conv
        return torch.nn.functional.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)

    for thing in range(3):
        x = maps[:, thing]
        for number, skip in enumerate(skips, start=1):
            image = layer(f"conv{number}", skip).relu()
            blended = plain(f"blend{number}", torch.cat([image, x], dim=1)).relu()
            x = layer(f"deconv{number}", layer(f"cbam{number}", blended))
        torch.testing.assert_close(ours[:, thing], x, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_mask_embedding_sees_masks_newest_first_then_places() -> None:
    torch.manual_seed(0)
    embed = MaskEmbedder((4, 5, 6, 7)).eval()
    masks = [torch.rand(1, 2, 32, 48) for _ in range(3)]
    ours = embed(masks)
    assert ours.shape == (1, 2, 7, 2, 3)
    y = torch.linspace(-1, 1, 32)[:, None].expand(32, 48)
    x = torch.linspace(-1, 1, 48).expand(32, 48)
    for thing in range(2):
        planes = [plane for mask in masks for plane in (1 - mask[0, thing], mask[0, thing])]
        out = torch.stack([*planes, y, x, (x**2 + y**2).sqrt()])[None]
        first = embed.conv1.conv
        out = torch.nn.functional.conv2d(out, first.weight, first.bias, stride=2, padding=3).relu()
        for number in (2, 3):
            out = getattr(embed, f"conv{number}")(out).relu()
        torch.testing.assert_close(ours[:, thing], embed.conv4(out), atol=1e-5, rtol=1e-4)


def test_coordinates_by_hand() -> None:
    y, x, radius = coordinates(2, 3, torch.zeros(1))[0]
    assert y.tolist() == [[-1, -1, -1], [1, 1, 1]] and x.tolist() == [[-1, 0, 1], [-1, 0, 1]]
    torch.testing.assert_close(radius, torch.tensor([[2**0.5, 1, 2**0.5]] * 2))


def test_soft_odds_by_hand() -> None:
    # p = 0.5 and 0.8: background 1 - 0.8 = 0.2; odds 1/4, 1 and 4.
    logit = torch.logit(torch.tensor([0.5, 0.8])).view(1, 2, 1, 1)
    odds = torch.tensor([0.25, 1.0, 4.0])
    torch.testing.assert_close(torch.softmax(soft_odds(logit), dim=1).flatten(), odds / odds.sum())
    padded = torch.cat([logit, torch.full((1, 1, 1, 1), 50.0)], dim=1)
    logits = soft_odds(padded, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(logits[:, :3], soft_odds(logit))
    assert logits[0, 3] == -torch.inf
    nobody = torch.softmax(soft_odds(logit, torch.tensor([[False, False]])), dim=1)
    assert nobody.flatten().tolist() == [1, 0, 0]


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


def clips(count: int, frames: int, objects: int, size: int = 64) -> tuple[Tensor, Tensor]:
    """Return images [B,T,3,H,W] and the first masks [B,O,H,W]."""
    drawn = [synthetic_clip(frames, size, size, objects, seed=seed) for seed in range(count)]
    images = torch.stack([torch.from_numpy(images) for images, _ in drawn])
    labels = torch.stack([torch.from_numpy(labels[0]) for _, labels in drawn])
    return images, torch.stack([(labels == i + 1).float() for i in range(objects)], dim=1)


@EITHER
def test_clips_are_segmented_as_the_segmenter_does(name: str) -> None:
    model = tiny(name)
    images, masks = clips(1, 5, 2)
    with torch.no_grad():
        logits = TwoFrameClipNetwork(model)(images, masks, torch.ones(1, 2, dtype=torch.bool), [0]).logits[0]
    segmenter = build_segmenter(model, InferenceConfig(bijective_k=0))  # training is surjective
    given = (masks[0] * torch.tensor([1, 2])[:, None, None]).sum(0).long()
    for t in range(5):
        prob = segmenter.step(images[0, t], given if t == 0 else None)
        if t > 0:
            torch.testing.assert_close(prob, logits[t - 1].softmax(0), atol=1e-4, rtol=0)


@EITHER
def test_padded_objects_do_nothing(name: str) -> None:
    network = TwoFrameClipNetwork(tiny(name))
    images, masks = clips(2, 4, 2)
    masks[1, 1] = 0
    valid = torch.tensor([[True, True], [True, False]])
    weights = list(network.parameters())
    padded = network(images, masks, valid, [0, 1])
    alone = network(images[1:], masks[1:, :1], valid[1:, :1], [1])
    torch.testing.assert_close(padded.logits[1:, :, :2], alone.logits, atol=1e-4, rtol=1e-4)
    assert (padded.logits[1, :, 2] == -torch.inf).all()
    given = torch.autograd.grad(padded.logits[1, :, :2].square().mean(), weights, allow_unused=True)
    expected = torch.autograd.grad(alone.logits.square().mean(), weights, allow_unused=True)
    for x, y in zip(given, expected, strict=True):
        assert (x is None) == (y is None)
        if x is not None and y is not None:
            torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-2)


@EITHER
def test_training_reaches_every_weight_and_the_keys(name: str) -> None:
    network = TwoFrameClipNetwork(tiny(name).train())
    freeze_batch_norm(network)
    images, masks = clips(1, 3, 1)
    output = network(images, masks, torch.ones(1, 1, dtype=torch.bool), [0])
    assert output.logits.shape == (1, 2, 2, 64, 64) and output.logits.dtype == torch.float32
    assert output.keys.key.shape == (1, 3, 64, 4, 4)
    torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), torch.ones(2, 64, 64, dtype=torch.long)).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
    head = network.network.vos.matcher
    before = [weight.grad.clone() for weight in head.parameters() if weight.grad is not None]
    # A loss on the keys alone trains their head, also behind an encoder that stays as it is.
    network.zero_grad()
    network.network.encoder.requires_grad_(False)
    key = network(images, masks, torch.ones(1, 1, dtype=torch.bool), [0]).keys.key
    assert key.requires_grad
    key.square().mean().backward()
    assert before and next(head.parameters()).grad is not None
    assert all(weight.grad is None for weight in network.network.encoder.parameters())


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
