"""DenseNet: torchvision's to its third block; strides and channels."""

import torch
import torchvision

from model.layers.densenet import DENSENET121, TINY_DENSENET, DenseEncoder


def test_channels_by_hand() -> None:
    # 64 + 6 * 32; half of it + 12 * 32; half of that + 24 * 32.
    assert DENSENET121.channels == (256, 512, 1024)
    assert TINY_DENSENET.channels == (64, 96, 144)


@torch.no_grad()
def test_features_lie_at_strides_16_8_and_4() -> None:
    features = DenseEncoder(TINY_DENSENET).eval()(torch.randn(2, 3, 48, 80))
    assert [tuple(x.shape) for x in features] == [(2, 144, 3, 5), (2, 96, 6, 10), (2, 64, 12, 20)]


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
