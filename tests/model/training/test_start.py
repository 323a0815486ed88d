"""The state that a run starts from: what the network's row has a say in."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.training.start import (
    check_network,
    freezes_encoder,
    frozen_parts,
    image_encoder,
    imagenet_weights,
    keeps_statistics,
    new_model,
)
from util.config.presets import preset
from util.config.train import CorrespondenceConfig

RELEASED = CorrespondenceConfig(pcl_variant="released", ocl=False)


def test_statistics_are_kept_where_they_are_worth_it() -> None:
    base, tiny = preset("xmem"), preset("xmem", "tiny")
    assert keeps_statistics(base) and keeps_statistics(replace(tiny, checkpoint=Path("a.pth")))
    assert not keeps_statistics(tiny) and not keeps_statistics(replace(base, pretrained=False))
    assert keeps_statistics(replace(tiny, freeze_bn="yes"))
    assert not keeps_statistics(replace(base, checkpoint=Path("a.pth"), freeze_bn="no"))


def test_the_encoder_of_emvos_keeps_its_imagenet_weights() -> None:
    assert freezes_encoder(preset("emvos")) and freezes_encoder(replace(preset("emvos"), checkpoint=Path("a.pth")))
    assert not any(freezes_encoder(preset(model)) for model in ("bmvos", "stcn", "xmem"))
    assert not freezes_encoder(preset("emvos", "tiny")) and not freezes_encoder(
        replace(preset("emvos"), pretrained=False)
    )
    assert freezes_encoder(replace(preset("bmvos"), freeze_encoder="yes"))
    assert not freezes_encoder(replace(preset("emvos"), freeze_encoder="no"))


def test_the_first_layers_alone_can_be_frozen() -> None:
    for name in ("xmem", "bmvos"):
        fresh = replace(preset(name, "tiny"), freeze_encoder="early")
        run = replace(fresh, checkpoint=Path("a.pth"))
        model = new_model(run)
        encoder = image_encoder(model)
        frozen = frozen_parts(model, run)
        assert frozen and not freezes_encoder(run) and not frozen_parts(model, fresh)
        # What they make lies at stride 4, and they make all that lies there.
        for part in frozen:
            part.requires_grad_(False)
        f16, f8, f4 = encoder(torch.randn(1, 3, 32, 32))[:3]
        assert not f4.requires_grad and f8.requires_grad and f16.requires_grad
    assert frozen_parts(model, replace(run, freeze_encoder="yes")) == [encoder]
    assert frozen_parts(model, replace(run, freeze_encoder="no")) == []


def test_sizes_with_imagenet_weights_start_from_them() -> None:
    assert set(imagenet_weights(preset("xmem", "small"))) == set(imagenet_weights(preset("xmem")))
    assert not imagenet_weights(preset("xmem", "tiny"))
    assert not imagenet_weights(replace(preset("xmem", "small"), pretrained=False))


@pytest.mark.parametrize(("stage", "channels"), [("0", 1), ("2", 2)])
def test_static_pictures_have_one_mask_channel(stage: str, channels: int) -> None:
    assert new_model(preset("stcn", "tiny", stage)).config.mask_channels == channels
    assert new_model(preset("bmvos", "tiny", stage)).config.mask_channels == 0


def test_only_stcn_has_the_released_losses_head() -> None:
    with pytest.raises(ValueError, match="released: xmem has none; expected stcn or stcn-corr, or paper."):
        check_network(replace(preset("xmem"), correspondence=RELEASED))
    config = replace(preset("stcn-corr", "tiny"), correspondence=RELEASED)
    check_network(config)
    assert "key_proj2.key_proj.weight" in new_model(config).state_dict()
    with pytest.raises(ValueError, match="unknown model 'xmen'; did you mean 'xmem'"):
        new_model(replace(preset("xmem"), model="xmen"))
