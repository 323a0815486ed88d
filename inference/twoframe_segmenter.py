"""Streaming segmentation with BMVOS and EMVOS, which match a frame with each object's first and with the previous."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dataset.evaluate.prepare import Resizing
from inference.config import InferenceConfig
from inference.inputs import check_image, check_known, given_objects, id_mask
from inference.snapshot import Snapshot, check_origin, copied
from model.aggregate import LOGIT_LIMIT, soft_odds
from model.network import STRIDE
from model.twoframe.network import (
    History,
    Reference,
    TwoFrameFeatures,
    TwoFrameNetwork,
    extend_history,
    refer,
    start_history,
)
from util.device import autocast, take, upload
from util.image import padding_to_multiple, reflect

_PLAIN = ("_ids", "_size", "_frame")  # attributes that are numbers


@dataclass
class _Anchor:
    """A frame in which objects were given; what they look like is taken from it."""

    ids: list[int]
    reference: Reference

    def without(self, ids: list[int]) -> "_Anchor":
        kept = [index for index, i in enumerate(self.ids) if i not in ids]
        return _Anchor([self.ids[index] for index in kept], self.reference.select(kept))


class TwoFrameSegmenter:
    """Segments one video, frame by frame; used like `Segmenter`. Use `build_segmenter` to make one.

    A frame's features are computed once, for all objects, and are kept for the next frame. Every object is matched with
    the frame in which it was last given.
    """

    resizing = Resizing(bicubic=True, native_below=1000)  # as published

    def __init__(self, network: TwoFrameNetwork, config: InferenceConfig, device: torch.device) -> None:
        """Prepare for a first frame; the network must be on `device` in eval mode."""
        self.config = config
        self.device = device
        self._network = network
        self.reset()

    def reset(self) -> None:
        """Forget everything, for the next video."""
        self._ids: list[int] = []
        self._anchors: list[_Anchor] = []
        self._previous: Reference | None = None  # its objects, like those of the history, are in the order of the ids
        self._history: History = ()
        self._size: tuple[int, int] | None = None
        self._frame = -1

    @property
    def object_ids(self) -> list[int]:
        """Ids of the objects, in the order of `prob[1:]`."""
        return list(self._ids)

    @property
    def memory_sizes(self) -> list[tuple[int, int]]:
        """Positions that each group of objects is matched with, those of two frames, and 0 long-term elements."""
        return [(2 * anchor.reference.key.shape[-1], 0) for anchor in self._anchors]

    def remove_objects(self, ids: list[int]) -> None:
        """Forget objects; raises ValueError for an id that is not there."""
        check_known(ids, self._ids)
        if not ids:
            return
        kept = [index for index, i in enumerate(self._ids) if i not in ids]
        self._ids = [self._ids[index] for index in kept]
        self._drop_from_anchors(ids)
        assert self._previous is not None
        self._previous = self._previous.select(kept)
        self._history = tuple(take(mask, 1, kept) for mask in self._history)

    @torch.no_grad()
    def step(
        self, image: Tensor, mask: Tensor | None = None, object_ids: list[int] | None = None, last: bool = False
    ) -> Tensor:
        """Segment the next frame.

        Args:
            image: [3,H,W] float, ImageNet-normalised.
            mask: [H,W] integer ids (1..65535, gaps allowed, 0 is none), on the first frame and on any later one. It
                overrides the prediction where it shows a listed id; objects that are not listed keep theirs elsewhere.
                A known id is corrected: its mask is what is given, and from then on it is matched with this frame
                instead of the one in which it was given before.
            object_ids: ids of the mask that are meant; all that occur in it by default.
            last: whether this is the video's last frame; makes no difference here.

        Returns:
            Probabilities [L,H,W] in fp32 on the segmenter's device, background first, then `object_ids` in order.

        Raises:
            ValueError: an image or mask of the wrong shape, type or size, or a mask without any object.
        """
        height, width = check_image(image, self._size, self._frame + 1)
        given_ids, given_OHW = given_objects(mask, object_ids, (height, width), self.device)
        self._size = (height, width)
        self._frame += 1
        if not self._ids and not given_ids:
            return torch.ones((1, height, width), device=self.device)

        padding = padding_to_multiple(height, width, STRIDE, odd_first=True)
        padded = reflect(upload(image, self.device).float(), padding)[None]
        with autocast(self.device, self.config.precision):
            features = self._network.encode_key(padded)
            logit_OHW = None
            if not set(self._ids) <= set(given_ids):
                logit_OHW = self._predict(features)
        if given_ids:
            logit_OHW = self._merge(logit_OHW, given_ids, reflect(given_OHW, padding))
        assert logit_OHW is not None
        # The clamp is the released code's: probabilities stay within [1e-7, 1 - 1e-7].
        prob_LHW = torch.softmax(soft_odds(logit_OHW[None].clamp(-LOGIT_LIMIT, LOGIT_LIMIT)), dim=1)[0]
        self._remember(features, prob_LHW[1:][None], given_ids)
        return padding.crop(prob_LHW).contiguous()

    def to_id_mask(self, prob: Tensor) -> np.ndarray:
        """Turn probabilities [L,H,W] of any size into the user's ids: [H,W] uint8, or uint16 if an id exceeds 255."""
        return id_mask(prob, self._ids)

    def snapshot(self, device: torch.device | str | None = None) -> Snapshot:
        """Return a copy of the state after the frames so far; see `Segmenter.snapshot`."""
        state = {
            "origin": self._network.config.name,
            "anchors": [{"ids": anchor.ids, "reference": tuple(anchor.reference)} for anchor in self._anchors],
            "previous": None if self._previous is None else tuple(self._previous),
            "history": self._history,
        }
        return copied(state | {name: getattr(self, name) for name in _PLAIN}, device)

    def restore(self, state: Snapshot) -> None:
        """Return to a state of `snapshot`; see `Segmenter.restore`."""
        check_origin(state, self._network.config.name)
        state = copied(state, self.device)
        for name in _PLAIN:
            setattr(self, name, state[name])
        self._anchors = [_Anchor(anchor["ids"], Reference(*anchor["reference"])) for anchor in state["anchors"]]
        self._previous = None if state["previous"] is None else Reference(*state["previous"])
        self._history = state["history"]

    def _predict(self, features: TwoFrameFeatures) -> Tensor:
        """Return every known object's log-odds [O,H,W]."""
        assert self._previous is not None
        # The network wants the objects of an anchor side by side.
        place = {i: index for index, i in enumerate(self._ids)}
        order = [place[i] for anchor in self._anchors for i in anchor.ids]
        logit_1OHW = self._network.segment(
            features,
            [anchor.reference for anchor in self._anchors],
            self._previous.select(order),
            tuple(take(mask, 1, order) for mask in self._history),
            bijective_k=self.config.bijective_k,
            object_chunk=self.config.object_chunk,
        )
        return take(logit_1OHW[0], 0, np.argsort(order).tolist())

    def _merge(self, logit_OHW: Tensor | None, given_ids: list[int], given_OHW: Tensor) -> Tensor:
        """Put given masks in the place of what was predicted; new objects follow in the order given."""
        covered = given_OHW.amax(dim=0) > 0
        logits = dict(zip(given_ids, (2 * given_OHW - 1) * LOGIT_LIMIT, strict=True))
        for index, i in enumerate(self._ids):
            if i not in logits:
                assert logit_OHW is not None
                logits[i] = logit_OHW[index].masked_fill(covered, -LOGIT_LIMIT)
        ordered = self._ids + [i for i in given_ids if i not in self._ids]
        return torch.stack([logits[i] for i in ordered])

    def _remember(self, features: TwoFrameFeatures, prob_1OHW: Tensor, given_ids: list[int]) -> None:
        """Make the frame the previous one, and the anchor of the objects that were given in it."""
        known = len(self._ids)
        self._ids += [i for i in given_ids if i not in self._ids]
        self._previous = refer(features, prob_1OHW)
        if not given_ids:
            self._history = extend_history(self._history, prob_1OHW)
            return
        # The first mask of an object stands for those before it.
        alone = start_history(prob_1OHW)
        if known:
            given = upload(torch.tensor([i in given_ids for i in self._ids]), self.device)[:, None, None]
            grown = tuple(torch.cat([mask, prob_1OHW[:, known:]], dim=1) for mask in self._history)
            before = extend_history(grown, prob_1OHW)
            alone = tuple(torch.where(given, new, old) for new, old in zip(alone, before, strict=True))
        self._history = alone
        self._drop_from_anchors(given_ids)
        given_places = [self._ids.index(i) for i in given_ids]
        self._anchors.append(_Anchor(given_ids, self._previous.select(given_places)))

    def _drop_from_anchors(self, ids: list[int]) -> None:
        self._anchors = [anchor for anchor in (anchor.without(ids) for anchor in self._anchors) if anchor.ids]
