"""Unrolls a network over a batch of training clips; the only module that DDP wraps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.affinity import readout, similarity, softmax_affinity
from model.network import ClipKeys, ClipOutput
from model.spacetime.network import KeyFeatures, SpaceTimeNetwork
from model.twoframe.matching import keep_best_queries
from util.config.data import ClipConfig
from util.seeds import clip_rng


@dataclass(frozen=True)
class MemoryPlan:
    """What is drawn for a batch of clips before it is unrolled.

    Attributes:
        memory: for each frame after the first, the memory frames of each clip: [T-1][B,M] integers, ascending.
        deep: [T,B] bool, whether frame t refreshes a clip's sensory memory from its value.
    """

    memory: tuple[np.ndarray, ...]
    deep: np.ndarray

    def encoded(self, t: int) -> np.ndarray:
        """Return which clips [B] need frame t's value: those that read it later or refresh their sensory memory."""
        needed = self.deep[t].copy()
        for frames in self.memory[t:]:
            needed |= (frames == t).any(axis=1)
        return needed


def draw_plan(seeds: Sequence[int], frames: int, memory_frames: int, deep_update: float) -> MemoryPlan:
    """Draw memory frames and deep updates of every clip from its own seed, so that its batch does not matter.

    Frame t reads all t earlier frames, or, when those are more than `memory_frames`, the first and others drawn from
    the rest (XMem). The first frame is always a deep update; the last frame is not remembered.

    Args:
        seeds: one for each clip.
        frames: length T of the clips.
        memory_frames: 0 reads all earlier frames (STCN).
        deep_update: probability of a deep update on each other frame.
    """
    memory = [np.zeros((len(seeds), min(t, memory_frames or t)), np.int64) for t in range(1, frames)]
    deep = np.zeros((frames, len(seeds)), bool)
    for clip, seed in enumerate(seeds):
        rng = clip_rng(seed, "mem")
        for t in range(1, frames):
            others = rng.permutation(np.arange(1, t))[: memory[t - 1].shape[1] - 1]
            memory[t - 1][clip, 1:] = np.sort(others)
            deep[t, clip] = t < frames - 1 and rng.random() < deep_update
    deep[0] = True
    return MemoryPlan(tuple(memory), deep)


class ClipNetwork(nn.Module):
    """A matching network that segments whole clips from their first masks."""

    def __init__(
        self,
        network: SpaceTimeNetwork,
        memory_frames: int = 0,
        deep_update: float = 0.2,
        encode_all: bool = False,
        bijective_k: int = 0,
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
        """
        super().__init__()
        self.encode_all = encode_all
        self.network = network
        self.memory_frames = memory_frames
        self.bijective_k = bijective_k
        self.deep_update = deep_update if network.config.hidden_dim else 0.0

    @classmethod
    def around(cls, network: SpaceTimeNetwork, clip: ClipConfig, batch_norm_trains: bool) -> "ClipNetwork":
        """Wrap a network as a run's clips ask for."""
        bijective_k = clip.bijective_k if clip.matching == "bijective" else 0
        return cls(network, clip.memory_frames, clip.deep_update, batch_norm_trains, bijective_k)

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
        valid = valid_BO.cpu().numpy()
        valid_BO = valid_BO.to(images_BT3HW.device, non_blocking=True)
        plan = draw_plan(seeds, frames, self.memory_frames, self.deep_update)
        features, keys = self._encode(images_BT3HW, views_BV3HW)
        grid = features.key.shape[-2:]
        sensory = self.network.initial_sensory(batch, valid_BO.shape[1], grid[0], grid[1], like=images_BT3HW)
        bank = _ValueBank()
        masks, logits = first_masks_BOHW, []
        for t, now in enumerate(self._prepared_frames(features)):
            if t > 0:
                affinity = self._match(features, now, plan.memory[t - 1])
                read = readout(affinity, bank.gather(plan.memory[t - 1]).flatten(1, 2))
                read = read.unflatten(1, (valid_BO.shape[1], -1)).unflatten(-1, tuple(grid))
                logit, sensory = self.network.segment(now, read, sensory, t < frames - 1, valid_BO)
                logits.append(_without_padding(logit, valid_BO))
                masks = torch.softmax(logits[-1], dim=1)[:, 1:]
            if t < frames - 1:
                sensory = self._remember(bank, t, plan, images_BT3HW[:, t], now.f16, masks, sensory, valid)
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
        frames = _frames(features_BT)
        f16 = self.network.value_encoder.fuser.prepare(torch.cat([frame.f16 for frame in frames[:-1]]))
        thin = self.network.decoder.prepare(torch.cat([frame.f16_thin for frame in frames[1:]]))
        parts = len(frames) - 1
        for t, (of_value, of_decoder) in enumerate(zip(f16.chunk(parts), thin.chunk(parts), strict=True)):
            frames[t] = frames[t]._replace(f16=of_value)
            frames[t + 1] = frames[t + 1]._replace(f16_thin=of_decoder)
        return frames

    def _match(self, features: KeyFeatures, query: KeyFeatures, memory_BM: np.ndarray) -> Tensor:
        """Return the affinity [B,M*P,P] of each clip's memory frames to its query."""
        index = torch.from_numpy(memory_BM).to(features.key.device)
        clips = torch.arange(len(memory_BM), device=index.device)[:, None]

        def memory(x_BTCYX: Tensor | None) -> Tensor | None:
            return None if x_BTCYX is None else x_BTCYX[clips, index].flatten(3).transpose(1, 2).flatten(2)

        def flat(x_BCYX: Tensor | None) -> Tensor | None:
            return None if x_BCYX is None else x_BCYX.flatten(2)

        key = memory(features.key)
        assert key is not None
        scores = similarity(key, memory(features.shrinkage), query.key.flatten(2), flat(query.selection))
        return softmax_affinity(keep_best_queries(scores, self.bijective_k))

    def _remember(
        self,
        bank: "_ValueBank",
        t: int,
        plan: MemoryPlan,
        image_B3HW: Tensor,
        f16: Tensor,
        masks_BOHW: Tensor,
        sensory_BOSYX: Tensor | None,
        valid: np.ndarray,
    ) -> Tensor | None:
        """Encode frame t for the clips that need it, and return the sensory memory after it."""
        needed, deep = plan.encoded(t) | self.encode_all, plan.deep[t]
        if not needed.any():
            return sensory_BOSYX
        real = None if valid[needed].all() else torch.from_numpy(np.flatnonzero(valid[needed])).to(image_B3HW.device)
        rows = torch.from_numpy(np.flatnonzero(needed)).to(image_B3HW.device)
        some = (lambda x: x) if needed.all() else (lambda x: x[rows])
        before = None if sensory_BOSYX is None else some(sensory_BOSYX)
        value, after = self.network.encode_value(
            some(image_B3HW), some(f16), some(masks_BOHW), before, bool(deep.any()), rows_N=real
        )
        bank.add(t, needed, value)
        if sensory_BOSYX is None or before is None or after is None or not deep.any():
            return sensory_BOSYX
        chosen = torch.from_numpy(deep[needed]).to(image_B3HW.device)[:, None, None, None, None]
        after = torch.where(chosen, after, before)
        return after if needed.all() else sensory_BOSYX.index_copy(0, rows, after)


class _ValueBank:
    """Values of the remembered frames, of those clips that need them."""

    def __init__(self) -> None:
        self._values: dict[int, Tensor] = {}
        self._rows: dict[int, np.ndarray] = {}

    def add(self, t: int, needed: np.ndarray, value: Tensor) -> None:
        self._values[t] = value
        self._rows[t] = np.cumsum(needed) - 1

    def touch(self) -> Tensor:
        """Return a scalar that depends on every value."""
        return torch.stack([value[0, 0, 0, 0, 0].float() for value in self._values.values()]).sum()

    def gather(self, memory_BM: np.ndarray) -> Tensor:
        """Return the values [B,O,V,M*P] of each clip's memory frames."""
        if (memory_BM == memory_BM[0]).all() and all(len(self._values[t]) == len(memory_BM) for t in memory_BM[0]):
            return torch.cat([self._values[t].flatten(3) for t in memory_BM[0]], dim=3)
        clips = [
            torch.cat([self._values[t][self._rows[t][clip]].flatten(2) for t in frames], dim=2)
            for clip, frames in enumerate(memory_BM)
        ]
        return torch.stack(clips)


def _frames(features_BT: KeyFeatures) -> list[KeyFeatures]:
    # Their gradients are stacked once; of x[:, t], each would fill a tensor of zeros for all frames.
    unbound = {id(x): x.unbind(dim=1) for x in features_BT if isinstance(x, Tensor)}

    def frame(t: int) -> KeyFeatures:
        return features_BT.map(lambda x: unbound[id(x)][t])

    return [frame(t) for t in range(features_BT.key.shape[1])]


def _over_frames(encode: Callable[[Tensor], Tensor], x_BTCHW: Tensor) -> Tensor:
    return encode(x_BTCHW.flatten(0, 1)).unflatten(0, x_BTCHW.shape[:2])


def _without_padding(logits_BLHW: Tensor, valid_BO: Tensor) -> Tensor:
    padded = nn.functional.pad(~valid_BO, (1, 0))[:, :, None, None]
    return logits_BLHW.masked_fill(padded, -torch.inf)
