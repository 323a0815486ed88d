"""Streaming segmentation: one frame in, one probability map out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inference.memory import MemoryLimits
from inference.objects import ObjectTable
from model.aggregate import aggregate
from model.folding import fold_batch_norm
from model.network import STRIDE, KeyFeatures, MatchingNetwork
from util.device import autocast
from util.padding import pad, padding_to_multiple

MAX_ID = 65535
_DEFAULT_TOP_K = {"xmem": 30, "stcn": 20, "stcn-corr": 20}


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How a video is segmented.

    Attributes:
        mem_every: a frame enters the memory every so many frames.
        top_k: memory elements that a query position reads; 0 reads all, None is the network's own (xmem 30, stcn 20).
        deep_update_every: frames between deep updates of XMem's sensory memory; -1 ties them to memory frames.
        enable_long_term: XMem: consolidate old memory, so that its size is bounded.
        max_mid_term_frames: XMem: frames in working memory at which consolidation happens.
        min_mid_term_frames: XMem: frames that stay in working memory, the first one counted.
        num_prototypes: XMem: long-term elements made by a consolidation.
        max_long_term_elements: XMem: capacity of long-term memory.
        include_last: STCN: also keep the newest frame until the next.
        max_memory_frames: STCN, or XMem without long-term memory: the first and the newest frames, so many in all.
        object_chunk: objects that go through the networks at a time; bounds the peak memory; None is all.
        precision: `fp32`, `fp16`, `bf16` or `auto` (fp32 on a CPU, fp16 on a GPU).
    """

    mem_every: int = 5
    top_k: int | None = None
    deep_update_every: int = -1
    enable_long_term: bool = True
    max_mid_term_frames: int = 10
    min_mid_term_frames: int = 5
    num_prototypes: int = 128
    max_long_term_elements: int = 10000
    include_last: bool = False
    max_memory_frames: int | None = None
    object_chunk: int | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Check ranges; raises ValueError that names the field."""
        lowest = {
            "mem_every": 1,
            "top_k": 0,
            "min_mid_term_frames": 2,
            "num_prototypes": 1,
            "max_long_term_elements": 1,
            "max_memory_frames": 1,
            "object_chunk": 1,
        }
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: expected at least {least}")
        if self.deep_update_every < 1 and self.deep_update_every != -1:
            raise ValueError(
                f"deep_update_every={self.deep_update_every}: expected -1 (with memory frames) or at least 1"
            )
        if self.max_mid_term_frames <= self.min_mid_term_frames:
            raise ValueError(
                f"max_mid_term_frames={self.max_mid_term_frames}: expected more than "
                f"min_mid_term_frames={self.min_mid_term_frames}, or nothing is left to consolidate"
            )


class Segmenter:
    """Segments one video, frame by frame. Use `build_segmenter` to make one and `reset` between videos."""

    def __init__(self, network: MatchingNetwork, config: InferenceConfig, device: torch.device) -> None:
        """Prepare for a first frame; the network must be on `device` in eval mode."""
        self.config = config
        self.device = device
        self._network = network
        self._is_xmem = network.config.name == "xmem"
        top_k = _DEFAULT_TOP_K[network.config.name] if config.top_k is None else config.top_k
        self._top_k = top_k or None
        self._long_term = self._is_xmem and config.enable_long_term
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
        self._objects = ObjectTable(self._network, limits, self._top_k)
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
        unknown = sorted(set(ids) - set(self.object_ids))
        if unknown:
            raise ValueError(f"remove_objects: no object with id {unknown}; known ids: {self.object_ids}")
        self._objects.remove(ids)

    @torch.no_grad()
    def step(
        self, image: Tensor, mask: Tensor | None = None, object_ids: list[int] | None = None, last: bool = False
    ) -> Tensor:
        """Segment the next frame.

        Args:
            image: [3,H,W] float, ImageNet-normalised.
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
        height, width = self._check_image(image)
        given_ids, given_OHW = self._read_mask(mask, object_ids, (height, width))
        self._size = (height, width)
        self._frame += 1
        known = self.object_ids
        if not known and not given_ids:
            return torch.ones((1, height, width), device=self.device)

        remember = not last and (bool(given_ids) or self._frame - self._last_memory >= self.config.mem_every)
        deep_update = not last and self._deep_update_due(remember)
        padding = padding_to_multiple(height, width, STRIDE)
        padded = pad(image.to(self.device, torch.float32), padding)[None]
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
        ids = [0, *self.object_ids]
        if prob.ndim != 3 or prob.shape[0] != len(ids):
            raise ValueError(
                f"to_id_mask: expected [{len(ids)},H,W] (background and {len(ids) - 1} objects), "
                f"received {list(prob.shape)}"
            )
        table = np.array(ids, dtype=np.uint8 if max(ids) <= 255 else np.uint16)
        return table[prob.argmax(dim=0).cpu().numpy()]

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
        temporary = self.config.include_last and not self._is_xmem and not remember and not last
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

    def _check_image(self, image: Tensor) -> tuple[int, int]:
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
            raise ValueError(f"image: expected float [3,H,W], received {image.dtype} {list(image.shape)}")
        height, width = image.shape[-2:]
        if self._size is not None and self._size != (height, width):
            raise ValueError(
                f"frame {self._frame + 1}: expected {self._size[0]}x{self._size[1]} (height x width) like the frames "
                f"before, received {height}x{width}; a video's frames must have one size, reset() starts a new video"
            )
        return height, width

    def _read_mask(
        self, mask: Tensor | None, object_ids: list[int] | None, size: tuple[int, int]
    ) -> tuple[list[int], Tensor]:
        if mask is None:
            if object_ids:
                raise ValueError(f"object_ids={object_ids} were given without a mask")
            return [], torch.empty(0)
        if mask.ndim != 2 or mask.is_floating_point() or mask.is_complex():
            raise ValueError(f"mask: expected integer ids [H,W], received {mask.dtype} {list(mask.shape)}")
        if tuple(mask.shape) != size:
            raise ValueError(
                f"mask: expected {size[0]}x{size[1]} (height x width) like its frame, "
                f"received {mask.shape[0]}x{mask.shape[1]}"
            )
        mask = mask.to(self.device, torch.int64)
        ids = sorted(set(object_ids)) if object_ids is not None else [i for i in mask.unique().tolist() if i != 0]
        if not ids:
            raise ValueError("mask: no object in it, all ids are 0; give mask=None for a frame without a mask")
        if ids[0] < 1 or ids[-1] > MAX_ID:
            raise ValueError(f"mask: ids must lie in 1..{MAX_ID}, received {ids[0]}..{ids[-1]}")
        wanted = torch.tensor(ids, device=self.device)
        return ids, (mask[None] == wanted[:, None, None]).float()


def build_segmenter(
    model: MatchingNetwork, config: InferenceConfig | None = None, device: torch.device | str | None = None
) -> Segmenter:
    """Prepare a network for segmenting.

    Args:
        model: any network of `build_model` or `load_checkpoint`; it moves to `device` if one is given. The segmenter
            works on a copy in eval mode that shares its weights, save those that BatchNorm is folded into.
        config: settings; the defaults are those of the published results.
        device: where to compute; the model's own device by default.
    """
    target = torch.device(device) if device is not None else next(model.parameters()).device
    network = fold_batch_norm(model.to(target))
    if target.type in ("cpu", "cuda"):
        network = network.to(memory_format=torch.channels_last)
    return Segmenter(network, config or InferenceConfig(), target)
