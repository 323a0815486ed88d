"""XMem: shrinkage and selection of keys, and the sensory memory, which may be left out."""

import torch

from model import build_model
from model.spacetime.xmem import XMem
from tests.support.random_networks import IMAGE, MASK, random_network


@torch.no_grad()
def test_keys_come_with_shrinkage_and_selection() -> None:
    model = random_network("xmem")
    assert isinstance(model, XMem)
    features = model.encode_key(IMAGE)
    assert features.shrinkage is not None and features.selection is not None
    assert features.shrinkage.shape == (2, 1, 3, 4) and features.shrinkage.min() >= 1
    assert features.selection.shape == features.key.shape
    assert 0 < features.selection.min() and features.selection.max() < 1
    assert features.f16_thin is features.f16


@torch.no_grad()
def test_only_a_deep_update_refreshes_the_state_from_the_value() -> None:
    model = random_network("xmem")
    features = model.encode_key(IMAGE)
    state = model.initial_sensory(2, 3, 3, 4, features.key)
    assert state is not None and state.shape == (2, 3, model.config.hidden_dim, 3, 4) and not state.any()
    value, same = model.encode_value(IMAGE, features.f16, MASK, state, deep_update=False)
    again, refreshed = model.encode_value(IMAGE, features.f16, MASK, state)
    assert same is state and torch.equal(value, again)
    reinforce = model.value_encoder.hidden_reinforce
    assert reinforce is not None and refreshed is not None
    # From an empty state: u * tanh(n), whatever the forget gate.
    values = torch.cat([value, state], dim=2).flatten(0, 1)
    _, u, n = reinforce.transform(values).chunk(3, dim=1)
    torch.testing.assert_close(refreshed.flatten(0, 1), u.sigmoid() * n.tanh())


@torch.no_grad()
def test_the_mask_depends_on_the_state() -> None:
    model = random_network("xmem")
    features = model.encode_key(IMAGE)
    empty = model.initial_sensory(2, 3, 3, 4, features.key)
    value, full = model.encode_value(IMAGE, features.f16, MASK, empty)
    one, kept = model.segment(features, value, empty, update_sensory=False)
    other, moved = model.segment(features, value, full)
    assert (one - other).abs().max() > 1e-4
    assert kept is not None and moved is not None and full is not None
    assert torch.equal(kept, torch.zeros_like(kept)) and not torch.equal(moved, full)


def test_without_hidden_channels_there_is_no_state() -> None:
    model = build_model("xmem", "tiny", hidden_dim=0)
    assert isinstance(model, XMem)
    assert model.initial_sensory(1, 2, 3, 4, IMAGE) is None
    assert not [name for name in model.state_dict() if "hidden" in name]
    wide = build_model("xmem", "tiny", hidden_dim=8).decoder.fuser.block1.conv1.weight  # type: ignore[union-attr, index]
    assert wide.shape[1] == model.decoder.fuser.block1.conv1.weight.shape[1] + 8  # type: ignore[union-attr, index]
