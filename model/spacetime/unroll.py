"""Unrolls STCN or XMem over a batch of training clips: what is trained, and what DDP wraps (`model.training.start`)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model.affinity import keep_best_queries, lift_memory, lift_query, lifted_similarity, readout, softmax_affinity
from model.network import ClipKeys, ClipOutput, split_frames
from model.spacetime.network import KeyFeatures, SpaceTimeNetwork
from model.spacetime.plan import FramePlan, draw_plan, place_plan
from util.config.data import ClipConfig
from util.device import upload


class ClipNetwork(nn.Module):
    """A matching network that segments whole clips from their first masks."""

    def __init__(
        self,
        network: SpaceTimeNetwork,
        memory_frames: int = 0,
        deep_update: float = 0.2,
        encode_all: bool = False,
        bijective_k: int = 0,
        fixed_shapes: bool = False,
    ) -> None:
        """Wrap `network`.

        Args:
            network: what is trained.
            memory_frames: as in `draw_plan`.
            deep_update: as in `draw_plan`.
            encode_all: encode every clip's value of every frame but the last, also where no later frame reads it.
                For BatchNorm that trains: its statistics then don't depend on what was drawn, and every process comes
                equally often to a layer that waits for the others.
            bijective_k: queries that each memory element chooses before the softmax, an experiment; 0 is the softmax
                of all.
            fixed_shapes: encode every clip's value of every frame but the last, and every object's, those that only pad
                the batch too, unless BatchNorm must not see these (`encode_all`): for compiled networks.
        """
        super().__init__()
        self.fixed_shapes = fixed_shapes
        self.encode_all = encode_all
        self.network = network
        self.memory_frames = memory_frames
        self.bijective_k = bijective_k
        self.deep_update = deep_update if network.config.hidden_dim else 0.0

    @classmethod
    def around(
        cls, network: SpaceTimeNetwork, clip: ClipConfig, batch_norm_trains: bool, fixed_shapes: bool = False
    ) -> "ClipNetwork":
        """Wrap a network as a run's clips ask for."""
        bijective_k = clip.bijective_k if clip.matching == "bijective" else 0
        return cls(network, clip.memory_frames, clip.deep_update, batch_norm_trains, bijective_k, fixed_shapes)

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
            valid_BO: False where an object only pads the batch; may stay on the CPU, which spares waiting for a GPU.
            seeds: one for each clip.
            views_BV3HW: second views, of any size, of which only keys are wanted; V = 0 for none.
        """
        batch, frames = images_BT3HW.shape[:2]
        drawn = draw_plan(seeds, frames, self.memory_frames, self.deep_update)
        real_BO = np.array(valid_BO.tolist()) | (self.fixed_shapes and not self.encode_all)
        plan = place_plan(drawn, real_BO, self.encode_all or self.fixed_shapes, images_BT3HW.device)
        valid_BO = upload(valid_BO, images_BT3HW.device)
        features, keys = self._encode(images_BT3HW, views_BV3HW)
        grid = features.key.shape[-2:]
        sensory = self.network.initial_sensory(batch, valid_BO.shape[1], grid[0], grid[1], like=images_BT3HW)
        bank = _ValueBank()
        masks, logits = first_masks_BOHW, []
        memory_FPD, queries = _lift(features)
        padded = nn.functional.pad(~valid_BO, (1, 0))[:, :, None, None]
        for t, now in enumerate(self._prepared_frames(features)):
            if t > 0:
                affinity = self._match(memory_FPD, queries[t], plan[t].flat_reads)
                read = readout(affinity, bank.gather(plan[t].reads).flatten(1, 2))
                read = read.unflatten(1, (valid_BO.shape[1], -1)).unflatten(-1, tuple(grid))
                logit, sensory = self.network.segment(now, read, sensory, t < frames - 1, valid_BO)
                logits.append(logit.masked_fill(padded, -torch.inf))
                masks = torch.softmax(logits[-1], dim=1)[:, 1:]
            if t < frames - 1:
                value, sensory = self._encode_value(plan[t], images_BT3HW[:, t], now.f16, masks, sensory)
                bank.add(plan[t].needed, value)
        result = torch.stack(logits, dim=1)
        # Gradients, too, then come to every frame's value in every process, be they zero.
        logits_BTLHW = result + 0 * bank.touch() if self.encode_all else result
        return ClipOutput(logits_BTLHW, keys)

    def encode(self, images_BT3HW: Tensor, views_BV3HW: Tensor | None = None) -> ClipKeys:
        """Return the keys alone, the same as those of `forward`, whose arguments these are."""
        return self._encode(images_BT3HW, views_BV3HW)[1]

    def _encode(self, images_BT3HW: Tensor, views_BV3HW: Tensor | None) -> tuple[KeyFeatures, ClipKeys]:
        """Encode views and frames."""
        head, views = self.network.key_proj2, views_BV3HW
        view_key = view_shrinkage = head_key = None
        # Before the clips, so that a running statistic of BatchNorm ends with these.
        if views is not None and views.shape[1] and head is not None:
            view_key = self._encode_views(views, head)
        elif views is not None and views.shape[1]:
            of_views = self._encode_keys(views)
            view_key, view_shrinkage = of_views.key, of_views.shrinkage
        features = self._encode_keys(images_BT3HW)
        if head is not None and view_key is not None:
            head_key = head(features.f16.flatten(0, 1))[0].unflatten(0, images_BT3HW.shape[:2])
        key, shrinkage, selection = features.key, features.shrinkage, features.selection
        return features, ClipKeys(key, shrinkage, selection, view_key, view_shrinkage, head_key)

    def _encode_views(self, views_BV3HW: Tensor, head: nn.Module) -> Tensor:
        """Encode views for the extra key head."""

        def encode(x_N3HW: Tensor) -> Tensor:
            return head(self.network.key_encoder(x_N3HW)[0])[0]

        # The released loss takes a gradient from the first frame's view alone.
        first = _over_frames(encode, views_BV3HW[:, :1])
        with torch.no_grad():
            others = _over_frames(encode, views_BV3HW[:, 1:])
        return torch.cat([first, others], dim=1)

    def _encode_keys(self, images_BT3HW: Tensor) -> KeyFeatures:
        features = self.network.encode_key(images_BT3HW.flatten(0, 1))
        return features.map(lambda x: x.unflatten(0, images_BT3HW.shape[:2]))

    def _prepared_frames(self, features_BT: KeyFeatures) -> list[KeyFeatures]:
        """Split features into frames; f16 and f16_thin are what the fusions prepare of them for all frames at once.

        The last frame is not remembered and the first one is not decoded.
        """
        frames = split_frames(features_BT)
        f16 = self.network.value_encoder.fuser.prepare(torch.cat([frame.f16 for frame in frames[:-1]]))
        thin = self.network.decoder.prepare(torch.cat([frame.f16_thin for frame in frames[1:]]))
        parts = len(frames) - 1
        for t, (of_value, of_decoder) in enumerate(zip(f16.chunk(parts), thin.chunk(parts), strict=True)):
            frames[t] = frames[t]._replace(f16=of_value)
            frames[t + 1] = frames[t + 1]._replace(f16_thin=of_decoder)
        return frames

    def _match(self, memory_FPD: Tensor, query_BDP: Tensor, reads: Tensor) -> Tensor:
        """Return the affinity [B,M*P,P] of each clip's memory frames, `FramePlan.flat_reads`, to its query."""
        memory_BND = memory_FPD.index_select(0, reads).unflatten(0, (len(query_BDP), -1)).flatten(1, 2)
        return softmax_affinity(keep_best_queries(lifted_similarity(memory_BND, query_BDP), self.bijective_k))

    def _encode_value(
        self, plan: FramePlan, image_B3HW: Tensor, f16: Tensor, masks_BOHW: Tensor, sensory_BOSYX: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode a frame for the clips that need it; return their value, if any, and the sensory memory after it."""
        if not plan.needed.any():
            return None, sensory_BOSYX
        rows = plan.rows
        some = (lambda x: x) if rows is None else (lambda x: x.index_select(0, rows))
        before = None if sensory_BOSYX is None else some(sensory_BOSYX)
        value, after = self.network.encode_value(
            some(image_B3HW), some(f16), some(masks_BOHW), before, plan.deep, rows_N=plan.real
        )
        if sensory_BOSYX is None or before is None or after is None or not plan.deep:
            return value, sensory_BOSYX
        after = torch.where(plan.deep_N[:, None, None, None, None], after, before)
        return value, after if rows is None else sensory_BOSYX.index_copy(0, rows, after)


class _ValueBank:
    """Values of the remembered frames, of those clips that need them."""

    def __init__(self) -> None:
        self._values: list[Tensor | None] = []
        self._clips: list[tuple[Tensor, ...]] = []
        self._rows: list[np.ndarray] = []

    def add(self, needed: np.ndarray, value: Tensor | None) -> None:
        """Add the next frame's value, of the clips [B] that need it."""
        self._values.append(value)
        # Their gradients are stacked once; of value[row], each would fill a tensor of zeros for all clips.
        self._clips.append(() if value is None else value.flatten(3).unbind())
        self._rows.append(np.cumsum(needed) - 1)

    def touch(self) -> Tensor:
        """Return a scalar that depends on every value, and is finite whatever they are."""
        first = torch.stack([value[0, 0, 0, 0, 0].float() for value in self._values if value is not None])
        return torch.where(first.isfinite(), first, 0.0).sum()

    def gather(self, memory_BM: np.ndarray) -> Tensor:
        """Return the values [B,O,V,M*P] of each clip's memory frames."""
        if (memory_BM == memory_BM[0]).all() and all(self._rows[t][-1] + 1 == len(memory_BM) for t in memory_BM[0]):
            return torch.cat([self._value(t).flatten(3) for t in memory_BM[0]], dim=3)
        clips = [
            torch.cat([self._clips[t][self._rows[t][clip]] for t in frames], dim=2)
            for clip, frames in enumerate(memory_BM)
        ]
        return torch.stack(clips)

    def _value(self, t: int) -> Tensor:
        value = self._values[t]
        assert value is not None, "a frame is encoded if a later one reads it"
        return value


def _lift(features_BT: KeyFeatures) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Prepare all frames for `lifted_similarity` at once: rows of memory [B*T,P,D], and each frame's query [B,D,P]."""
    key, shrinkage, selection = (
        None if x is None else x.flatten(3) for x in (features_BT.key, features_BT.shrinkage, features_BT.selection)
    )
    assert key is not None
    shrinkage_FP1 = None if shrinkage is None else shrinkage.flatten(0, 1).transpose(1, 2)
    memory_FPD = lift_memory(key.flatten(0, 1).transpose(1, 2), shrinkage_FP1, selection is not None)
    return memory_FPD, lift_query(key, selection, shrinkage is not None).unbind(dim=1)


def _over_frames(encode: Callable[[Tensor], Tensor], x_BTCHW: Tensor) -> Tensor:
    return encode(x_BTCHW.flatten(0, 1)).unflatten(0, x_BTCHW.shape[:2])
