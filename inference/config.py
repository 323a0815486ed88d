"""How a video is segmented: the settings of every segmenter."""

from dataclasses import dataclass

from util.config.choices import Matching, Precision


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How a video is segmented.

    BMVOS and EMVOS keep the first and the previous frame: settings of the memory have no effect on them.

    Attributes:
        mem_every: a frame enters the memory every so many frames.
        top_k: memory elements that a query position reads; 0: all; None: the network's own (its row in `NETWORKS`).
        deep_update_every: frames between deep updates of XMem's sensory memory; -1 ties them to memory frames.
        enable_long_term: XMem: consolidate old memory, so that its size is bounded.
        max_mid_term_frames: XMem: frames in working memory at which consolidation happens.
        min_mid_term_frames: XMem: frames that stay in working memory, the first one counted.
        num_prototypes: XMem: long-term elements made by a consolidation.
        max_long_term_elements: XMem: capacity of long-term memory.
        include_last: STCN: also keep the newest frame until the next.
        max_memory_frames: STCN, or XMem without long-term memory: the first and the newest frames, so many in all.
        object_chunk: objects that go through the networks at a time; bounds the peak memory; None is all.
        matching: how memory is read: `softmax`, or, as an experiment, `bijective`: a memory element's similarity counts
            for the `bijective_k` positions of the frame that are most similar to it, and is its lowest for all others.
        bijective_k: queries that each position of BMVOS's previous frame chooses, or each memory element in
            `matching="bijective"`; 0 lets all count.
        precision: `fp32`, `fp16`, `bf16` or `auto` (fp32 on a CPU, fp16 on a GPU).
        compile: compile encoders and decoder with torch.compile, for a GPU: minutes at first, faster frames then. On a
            CPU, frames take longer so.
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
    matching: Matching = "softmax"
    bijective_k: int = 4
    precision: Precision = "auto"
    compile: bool = False

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
            "bijective_k": 0,
        }
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: expected at least {least}")
        if self.matching not in ("softmax", "bijective"):
            raise ValueError(f"matching={self.matching!r}: expected softmax or bijective")
        if self.deep_update_every < 1 and self.deep_update_every != -1:
            raise ValueError(
                f"deep_update_every={self.deep_update_every}: expected -1 (with memory frames) or at least 1"
            )
        if self.max_mid_term_frames <= self.min_mid_term_frames:
            raise ValueError(
                f"max_mid_term_frames={self.max_mid_term_frames}: expected more than "
                f"min_mid_term_frames={self.min_mid_term_frames}, or nothing is left to consolidate"
            )
