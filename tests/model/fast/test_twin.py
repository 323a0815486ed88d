"""Fast twins compute what their network computes, share its weights and leave it alone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn

from model.build import build_model, find_network
from model.fast import fold
from model.fast import twin as twins
from model.fast.derived import Derived
from model.fast.fold import FoldedConv
from model.fast.layout import lay_out
from model.fast.twin import for_inference, for_training
from model.layers.batch_norm import freeze_batch_norm
from tests.support.random_networks import IMAGE, MASK, NAMES, one_pass, random_batch_norm, random_network
from util.config.presets import preset

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chunk", [None, 2])
def test_for_inference(name: str, chunk: int | None) -> None:
    model = random_network(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    twin = for_inference(model, CPU)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())
    settings = {} if chunk is None else {"object_chunk": chunk}
    torch.testing.assert_close(
        one_pass(twin, IMAGE, MASK, **settings), one_pass(model, IMAGE, MASK), atol=1e-4, rtol=1e-3
    )
    after = model.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert twin.decoder.pred.weight is model.decoder.pred.weight


@pytest.mark.parametrize("for_gpu", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", [*NAMES, "bmvos", "emvos"])
def test_for_training(name: str, frozen: bool, for_gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fold, twins):
        monkeypatch.setattr(module, "starts_cost", lambda _: for_gpu)
    torch.manual_seed(0)
    model = random_batch_norm(build_model(name, "tiny"))
    clip = replace(preset(name, "tiny").clip, memory_frames=2 if name == "xmem" else 0, deep_update=0.5)
    network = find_network(name).family.unroll(model, clip, not frozen)
    lay_out(model, CPU)
    network.train()
    if frozen:
        freeze_batch_norm(network)
    images = torch.stack([IMAGE, IMAGE.flip(-1), IMAGE.flip(-2), IMAGE * 0.5], dim=1)
    masks, valid = (MASK > 0.25).float(), torch.tensor([[True, True, False], [True, True, True]])
    masks = masks * valid[:, :, None, None]
    statistics = {key: value.clone() for key, value in model.named_buffers()}
    results = []
    for unrolled in (network, for_training(network)):
        for key, value in model.named_buffers():
            value.copy_(statistics[key])
        out = unrolled(images, masks, valid, [3, 4]).logits
        loss = torch.softmax(out, dim=2)[:, :, 1:].square().sum()
        gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        results.append((loss.detach(), gradients))
    (loss, ours), (plain_loss, plain) = results
    torch.testing.assert_close(loss, plain_loss, atol=0.0, rtol=1e-4)
    # Single numbers differ where two scores are as good as equal, and where a bias has BatchNorm behind it.
    whole = torch.cat([gradient.flatten() for gradient in plain]).norm()
    for here, there in zip(ours, plain, strict=True):
        assert (here - there).norm() <= 2e-3 * there.norm() + 1e-4 * whole
    if not frozen:
        assert any(not torch.equal(value, statistics[key]) for key, value in model.named_buffers())


@pytest.mark.parametrize("name", ["xmem", "emvos"])
def test_keys_alone_are_encoded_with_weights_that_are_derived_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    real = FoldedConv.derive_all.__func__  # type: ignore[attr-defined]

    def counted(kind: type[FoldedConv], layers: Sequence[Derived]) -> list[tuple[torch.Tensor, ...]]:
        counts.append(len(layers))
        found: list[tuple[torch.Tensor, ...]] = real(kind, layers)
        return found

    monkeypatch.setattr(FoldedConv, "derive_all", classmethod(counted))
    monkeypatch.setattr(FoldedConv, "derive", lambda layer: pytest.fail("derived for one use"))
    model = random_batch_norm(build_model(name, "tiny"))
    network = find_network(name).family.unroll(model, preset(name, "tiny").clip, False)
    freeze_batch_norm(network)
    twin = for_training(network)
    with torch.no_grad():
        keys = twin.encode(torch.stack([IMAGE, IMAGE], dim=1))  # type: ignore[operator]
    assert keys.key.shape[1] == 2 and 0 < len(counts) <= 4 and max(counts) > 1
