"""XMem's sensory memory: a small recurrent state per object at stride 16."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.blocks import merge_objects, per_object, split_objects


def gated_update(values_BOCYX: Tensor, sensory_BOSYX: Tensor) -> Tensor:
    """Combine a state with its candidates: `h <- f*h*(1-u) + u*n`, the gates being thirds of the channels.

    Computed in fp32: the state is carried over a whole video, where half precision would drift.

    Args:
        values_BOCYX: [B,O,3*S,Y,X], in the order forget, update, new value.
        sensory_BOSYX: the state before.
    """
    forget, update, new = values_BOCYX.float().chunk(3, dim=2)
    update = torch.sigmoid(update)
    return torch.sigmoid(forget) * sensory_BOSYX * (1 - update) + update * torch.tanh(new)


class SensoryUpdater(nn.Module):
    """Updates the state on every frame from the decoder's features at three scales (XMem §3.4)."""

    def __init__(self, channels: tuple[int, int, int], mid_channels: int, sensory_dim: int) -> None:
        """Build the updater for decoder features of `channels` at strides 16, 8 and 4 (the logit not counted)."""
        super().__init__()
        self.g16_conv = nn.Conv2d(channels[0], mid_channels, 1)
        self.g8_conv = nn.Conv2d(channels[1], mid_channels, 1)
        self.g4_conv = nn.Conv2d(channels[2] + 1, mid_channels, 1)
        self.transform = nn.Conv2d(mid_channels + sensory_dim, 3 * sensory_dim, 3, padding=1)
        nn.init.xavier_normal_(self.transform.weight)  # as released

    def forward(self, g16: Tensor, g8: Tensor, g4: Tensor, logit: Tensor, sensory_BOSYX: Tensor) -> Tensor:
        """Update [B,O,S,Y,X] from [B,O,C,...] features at strides 16, 8, 4 and the logit [B,O,1,4Y,4X]."""
        grid = (g16.shape[-2], g16.shape[-1])

        def at_stride_16(x: Tensor) -> Tensor:
            return split_objects(F.adaptive_avg_pool2d(merge_objects(x), grid), x.shape[0])

        # Pooling before concatenating equals the other order and touches a sixteenth of the pixels.
        at_4 = torch.cat([at_stride_16(g4), at_stride_16(logit)], dim=2)
        g = per_object(self.g16_conv, g16) + per_object(self.g8_conv, at_stride_16(g8)) + per_object(self.g4_conv, at_4)
        return gated_update(per_object(self.transform, torch.cat([g, sensory_BOSYX.to(g.dtype)], dim=2)), sensory_BOSYX)


class SensoryReinforcer(nn.Module):
    """Deep update: refreshes the state from the value encoder's features on memory frames (XMem §3.4)."""

    def __init__(self, value_dim: int, sensory_dim: int) -> None:
        """Build the deep update."""
        super().__init__()
        self.transform = nn.Conv2d(value_dim + sensory_dim, 3 * sensory_dim, 3, padding=1)
        nn.init.xavier_normal_(self.transform.weight)  # as released

    def forward(self, value_BOVYX: Tensor, sensory_BOSYX: Tensor) -> Tensor:
        """Update [B,O,S,Y,X] from the value [B,O,V,Y,X]."""
        joined = torch.cat([value_BOVYX, sensory_BOSYX.to(value_BOVYX.dtype)], dim=2)
        return gated_update(per_object(self.transform, joined), sensory_BOSYX)
