"""XMem's sensory memory: a small recurrent state per object at stride 16."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers.blocks import concatenate, merge_objects, per_object, split_objects


def gated_update(values_BOCYX: Tensor, sensory_BOSYX: Tensor) -> Tensor:
    """Combine a state with its candidates: `h <- f*h*(1-u) + u*n`, the gates being thirds of the channels.

    Computed in fp32: the state is carried over a whole video, where half precision would drift.

    Args:
        values_BOCYX: [B,O,3*S,Y,X], in the order forget, update, new value.
        sensory_BOSYX: the state before.
    """
    size = sensory_BOSYX.shape[2]
    gates, new = values_BOCYX.float().split((2 * size, size), dim=2)
    forget, update = torch.sigmoid(gates).chunk(2, dim=2)
    return torch.lerp(forget * sensory_BOSYX, torch.tanh(new), update)


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
        g = self.reduce(g16, at_stride_16(g8), [at_stride_16(g4), at_stride_16(logit)])
        return gated_update(per_object(self.transform, concatenate([g, sensory_BOSYX.to(g.dtype)])), sensory_BOSYX)

    def reduce(self, g16: Tensor, g8: Tensor, g4_and_logit: list[Tensor]) -> Tensor:
        """Sum what 1x1 convolutions make of the features, all at stride 16."""
        at_4 = concatenate(g4_and_logit)
        return per_object(self.g16_conv, g16) + per_object(self.g8_conv, g8) + per_object(self.g4_conv, at_4)


class SensoryReinforcer(nn.Module):
    """Deep update: refreshes the state from the value encoder's features on memory frames (XMem §3.4)."""

    def __init__(self, value_dim: int, sensory_dim: int) -> None:
        """Build the deep update."""
        super().__init__()
        self.transform = nn.Conv2d(value_dim + sensory_dim, 3 * sensory_dim, 3, padding=1)
        nn.init.xavier_normal_(self.transform.weight)  # as released

    def forward(self, value_BOVYX: Tensor, sensory_BOSYX: Tensor) -> Tensor:
        """Update [B,O,S,Y,X] from the value [B,O,V,Y,X]."""
        joined = concatenate([value_BOVYX, sensory_BOSYX.to(value_BOVYX.dtype)])
        return gated_update(per_object(self.transform, joined), sensory_BOSYX)
