"""What inference would do on a GPU, without one: no device is mixed, nothing waits, few kernels are started.

Budgets are launches before CUDA graphs; see `tests/support/fake_cuda.py` for what counts as one. Training's are in
`tests/train/test_gpu_guard.py`.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import inference.segmenter
from inference import InferenceConfig, VOSSegmenter, build_segmenter
from model import build_model
from tests.support.fake_cuda import CUDA, Watch, fake_cuda

ALL = pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem", "bmvos", "emvos"])
IMAGE, MASK = torch.zeros(3, 48, 64), torch.zeros(48, 64, dtype=torch.int64)
ORDINARY, MEMORY = 195, 275


def fake_segmenter(name: str, size: str = "tiny", **settings: object) -> VOSSegmenter:
    with torch.device(CUDA):
        model = build_model(name, size)
    config = InferenceConfig(**{"precision": "fp16", "mem_every": 2} | settings)  # type: ignore[arg-type]
    return build_segmenter(model, config, CUDA)


def watched(call: Callable[[], object]) -> Watch:
    with Watch() as watch:
        call()
    return watch


@ALL
def test_segmenting_waits_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects enter, are corrected and leave; XMem consolidates and evicts."""
    settings = {"max_mid_term_frames": 3, "min_mid_term_frames": 2, "num_prototypes": 8, "max_long_term_elements": 12}
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter(name, mem_every=1, **settings)  # type: ignore[arg-type]
        for t in range(10):
            given = {0: [1, 2], 3: [7], 5: [2]}.get(t)
            watch = watched(lambda given=given: segmenter.step(IMAGE, None if given is None else MASK, given))  # type: ignore[misc]
            assert not watch.waits, f"frame {t}: {dict(watch.waits)}"
            if t == 6:
                assert not watched(lambda: segmenter.remove_objects([1])).waits
        assert segmenter.object_ids == [2, 7]
        if name == "xmem":
            assert segmenter.memory_sizes[0][1] == 12


def test_launches_of_a_frame_at_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = torch.zeros(3, 480, 854), torch.zeros(480, 854, dtype=torch.int64)
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem", "base", mem_every=3)
        segmenter.step(image, mask, [1])
        counts = [watched(lambda: segmenter.step(image)).count for _ in range(3)]
    assert counts[0] == counts[1] <= ORDINARY, counts
    assert ORDINARY < counts[2] <= MEMORY, counts


def test_the_guard_sees_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = inference.segmenter.aggregate

    def asking(prob_BOHW: Tensor) -> Tensor:
        assert prob_BOHW.amax().item() is not None
        return usual(prob_BOHW)

    monkeypatch.setattr(inference.segmenter, "aggregate", asking)
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem")
        assert watched(lambda: segmenter.step(IMAGE, MASK, [1])).waits == {"_local_scalar_dense": 1}


def test_the_guard_sees_a_transfer_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.segmenter, "upload", lambda x, device: x.to(device))
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem")
        assert watched(lambda: segmenter.step(IMAGE, MASK, [1])).waits == {"upload": 1}


def test_the_guard_sees_mixed_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.segmenter, "upload", lambda x, device: x)
    with fake_cuda(monkeypatch):
        segmenter = fake_segmenter("xmem", precision="fp32")
        with pytest.raises(RuntimeError, match="cpu.*cuda:0|cuda:0.*cpu|[Dd]evice"):
            segmenter.step(IMAGE, MASK, [1])
