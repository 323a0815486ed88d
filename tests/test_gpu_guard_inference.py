"""What would happen on a GPU from files to masks, without one: see `tests/test_gpu_guard.py`.

Read-backs of masks are the only waits, and each has another frame queued before it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import inference.frame_upload
import inference.propagate
from dataset.evaluate.own import open_own
from inference import InferenceConfig
from inference.propagate import Variant, build_variants, propagate
from model import build_model
from tests.support.fake_cuda import CUDA, Watch, fake_cuda

ALL = pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem", "bmvos", "emvos"])
FRAMES = [np.full((70, 90, 3), t, np.uint8) for t in range(8)]
SHORT = FRAMES[:2]
_FIRST = np.zeros((70, 90), np.uint8)
_FIRST[10:30, 10:30], _FIRST[40:60, 40:60] = 1, 2
# On frame 3 an object enters, on frame 5 one is corrected.
MASKS: dict[int, Any] = {0: _FIRST, 3: (7 * (_FIRST == 1), [7]), 5: (_FIRST, [2])}
LIMITS = {"max_mid_term_frames": 3, "min_mid_term_frames": 2, "num_prototypes": 8, "max_long_term_elements": 12}


def play(
    name: str,
    precision: str = "fp16",
    after: Callable[[list[Variant], int], None] | None = None,
    frames: list[np.ndarray] = FRAMES,
) -> Watch:
    """Segment a video with objects that come and go, mirrored and in two sizes."""
    with torch.device(CUDA):
        model = build_model(name, "tiny")
    config = InferenceConfig(precision=precision, mem_every=2, **LIMITS)  # type: ignore[arg-type]
    variants = build_variants(model, (32, 48), flip=True, config=config, device=CUDA)
    video = open_own(frames, {t: mask for t, mask in MASKS.items() if t < len(frames)})
    with Watch() as watch:
        for number, frame in enumerate(propagate(variants, video)):
            assert frame.name == f"{number:05d}" and frame.id_mask.shape == (70, 90)
            assert frame.id_mask.dtype == np.uint8 and frame.prob.shape[1:] == (70, 90)
            if after is not None:
                after(variants, number)
    return watch


def one_leaves(variants: list[Variant], number: int) -> None:
    if number == 5:
        for variant in variants:
            variant.segmenter.remove_objects([1])


@ALL
def test_a_video_waits_for_nothing_but_masks_of_the_frame_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        watch = play(name, after=one_leaves)
    # Nothing follows the last frame: it is waited for.
    assert dict(watch.waits) == {"event": 1} and watch.late == len(FRAMES) - 1


@pytest.mark.parametrize(("name", "precision"), [("xmem", "bf16"), ("xmem", "fp32"), ("emvos", "bf16")])
def test_in_other_precisions(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        watch = play(name, precision, one_leaves)
    assert dict(watch.waits) == {"event": 1} and watch.late == len(FRAMES) - 1


def test_all_sizes_and_both_directions_share_one_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads: list[Tensor] = []
    usual = inference.frame_upload.upload

    def counted(x: Tensor, device: torch.device) -> Tensor:
        uploads.append(x)
        return usual(x, device)

    monkeypatch.setattr(inference.frame_upload, "upload", counted)
    with fake_cuda(monkeypatch):
        play("stcn", frames=SHORT)
    pictures = [x for x in uploads if x.dtype == torch.uint8]
    assert len(pictures) == len(SHORT) and len(uploads) == len(pictures) + 2  # mean and deviation, once a video
    assert pictures[0].shape == (3 * (32 * 41 + 48 * 61),)


def test_the_guard_sees_masks_read_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.propagate, "one_late", lambda items: items)
    with fake_cuda(monkeypatch):
        assert play("stcn", frames=SHORT).waits == {"event": len(SHORT)}


def test_the_guard_sees_an_upload_from_pageable_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.frame_upload, "upload", lambda x, device: x.to(device, non_blocking=True))
    with fake_cuda(monkeypatch):
        assert play("stcn", frames=SHORT).waits == {"event": 1, "upload": len(SHORT) + 2}


def test_the_guard_sees_a_picture_on_the_wrong_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.frame_upload, "upload", lambda x, _: x if x.ndim == 1 else x.to(CUDA))
    with fake_cuda(monkeypatch), pytest.raises(RuntimeError, match="cpu.*cuda:0|cuda:0.*cpu|[Dd]evice"):
        play("stcn", frames=SHORT)


def test_a_live_video_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera's frame is answered before the next one is taken."""
    taken: list[int] = []

    def camera():  # type: ignore[no-untyped-def]
        for number, frame in enumerate(FRAMES[:3]):
            taken.append(number)
            yield frame

    with fake_cuda(monkeypatch):
        with torch.device(CUDA):
            model = build_model("stcn", "tiny")
        variants = build_variants(model, (32,), device=CUDA)
        for number, _ in enumerate(propagate(variants, open_own(camera(), _FIRST))):
            assert taken[-1] == number
