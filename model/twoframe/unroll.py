"""Unrolls BMVOS or EMVOS over training clips; the counterpart of `model.spacetime.unroll` for these networks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.aggregate import soft_odds
from model.network import ClipKeys, ClipOutput, split_frames
from model.twoframe.network import TwoFrameFeatures, TwoFrameNetwork, extend_history, refer, start_history
from util.config.data import ClipConfig

# The correspondence losses were made for keys of any length. Keys of unit length, whose similarities differ by a
# fraction, need a temperature; this one is usual in contrastive learning.
CONTRAST_TEMPERATURE = 0.07


class TwoFrameClipNetwork(nn.Module):
    """A two-frame network that segments whole clips from their first masks.

    Matching is surjective, in BMVOS too: its bijective step is for test time. `ClipKeys.key` holds the matching keys,
    scaled for the correspondence losses.
    """

    def __init__(self, network: TwoFrameNetwork) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network

    @classmethod
    def around(
        cls, network: TwoFrameNetwork, clip: ClipConfig, batch_norm_trains: bool, fixed_shapes: bool = False
    ) -> "TwoFrameClipNetwork":
        """Wrap a network; how clips are drawn makes no difference to it, and its shapes are always fixed."""
        return cls(network)

    def forward(
        self,
        images_BT3HW: Tensor,
        first_masks_BOHW: Tensor,
        valid_BO: Tensor,
        seeds: Sequence[int],
        views_BV3HW: Tensor | None = None,
    ) -> ClipOutput:
        """Segment all frames after the first.

        Args:
            images_BT3HW: ImageNet-normalised.
            first_masks_BOHW: 0 or 1, zero for padded objects.
            valid_BO: False where an object only pads the batch; on any device.
            seeds: one for each clip; nothing is drawn here.
            views_BV3HW: second views, of any size, of which only keys are wanted; V = 0 for none.
        """
        valid_BO = valid_BO.to(images_BT3HW.device, non_blocking=True)
        encoded, keys = self._encode(images_BT3HW, views_BV3HW)
        features = split_frames(encoded)
        masks = first_masks_BOHW.float()
        first = previous = refer(features[0], masks)
        history, logits = start_history(masks), []
        for now in features[1:]:
            logits.append(soft_odds(self.network.segment(now, [first], previous, history), valid_BO))
            masks = torch.softmax(logits[-1], dim=1)[:, 1:]
            previous, history = refer(now, masks), extend_history(history, masks)
        return ClipOutput(torch.stack(logits, dim=1), keys)

    def encode(self, images_BT3HW: Tensor, views_BV3HW: Tensor | None = None) -> ClipKeys:
        """Return the keys alone, the same as those of `forward`, whose arguments these are."""
        return self._encode(images_BT3HW, views_BV3HW)[1]

    def _encode(self, images_BT3HW: Tensor, views_BV3HW: Tensor | None) -> tuple[TwoFrameFeatures, ClipKeys]:
        # Before the clips, so that a running statistic of BatchNorm ends with these.
        view_key = None if views_BV3HW is None or not views_BV3HW.shape[1] else self._encode_keys(views_BV3HW).key
        features = self._encode_keys(images_BT3HW)
        return features, ClipKeys(key=_sharpen(features.key), view_key=None if view_key is None else _sharpen(view_key))

    def _encode_keys(self, images_BT3HW: Tensor) -> TwoFrameFeatures:
        features = self.network.encode_key(images_BT3HW.flatten(0, 1))
        return features.map(lambda x: x.unflatten(0, images_BT3HW.shape[:2]))


def _sharpen(key_BTKYX: Tensor) -> Tensor:
    """Scale keys of unit length: `-|a - b|^2 / sqrt(K)` becomes `cos(a, b) / temperature`, but for a constant."""
    return key_BTKYX * math.sqrt(math.sqrt(key_BTKYX.shape[2]) / (2 * CONTRAST_TEMPERATURE))
