"""Unrolls BMVOS or EMVOS over a batch of training clips; the counterpart of `model.clip` for these networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.aggregate import soft_odds
from model.clip import ClipOutput
from model.reference import ReferenceFeatures, ReferenceNetwork, extend_history, refer, start_history


class ReferenceClipNetwork(nn.Module):
    """A reference network that segments whole clips from their first masks.

    Matching is surjective, in BMVOS too: its bijective step is for test time.
    """

    def __init__(self, network: ReferenceNetwork) -> None:
        """Wrap `network`."""
        super().__init__()
        self.network = network

    def forward(
        self, images_BT3HW: Tensor, first_masks_BOHW: Tensor, valid_BO: Tensor, seeds: Sequence[int]
    ) -> ClipOutput:
        """Segment all frames after the first.

        Args:
            images_BT3HW: ImageNet-normalised.
            first_masks_BOHW: 0 or 1, zero for padded objects.
            valid_BO: False where an object only pads the batch; on any device.
            seeds: one for each clip; nothing is drawn here.
        """
        valid_BO = valid_BO.to(images_BT3HW.device, non_blocking=True)
        frames = images_BT3HW.shape[1]
        features = self.network.encode_key(images_BT3HW.flatten(0, 1)).map(
            lambda x: x.unflatten(0, images_BT3HW.shape[:2])
        )
        masks = first_masks_BOHW.float()
        first = previous = refer(_frame(features, 0), masks)
        history, logits = start_history(masks), []
        for t in range(1, frames):
            now = _frame(features, t)
            logits.append(soft_odds(self.network.segment(now, [first], previous, history), valid_BO))
            masks = torch.softmax(logits[-1], dim=1)[:, 1:]
            previous, history = refer(now, masks), extend_history(history, masks)
        return ClipOutput(torch.stack(logits, dim=1), features.key)


def _frame(features_BT: ReferenceFeatures, t: int) -> ReferenceFeatures:
    return features_BT.map(lambda x: x[:, t])
