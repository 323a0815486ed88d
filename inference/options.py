"""The settings of InferenceConfig as flags, whose defaults depend on the network and the benchmark."""

import dataclasses
from typing import Literal

from inference.config import InferenceConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceFlags:
    """Every field of InferenceConfig; None is the default of the network and the benchmark."""

    mem_every: int | None = None
    """A frame enters the memory every so many frames (default 5; DAVIS test-dev 3, lv3 10)."""
    top_k: int | None = None
    """Memory elements that a query position reads; 0 reads all (default: xmem 30, stcn 20)."""
    deep_update_every: int | None = None
    """XMem: frames between deep updates of the sensory memory; -1 ties them to memory frames (default -1)."""
    enable_long_term: bool | None = None
    """XMem: consolidate old memory, so that its size is bounded (default True)."""
    max_mid_term_frames: int | None = None
    """XMem: frames in working memory at which consolidation happens (default 10)."""
    min_mid_term_frames: int | None = None
    """XMem: frames that stay in working memory (default 5)."""
    num_prototypes: int | None = None
    """XMem: long-term elements that a consolidation makes (default 128)."""
    max_long_term_elements: int | None = None
    """XMem: capacity of the long-term memory (default 10000)."""
    include_last: bool | None = None
    """STCN: also keep the newest frame until the next (default False)."""
    max_memory_frames: int | None = None
    """STCN: keep the first and the newest frames, so many in all (default: all)."""
    object_chunk: int | None = None
    """Objects that go through the network at a time; bounds the peak memory (default: all)."""
    matching: Literal["softmax", "bijective"] = "softmax"
    """Experiment, for XMem and STCN: bijective lets each memory element count for its --bijective_k best positions only
    before the softmax."""
    bijective_k: int | None = None
    """Queries that a reference position chooses in BMVOS and with --matching bijective; 0: all count (default 4)."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """auto is fp32 on a CPU and fp16 on a GPU."""

    def resolve(self, mem_every: int = 5) -> InferenceConfig:
        """Return the settings: flags that were given, else the benchmark's `mem_every`, else the defaults.

        Raises ValueError, with the flag's name, for a value out of range.
        """
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return InferenceConfig(**{"mem_every": mem_every} | given)
