"""Objects one by one give what they give together, with fewer maps in memory."""

import pytest
import torch

from model.fast.recast import recast
from model.fast.serial import SerialUpsampleBlock
from model.layers.blocks import UpsampleBlock


@pytest.mark.parametrize(("batch", "objects"), [(1, 1), (1, 3), (2, 2)])
@torch.no_grad()
def test_objects_one_by_one_equal_all_at_once(batch: int, objects: int) -> None:
    torch.manual_seed(0)
    plain = UpsampleBlock(3, 4, 5)
    x, skip = torch.randn(batch, objects, 4, 6, 8), torch.randn(batch, 3, 12, 16)
    given = x.clone(), skip.clone()
    torch.testing.assert_close(recast(plain, SerialUpsampleBlock)(skip, x), plain(skip, x))
    torch.testing.assert_close((x, skip), given, rtol=0, atol=0)


@torch.no_grad()
def test_the_widest_maps_are_one_objects() -> None:
    torch.manual_seed(0)
    serial, seen = recast(UpsampleBlock(3, 4, 5), SerialUpsampleBlock), []
    serial.out_conv.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    serial(torch.randn(1, 3, 12, 16), torch.randn(1, 3, 4, 6, 8))
    assert seen == [1, 1, 1]
