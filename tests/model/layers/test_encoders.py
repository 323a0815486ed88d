"""Key and value encoders: ranges of what they give, and objects that do not disturb one another."""

import pytest
import torch

from model.layers.encoders import KeyEncoder, KeyProjection, ValueEncoder
from model.layers.resnet import TINY_TRUNK

IMAGE = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
MASKS = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1)) / 3


def value_encoder(mask_channels: int = 2, image_first: bool = True) -> ValueEncoder:
    torch.manual_seed(0)
    encoder = ValueEncoder(
        TINY_TRUNK, 5, 6, mask_channels=mask_channels, conv_bias=False, image_first=image_first, sensory_dim=0
    )
    return encoder.eval()


@torch.no_grad()
def test_key_encoder_gives_strides_16_8_and_4() -> None:
    features = KeyEncoder(TINY_TRUNK).eval()(IMAGE)
    f4, f8, f16 = TINY_TRUNK.channels
    assert [tuple(x.shape) for x in features] == [(2, f16, 2, 3), (2, f8, 4, 6), (2, f4, 8, 12)]


@torch.no_grad()
def test_shrinkage_and_selection_stay_in_their_ranges() -> None:
    projection = KeyProjection(5, 4, anisotropic=True)
    assert projection.d_proj is not None and projection.e_proj is not None
    f16 = 3 * torch.randn(2, 5, 4, 6)
    key, shrinkage, selection = projection(f16)
    assert key.shape == selection.shape == (2, 4, 4, 6) and shrinkage.shape == (2, 1, 4, 6)
    assert shrinkage.min() >= 1 and 0 < selection.min() and selection.max() < 1
    torch.testing.assert_close((shrinkage - 1).sqrt(), projection.d_proj(f16).abs(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(torch.logit(selection), projection.e_proj(f16), atol=1e-4, rtol=1e-3)
    plain = KeyProjection(5, 4, anisotropic=False)
    plain.load_state_dict(projection.key_proj.state_dict(prefix="key_proj."))
    torch.testing.assert_close(plain(f16)[0], key)
    assert plain(f16)[1:] == (None, None)


def test_mask_channels_by_hand() -> None:
    masks = torch.tensor([0.5, 0.25, 0.0]).view(1, 3, 1, 1)
    stacked = value_encoder().stack_masks(masks)
    torch.testing.assert_close(stacked.flatten(2)[0], torch.tensor([[0.5, 0.25], [0.25, 0.5], [0.0, 0.75]]))
    assert value_encoder(mask_channels=1).stack_masks(masks).flatten().tolist() == [0.5, 0.25, 0.0]


@pytest.mark.parametrize("image_first", [True, False])
@torch.no_grad()
def test_an_objects_value_does_not_depend_on_the_order_of_the_others(image_first: bool) -> None:
    encoder = value_encoder(image_first=image_first)
    f16 = torch.randn(2, 5, 2, 3)
    values = encoder(IMAGE, f16, encoder.stack_masks(MASKS))
    assert values.shape == (2, 3, 6, 2, 3)
    turned = encoder(IMAGE, f16, encoder.stack_masks(MASKS[:, [0, 2, 1]]))
    torch.testing.assert_close(turned[:, [0, 2, 1]], values, atol=1e-5, rtol=1e-4)
    # It depends on where they are, though.
    without = encoder(IMAGE, f16, encoder.stack_masks(MASKS[:, :1]))
    assert (without[:, 0] - values[:, 0]).abs().max() > 1e-4


@torch.no_grad()
def test_padding_rows_take_no_part_in_statistics() -> None:
    encoder = value_encoder().train()
    f16 = torch.randn(2, 5, 2, 3)
    stacked = encoder.stack_masks(MASKS)
    rows = torch.tensor([0, 1, 2, 3, 4])
    some = encoder(IMAGE, f16, stacked, rows)
    disturbed = stacked.clone()
    disturbed[1, 2] = 7
    torch.testing.assert_close(encoder(IMAGE, f16, disturbed, rows), some)
    everyone = encoder(IMAGE, f16, stacked)
    assert (everyone[0, 0] - some[0, 0]).abs().max() > 1e-4
    encoder.eval()
    torch.testing.assert_close(
        encoder(IMAGE, f16, stacked, rows)[0], encoder(IMAGE, f16, stacked)[0], atol=1e-5, rtol=1e-4
    )
