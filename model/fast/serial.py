"""Large feature maps of several objects one after the other: a CPU is as fast so, in less memory."""

import torch
from torch import Tensor

from model.layers.blocks import UpsampleBlock


class SerialUpsampleBlock(UpsampleBlock):
    """An `UpsampleBlock` for inference that has one object's maps in memory at a time, but for the results."""

    def forward(self, skip_BCHW: Tensor, x_BOCHW: Tensor) -> Tensor:
        """Upsample [B,O,C,H/2,W/2] to [B,O,out,H,W] with the skip features [B,C',H,W]."""
        skip = self.skip_conv(skip_BCHW)
        batch, objects = x_BOCHW.shape[:2]
        if batch > 1:
            return self.merge(skip, x_BOCHW)
        if objects == 1:
            one: Tensor = self.out_conv(skip.add_(self.enlarge(x_BOCHW[0])))
            return one.unsqueeze(0)
        first = self.merge(skip, x_BOCHW[:, :1])[0]
        maps = torch.empty_like(first.expand(objects, -1, -1, -1), memory_format=torch.channels_last)
        maps[:1] = first
        del first
        for i in range(1, objects):
            maps[i : i + 1] = self.merge(skip, x_BOCHW[:, i : i + 1])[0]
        return maps.unsqueeze(0)
