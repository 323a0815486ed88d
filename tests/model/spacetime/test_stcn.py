"""STCN and the released variant: what their decoders see, and keys without XMem's extras."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.spacetime.stcn import STCN, STCNCorr
from tests.support.random_networks import IMAGE, random_network


@pytest.mark.parametrize("name", ["stcn", "stcn-corr"])
@torch.no_grad()
def test_keys_are_isotropic_and_nothing_is_remembered_beside_them(name: str) -> None:
    model = random_network(name)
    assert isinstance(model, STCN if name == "stcn" else STCNCorr)
    features = model.encode_key(IMAGE)
    assert features.shrinkage is features.selection is None
    assert model.initial_sensory(2, 3, 3, 4, features.key) is None
    # The released value trunks have convolutions with a bias.
    assert model.value_encoder.conv1.bias is not None and model.key_encoder.conv1.bias is None


@torch.no_grad()
def test_stcn_decodes_the_readout_and_the_compressed_features() -> None:
    model = random_network("stcn")
    features = model.encode_key(IMAGE)
    assert isinstance(model.key_comp, nn.Conv2d)
    thin = F.conv2d(features.f16, model.key_comp.weight, model.key_comp.bias, padding=1)
    torch.testing.assert_close(features.f16_thin, thin)
    readout = torch.randn(2, 3, model.config.value_dim, 3, 4)
    logits, sensory = model.segment(features, readout)
    assert sensory is None and logits.shape == (2, 4, 48, 64)
    decoder = model.decoder
    weights = decoder.compress.state_dict()  # type: ignore[union-attr]

    def convolve(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    probabilities = []
    for thing in range(3):
        both = torch.cat([readout[:, thing], thin], dim=1)
        x = convolve(convolve(both.relu(), "conv1").relu(), "conv2") + convolve(both, "downsample")
        for block, skip in ((decoder.up_16_8, features.f8), (decoder.up_8_4, features.f4)):
            x = block.out_conv(block.skip_conv(skip) + F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        logit = F.interpolate(decoder.pred(x.relu()), scale_factor=4.0, mode="bilinear")
        probabilities.append(torch.sigmoid(logit[:, 0]))
    p = torch.stack(probabilities, dim=1)
    everyone = torch.cat([(1 - p).prod(dim=1, keepdim=True), p], dim=1)
    odds = everyone / (1 - everyone)
    torch.testing.assert_close(logits.softmax(dim=1), odds / odds.sum(dim=1, keepdim=True), atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_the_released_variant_decodes_the_features_as_they_are() -> None:
    model = random_network("stcn-corr")
    features = model.encode_key(IMAGE)
    assert features.f16_thin is features.f16
    assert not [name for name in model.state_dict() if name.startswith("key_comp")]
    fused = model.decoder.fuser.block1.conv1.weight.shape[1]  # type: ignore[union-attr, index]
    assert fused == features.f16.shape[1] + model.config.value_dim
