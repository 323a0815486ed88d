"""Streaming segmentation: one frame in, one probability map out."""

import logging
from collections.abc import Callable
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from dataset.evaluate.prepare import Resizing
from inference.config import InferenceConfig
from inference.inputs import check_image, check_known, given_objects, id_mask
from inference.interface import VOSSegmenter
from inference.memory.group import MemoryLimits
from inference.memory.objects import ObjectTable
from inference.snapshot import Snapshot, check_origin, copied
from inference.twoframe_segmenter import TwoFrameSegmenter
from model import box
from model.aggregate import aggregate
from model.build import find_network
from model.fast.compiled import compile_parts
from model.fast.twin import for_inference
from model.network import STRIDE, VOSNetwork
from model.spacetime.network import KeyFeatures, SpaceTimeNetwork
from model.weights import load_checkpoint
from util.device import autocast, half_type, resolve_precision, select_device, upload
from util.image import pad, padding_to_multiple

logger = logging.getLogger(__name__)

_NUMBERS = ("_size", "_frame", "_last_memory", "_last_deep_update")  # all that a segmenter is beside its objects


class Segmenter:
    """Segments one video, frame by frame. Use `build_segmenter` to make one and `reset` between videos."""

    resizing = Resizing()

    def __init__(self, network: SpaceTimeNetwork, config: InferenceConfig, device: torch.device) -> None:
        """Prepare for a first frame; the network must be on `device` in eval mode."""
        self.config = config
        self.device = device
        self._network = network
        row = find_network(network.config.name)
        self._top_k = (row.top_k if config.top_k is None else config.top_k) or None
        self._long_term = row.long_term and config.enable_long_term
        # Where long-term memory is possible, a frame is remembered for good or not at all.
        self._include_last = config.include_last and not row.long_term
        self.reset()

    def reset(self) -> None:
        """Forget everything, for the next video."""
        config = self.config
        limits = MemoryLimits(
            long_term=self._long_term,
            max_working_frames=config.max_mid_term_frames,
            min_working_frames=config.min_mid_term_frames,
            num_prototypes=config.num_prototypes,
            max_long_term=config.max_long_term_elements,
            max_frames=config.max_memory_frames,
        )
        bijective_k = config.bijective_k if config.matching == "bijective" else 0
        self._objects = ObjectTable(self._network, limits, self._top_k, bijective_k)
        self._size: tuple[int, int] | None = None
        self._frame = -1
        self._last_memory = 0
        self._last_deep_update = -config.deep_update_every  # the first frame is due

    @property
    def object_ids(self) -> list[int]:
        """Ids of the objects, in the order of `prob[1:]`."""
        return self._objects.ids

    @property
    def memory_sizes(self) -> list[tuple[int, int]]:
        """Working and long-term elements of each group, oldest group first."""
        return [(m.size - m.long_term_size, m.long_term_size) for m in self._objects.memories]

    def remove_objects(self, ids: list[int]) -> None:
        """Forget objects; raises ValueError for an id that is not there."""
        check_known(ids, self.object_ids)
        self._objects.remove(ids)

    @torch.no_grad()
    def step(
        self, image: Tensor, mask: Tensor | None = None, object_ids: list[int] | None = None, last: bool = False
    ) -> Tensor:
        """Segment the next frame.

        Args:
            image: [3,H,W] float, ImageNet-normalised. Page-locked memory is read later, when a GPU's turn has come:
                give it another content only when the probabilities are on the host.
            mask: [H,W] integer ids (1..65535, gaps allowed, 0 is none), on the first frame and on any later one. It
                overrides the prediction where it shows a listed id; objects that are not listed keep theirs elsewhere.
                A known id is corrected: its mask is what is given.
            object_ids: ids of the mask that are meant; all that occur in it by default.
            last: whether this is the video's last frame, which is never remembered.

        Returns:
            Probabilities [L,H,W] in fp32 on the segmenter's device, background first, then `object_ids` in order.

        Raises:
            ValueError: an image or mask of the wrong shape, type or size, or a mask without any object.
        """
        height, width = check_image(image, self._size, self._frame + 1)
        given_ids, given_OHW = given_objects(mask, object_ids, (height, width), self.device)
        self._size = (height, width)
        self._frame += 1
        known = self.object_ids
        if not known and not given_ids:
            return torch.ones((1, height, width), device=self.device)

        remember = not last and (bool(given_ids) or self._frame - self._last_memory >= self.config.mem_every)
        deep_update = not last and self._deep_update_due(remember)
        padding = padding_to_multiple(height, width, STRIDE)
        padded = pad(upload(image, self.device).float(), padding)[None]
        with autocast(self.device, self.config.precision):
            features = self._network.encode_key(padded)
            prob_LHW = None
            if known and not set(known) <= set(given_ids):
                tied = self.config.deep_update_every == -1
                prob_LHW = self._predict(features, update_sensory=not last and not (tied and deep_update))
            if given_ids:
                prob_LHW = self._merge(prob_LHW, given_ids, pad(given_OHW, padding))
                new = [i for i in given_ids if i not in known]
                if new:
                    self._objects.enter(new, features)
            assert prob_LHW is not None
            self._remember(padded, features, prob_LHW, remember, deep_update, last)
        return padding.crop(prob_LHW).contiguous()

    def to_id_mask(self, prob: Tensor) -> np.ndarray:
        """Turn probabilities [L,H,W] of any size into the user's ids: [H,W] uint8, or uint16 if an id exceeds 255."""
        return id_mask(prob, self.object_ids)

    def snapshot(self, device: torch.device | str | None = None) -> Snapshot:
        """Return a copy of the state after the frames so far: plain values, which `torch.save` takes.

        Args:
            device: where its tensors go; those of a GPU may wait on the CPU. The segmenter's own by default.
        """
        state = {name: getattr(self, name) for name in _NUMBERS}
        origin = self._network.config.name
        return copied({"origin": origin, "objects": self._objects.snapshot(), **state}, device)

    def restore(self, state: Snapshot) -> None:
        """Return to a state of `snapshot`, of this segmenter or of another one with equal network and settings.

        What follows is bit for bit what followed then; on a GPU, up to the order of the sums of long-term memory's
        usage. Raises ValueError for the state of another network.
        """
        check_origin(state, self._network.config.name)
        self.reset()
        for name in _NUMBERS:
            setattr(self, name, state[name])
        self._objects.restore(copied(state["objects"], self.device))

    def _deep_update_due(self, remember: bool) -> bool:
        if self.config.deep_update_every == -1:
            return remember
        return self._frame - self._last_deep_update >= self.config.deep_update_every

    def _predict(self, features: KeyFeatures, update_sensory: bool) -> Tensor:
        objects = self._objects
        logits, objects.sensory_1OSYX = self._network.segment(
            features,
            objects.read(features),
            objects.sensory_1OSYX,
            update_sensory,
            object_chunk=self.config.object_chunk,
        )
        return torch.softmax(logits[0], dim=0)

    def _merge(self, prob_LHW: Tensor | None, given_ids: list[int], given_OHW: Tensor) -> Tensor:
        # Old objects keep their place, new ones follow in the order given.
        known = self.object_ids
        masks = dict(zip(given_ids, given_OHW, strict=True))
        covered = given_OHW.sum(dim=0) > 0
        for position, i in enumerate(known):
            if i not in masks:
                assert prob_LHW is not None
                masks[i] = prob_LHW[1 + position].masked_fill(covered, 0)
        ordered = known + [i for i in given_ids if i not in known]
        return torch.softmax(aggregate(torch.stack([masks[i] for i in ordered])), dim=0)

    def _remember(
        self, image: Tensor, features: KeyFeatures, prob_LHW: Tensor, remember: bool, deep_update: bool, last: bool
    ) -> None:
        temporary = self._include_last and not remember and not last
        if not remember and not temporary:
            return
        objects = self._objects
        value, sensory = self._network.encode_value(
            image, features.f16, prob_LHW[1:][None], objects.sensory_1OSYX, deep_update, self.config.object_chunk
        )
        objects.remember(features, value, temporary)
        if remember:
            self._last_memory = self._frame
        if deep_update:
            objects.sensory_1OSYX = sensory
            self._last_deep_update = self._frame


# How the networks of a family segment; `model.build` has each network's.
SEGMENTERS: dict[str, Callable[[Any, InferenceConfig, torch.device], VOSSegmenter]] = {
    "space-time": Segmenter,
    "two-frame": TwoFrameSegmenter,
}


@overload
def build_segmenter(
    model: SpaceTimeNetwork | None = None,
    config: InferenceConfig | None = None,
    device: torch.device | str | None = None,
) -> Segmenter: ...


@overload
def build_segmenter(
    model: VOSNetwork, config: InferenceConfig | None = None, device: torch.device | str | None = None
) -> VOSSegmenter: ...


def build_segmenter(
    model: VOSNetwork | None = None, config: InferenceConfig | None = None, device: torch.device | str | None = None
) -> VOSSegmenter:
    """Prepare a network for segmenting.

    Args:
        model: any network of `build_model` or `load_checkpoint`; it moves to `device` if one is given. The segmenter
            works on a copy in eval mode that shares its weights, save those that BatchNorm is folded into. By default
            the small network in the box, which the log says.
        config: settings; the defaults are those of the published results.
        device: where to compute; the model's own device by default.

    Returns:
        The segmenter of the network's family; all are used in the same way.

    Raises:
        ValueError: the table of networks has none of the model's name, or this machine no such device.
    """
    if model is None:
        logger.info(box.NOTICE)
        model = load_checkpoint(box.NAME)
    named = select_device(device) if isinstance(device, str) else device
    target = next(model.parameters()).device if named is None else named
    family = find_network(model.config.name).family
    settings = config or InferenceConfig()
    dtype = half_type(resolve_precision(target, settings.precision))
    network = for_inference(model, target, dtype, compiled=settings.compile)
    if settings.compile:
        compile_parts(network, family.compiled)
    return SEGMENTERS[family.name](network, settings, target)
