"""The segmenter's interface: ids, later masks, removal, bounds and errors."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from inference import InferenceConfig, Segmenter, build_segmenter
from model import KeyFeatures, SpaceTimeNetwork, build_model
from tests.support.toy_frames import FIRST, H, W, frame, mask_of
from util.config.choices import Precision


@pytest.fixture(scope="module")
def models() -> dict[str, SpaceTimeNetwork]:
    torch.manual_seed(0)
    found = {name: build_model(name, "tiny").eval() for name in ("stcn", "stcn-corr", "xmem")}
    return {name: model for name, model in found.items() if isinstance(model, SpaceTimeNetwork)}


@pytest.fixture
def segmenter(models: dict[str, SpaceTimeNetwork]) -> Segmenter:
    return build_segmenter(models["xmem"], InferenceConfig(mem_every=2))


@pytest.mark.parametrize("name", ["stcn", "stcn-corr", "xmem"])
def test_a_short_video(models: dict[str, SpaceTimeNetwork], name: str) -> None:
    segmenter = build_segmenter(models[name], InferenceConfig(mem_every=2))
    first = segmenter.step(frame(0), FIRST)
    assert segmenter.object_ids == [7, 300]
    np.testing.assert_array_equal(segmenter.to_id_mask(first), FIRST.numpy())
    for t in range(1, 6):
        prob = segmenter.step(frame(t), last=t == 5)
        assert prob.shape == (3, H, W) and prob.dtype == torch.float32
        torch.testing.assert_close(prob.sum(0), torch.ones(H, W))
    ids = segmenter.to_id_mask(prob)
    assert ids.dtype == np.uint16 and set(np.unique(ids)) <= {0, 7, 300}


def test_small_ids_are_bytes(segmenter: Segmenter) -> None:
    prob = segmenter.step(frame(0), mask_of(_255=(0, 0, 9, 9)))
    assert segmenter.to_id_mask(prob).dtype == np.uint8


def test_frames_before_the_first_mask_are_background(segmenter: Segmenter) -> None:
    for t in range(3):
        assert torch.equal(segmenter.step(frame(t)), torch.ones(1, H, W))
    segmenter.step(frame(3), FIRST)
    assert segmenter.step(frame(4)).shape[0] == 3


def test_video_that_starts_late_equals_one_that_starts_there(models: dict[str, SpaceTimeNetwork]) -> None:
    def run(skip: int) -> torch.Tensor:
        segmenter = build_segmenter(models["xmem"], InferenceConfig(mem_every=1))
        for t in range(skip):
            segmenter.step(frame(100 + t))
        segmenter.step(frame(0), FIRST)
        return torch.stack([segmenter.step(frame(t)) for t in range(1, 5)])

    assert torch.equal(run(0), run(4))


def test_object_ids_select_from_the_mask(segmenter: Segmenter) -> None:
    prob = segmenter.step(frame(0), FIRST, object_ids=[300])
    assert segmenter.object_ids == [300]
    np.testing.assert_array_equal(segmenter.to_id_mask(prob), torch.where(FIRST == 300, 300, 0).numpy())


def test_new_object_keeps_the_others_where_its_mask_is_zero(models: dict[str, SpaceTimeNetwork]) -> None:
    def run(later: torch.Tensor | None) -> torch.Tensor:
        segmenter = build_segmenter(models["xmem"], InferenceConfig(mem_every=2))
        segmenter.step(frame(0), FIRST)
        return segmenter.step(frame(1), later, None if later is None else [9])

    new = mask_of(_9=(0, 0, 12, 12), _7=(30, 30, 34, 34))  # the 7 in it is not listed, so it means nothing
    predicted, merged = run(None), run(new)
    inside = new == 9
    assert merged.shape[0] == 4
    assert (merged[3][inside] > 0.999).all() and (merged[3][~inside] < 1e-3).all()
    labels = predicted.argmax(0)[~inside]
    assert (merged[:3].argmax(0)[~inside] == labels).float().mean() > 0.99


def test_a_given_mask_wins_over_a_certain_prediction(segmenter: Segmenter) -> None:
    segmenter.step(frame(0), FIRST)
    certain = torch.stack([FIRST == i for i in (0, 7, 300)]).float()
    new = mask_of(_9=(8, 8, 16, 16)) == 9  # all of it inside object 7
    prob = segmenter._merge(certain, [9], new[None].float())
    assert (prob[3][new] > 0.999).all() and (prob[1][new] < 1e-3).all()
    assert (prob[1][(FIRST == 7) & ~new] > 0.999).all()


def test_a_known_id_is_corrected(segmenter: Segmenter) -> None:
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1))
    correction = mask_of(_7=(20, 2, 36, 18))
    prob = segmenter.step(frame(2), correction)
    assert segmenter.object_ids == [7, 300]
    np.testing.assert_array_equal(prob[1].numpy() > 0.5, (correction == 7).numpy())
    assert len(segmenter.memory_sizes) == 1  # no group was added for known ids
    assert segmenter.step(frame(3)).shape == (3, H, W)


def test_all_ids_given_again(segmenter: Segmenter) -> None:
    segmenter.step(frame(0), FIRST)
    moved = FIRST.roll(3, dims=1)
    np.testing.assert_array_equal(segmenter.to_id_mask(segmenter.step(frame(1), moved)), moved.numpy())


def test_removed_objects_are_gone_and_may_come_back(segmenter: Segmenter) -> None:
    segmenter.step(frame(0), FIRST)
    segmenter.remove_objects([7])
    assert segmenter.object_ids == [300] and segmenter.step(frame(1)).shape[0] == 2
    segmenter.remove_objects([300])
    assert segmenter.step(frame(2)).shape[0] == 1
    segmenter.step(frame(3), FIRST)
    assert segmenter.object_ids == [7, 300]


def test_reset_starts_a_new_video(segmenter: Segmenter) -> None:
    def run() -> torch.Tensor:
        return torch.stack([segmenter.step(frame(t), FIRST if t == 0 else None) for t in range(4)])

    first = run()
    segmenter.reset()
    assert segmenter.object_ids == []
    assert torch.equal(run(), first)


def test_the_last_frame_is_not_remembered(segmenter: Segmenter) -> None:
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1))
    segmenter.step(frame(2), last=True)
    assert segmenter.memory_sizes == [(12, 0)]  # one frame of 3 x 4 positions


def test_objects_that_enter_on_the_last_frame_have_no_memory(segmenter: Segmenter) -> None:
    mask = torch.zeros(48, 64, dtype=torch.int64)
    mask[8:24, 8:24] = 1
    segmenter.step(torch.zeros(3, 48, 64), mask, last=True)
    with pytest.raises(ValueError, match=r"a frame after the last one, .* reset\(\) begins another video"):
        segmenter.step(torch.zeros(3, 48, 64))


def test_a_single_frame(segmenter: Segmenter) -> None:
    prob = segmenter.step(frame(0), FIRST, last=True)
    np.testing.assert_array_equal(segmenter.to_id_mask(prob), FIRST.numpy())
    assert segmenter.memory_sizes == [(0, 0)]


def test_memory_stays_within_its_limits(models: dict[str, SpaceTimeNetwork]) -> None:
    config = InferenceConfig(
        mem_every=1, max_mid_term_frames=4, min_mid_term_frames=2, num_prototypes=5, max_long_term_elements=23
    )
    segmenter = build_segmenter(models["xmem"], config)
    for t in range(30):
        segmenter.step(frame(t), FIRST if t == 0 else None)
        [(working, long_term)] = segmenter.memory_sizes
        assert working < 4 * 12 and long_term <= 23
    assert long_term == 23


def test_without_top_k_everything_is_read(models: dict[str, SpaceTimeNetwork]) -> None:
    def run(top_k: int) -> torch.Tensor:
        segmenter = build_segmenter(models["xmem"], InferenceConfig(mem_every=1, top_k=top_k))
        return torch.stack([segmenter.step(frame(t), FIRST if t == 0 else None) for t in range(4)])

    torch.testing.assert_close(run(0), run(10_000))
    assert not torch.allclose(run(0), run(1))


@pytest.mark.parametrize("name", ["stcn", "xmem"])
def test_object_chunk_changes_nothing(models: dict[str, SpaceTimeNetwork], name: str) -> None:
    masks = mask_of(_1=(0, 0, 9, 9), _2=(10, 10, 20, 20), _5=(20, 30, 39, 50))

    def run(chunk: int | None) -> torch.Tensor:
        segmenter = build_segmenter(models[name], InferenceConfig(mem_every=1, object_chunk=chunk))
        return torch.stack([segmenter.step(frame(t), masks if t == 0 else None) for t in range(4)])

    torch.testing.assert_close(run(2), run(None), atol=1e-4, rtol=1e-3)


def test_bf16_is_close_to_fp32(models: dict[str, SpaceTimeNetwork]) -> None:
    def run(precision: Precision) -> torch.Tensor:
        segmenter = build_segmenter(models["xmem"], InferenceConfig(mem_every=1, precision=precision))
        return torch.stack([segmenter.step(frame(t), FIRST if t == 0 else None) for t in range(3)])

    half = run("bf16")
    assert half.dtype == torch.float32
    assert (half - run("fp32")).abs().mean() < 0.02


def test_the_callers_model_is_left_alone(models: dict[str, SpaceTimeNetwork]) -> None:
    model = models["xmem"].train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    build_segmenter(model).step(frame(0), FIRST)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.step(torch.zeros(H, W)), r"image: expected float \[3,H,W\], received torch.float32 \[40, 56\]"),
        (lambda s: s.step(torch.zeros(3, H, W, dtype=torch.uint8)), "image: expected float .* received torch.uint8"),
        (lambda s: s.step(frame(0).numpy()), "image: expected a tensor, received ndarray; step_rgb takes pictures"),
        (lambda s: s.step(frame(0), FIRST.numpy()), "mask: expected a tensor, received ndarray; torch.from_numpy"),
        (lambda s: s.step(frame(0), FIRST[:-1]), r"mask: expected 40x56 .* received 39x56"),
        (lambda s: s.step(frame(0), FIRST.float()), r"mask: expected integer ids \[H,W\], received torch.float32"),
        (lambda s: s.step(frame(0), FIRST[None].expand(3, -1, -1)), r"mask: expected integer ids .* \[3, 40, 56\]"),
        (lambda s: s.step(frame(0), FIRST * 0), "mask: no object in it, all ids are 0; give mask=None"),
        (lambda s: s.step(frame(0), FIRST * 1000), r"ids must lie in 1..65535, received 7000..300000"),
        (lambda s: s.step(frame(0), object_ids=[1]), r"object_ids=\[1\] were given without a mask"),
        (lambda s: s.remove_objects([3]), r"no object with id \[3\]; known ids: \[\]"),
        (lambda s: s.to_id_mask(torch.zeros(3, 2, 2)), r"to_id_mask: expected \[1,H,W\] .* received \[3, 2, 2\]"),
    ],
)
def test_bad_input_is_named(segmenter: Segmenter, call: Callable[[Segmenter], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(segmenter)


def test_frames_of_another_size_are_refused(segmenter: Segmenter) -> None:
    segmenter.step(frame(0), FIRST)
    with pytest.raises(ValueError, match=r"frame 1: expected 40x56 .* received 40x54"):
        segmenter.step(frame(1)[:, :, :-2])


def test_what_nobody_reads_is_not_computed(
    models: dict[str, SpaceTimeNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    updates: list[bool] = []
    segmenter = build_segmenter(models["xmem"], InferenceConfig(mem_every=9, deep_update_every=1))
    predict = segmenter._predict

    def note(features: KeyFeatures, update_sensory: bool) -> torch.Tensor:
        updates.append(update_sensory)
        return predict(features, update_sensory)

    monkeypatch.setattr(segmenter, "_predict", note)
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1), FIRST)  # every object's mask is given
    assert updates == []
    segmenter.step(frame(2), FIRST, object_ids=[7])
    segmenter.step(frame(3), last=True)
    assert updates == [True, False]


def test_the_last_frame_is_not_kept_until_the_next(models: dict[str, SpaceTimeNetwork]) -> None:
    segmenter = build_segmenter(models["stcn"], InferenceConfig(mem_every=9, include_last=True))
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1))
    kept = segmenter.memory_sizes
    segmenter.reset()
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1), last=True)
    assert sum(kept[0]) > sum(segmenter.memory_sizes[0])
