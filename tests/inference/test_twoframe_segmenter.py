"""Segmenting with BMVOS and EMVOS: ids, later masks, removal, cost and errors, as with the other networks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import eval as program
from inference import InferenceConfig, TwoFrameSegmenter, build_segmenter
from model import TwoFrameFeatures, TwoFrameNetwork, build_model
from tests.support.golden_clip import clip as synthetic_clip
from tests.support.toy_frames import FIRST, H, W, frame, mask_of
from tests.support.toy_videos import write_davis
from util.files.checkpoint import save_checkpoint
from util.files.palette import read_mask

NAMES = ["bmvos", "emvos"]


@pytest.fixture(scope="module")
def models() -> dict[str, TwoFrameNetwork]:
    found = {}
    for name in NAMES:
        torch.manual_seed(0)
        model = build_model(name, "tiny").eval()
        assert isinstance(model, TwoFrameNetwork)
        for part in (model.decoder, model.vos.mask_embedder or torch.nn.Identity()):
            for weight in part.parameters():
                weight.data *= 2  # with fresh weights an object's masks hardly matter
        found[name] = model
    return found


@pytest.fixture(params=NAMES)
def segmenter(models: dict[str, TwoFrameNetwork], request: pytest.FixtureRequest) -> TwoFrameSegmenter:
    return build(models[request.param])


def build(model: TwoFrameNetwork, **settings: object) -> TwoFrameSegmenter:
    segmenter = build_segmenter(model, InferenceConfig(**settings))  # type: ignore[arg-type]
    assert isinstance(segmenter, TwoFrameSegmenter)
    return segmenter


def test_a_short_video(segmenter: TwoFrameSegmenter) -> None:
    first = segmenter.step(frame(0), FIRST)
    assert segmenter.object_ids == [7, 300]
    np.testing.assert_array_equal(segmenter.to_id_mask(first), FIRST.numpy())
    for t in range(1, 6):
        prob = segmenter.step(frame(t), last=t == 5)
        assert prob.shape == (3, H, W) and prob.dtype == torch.float32
        torch.testing.assert_close(prob.sum(0), torch.ones(H, W))
    ids = segmenter.to_id_mask(prob)
    assert ids.dtype == np.uint16 and set(np.unique(ids)) <= {0, 7, 300}


def test_frames_before_the_first_mask_do_nothing(segmenter: TwoFrameSegmenter) -> None:
    def run_from(skip: int) -> torch.Tensor:
        segmenter.reset()
        for t in range(skip):
            assert torch.equal(segmenter.step(frame(100 + t)), torch.ones(1, H, W))
        segmenter.step(frame(0), FIRST)
        return torch.stack([segmenter.step(frame(t)) for t in range(1, 4)])

    assert torch.equal(run_from(0), run_from(3))


def test_object_ids_select_from_the_mask(segmenter: TwoFrameSegmenter) -> None:
    prob = segmenter.step(frame(0), FIRST, object_ids=[300])
    assert segmenter.object_ids == [300]
    np.testing.assert_array_equal(segmenter.to_id_mask(prob), torch.where(FIRST == 300, 300, 0).numpy())


def test_new_object_keeps_the_others_where_its_mask_is_zero(segmenter: TwoFrameSegmenter) -> None:
    segmenter.step(frame(0), FIRST)
    predicted = segmenter.step(frame(1))
    segmenter.reset()
    segmenter.step(frame(0), FIRST)
    new = mask_of(_5=(0, 0, 12, 12), _7=(30, 30, 34, 34))  # the 7 in it is not listed, so it means nothing
    merged = segmenter.step(frame(1), new, [5])
    assert segmenter.object_ids == [7, 300, 5]
    inside = new == 5
    assert (merged[3][inside] > 0.999).all() and (merged[3][~inside] < 1e-3).all()
    torch.testing.assert_close(merged[:3, ~inside], predicted[:, ~inside], atol=1e-4, rtol=0)
    assert segmenter.step(frame(2)).shape == (4, H, W)


def test_a_given_mask_takes_its_pixels_from_all_others(models: dict[str, TwoFrameNetwork]) -> None:
    """However sure the network is of another object there."""
    segmenter = build(models["emvos"])
    segmenter.step(frame(0), FIRST)
    given = mask_of(_5=(0, 0, 30, 30))
    merged = segmenter._merge(torch.full((2, H, W), 6.0), [5], (given == 5)[None].float())
    covered = given == 5
    assert (merged[:2, covered] == -merged[2, covered]).all() and (merged[:2, ~covered] == 6).all()


def test_each_object_is_matched_with_the_frame_in_which_it_was_given(models: dict[str, TwoFrameNetwork]) -> None:
    """A late object is segmented as in a video that starts with it, but for what the objects do to each other."""
    model = models["emvos"]  # BMVOS remembers more than one mask
    late = mask_of(_5=(24, 2, 38, 20))
    segmenter = build(model)
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1), late)
    logits = segmenter._predict(model.encode_key(torch.zeros(1, 3, 48, 64)))
    alone = build(model)
    alone.step(frame(1), late)
    expected = alone._predict(model.encode_key(torch.zeros(1, 3, 48, 64)))
    torch.testing.assert_close(logits[2:], expected, atol=1e-4, rtol=1e-3)


def test_order_of_ids_survives_a_correction(segmenter: TwoFrameSegmenter) -> None:
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1))
    correction = mask_of(_7=(20, 2, 36, 18))
    prob = segmenter.step(frame(2), correction)
    assert segmenter.object_ids == [7, 300]
    np.testing.assert_array_equal(prob[1].numpy() > 0.5, (correction == 7).numpy())
    assert [anchor.ids for anchor in segmenter._anchors] == [[300], [7]]
    assert len(segmenter.memory_sizes) == 2


def test_objects_of_several_anchors_are_predicted_as_if_alone(segmenter: TwoFrameSegmenter) -> None:
    segmenter.step(frame(0), FIRST)
    segmenter.step(frame(1), mask_of(_5=(24, 2, 38, 20)))
    segmenter.step(frame(2), mask_of(_7=(20, 2, 36, 18)))
    places = {7: (2, 0), 300: (0, 0), 5: (1, 0)}  # anchor, place in it
    assert [anchor.ids for anchor in segmenter._anchors] == [[300], [5], [7]]
    network = segmenter._network
    features = network.encode_key(torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)))
    logits = segmenter._predict(features)
    assert segmenter._previous is not None
    for index, i in enumerate(segmenter.object_ids):
        anchor, place = places[i]
        alone = network.segment(
            features,
            [segmenter._anchors[anchor].reference.select([place])],
            segmenter._previous.select([index]),
            tuple(mask[:, [index]] for mask in segmenter._history),
            bijective_k=4,
        )
        torch.testing.assert_close(logits[index], alone[0, 0], atol=1e-4, rtol=1e-3)


def test_all_ids_given_again(segmenter: TwoFrameSegmenter) -> None:
    segmenter.step(frame(0), FIRST)
    moved = FIRST.roll(3, dims=1)
    np.testing.assert_array_equal(segmenter.to_id_mask(segmenter.step(frame(1), moved)), moved.numpy())
    assert [anchor.ids for anchor in segmenter._anchors] == [[7, 300]]


def test_the_first_mask_stands_for_those_before_it(models: dict[str, TwoFrameNetwork]) -> None:
    segmenter = build(models["bmvos"])
    given = segmenter.step(frame(0), mask_of(_1=(0, 0, 20, 20)))
    masks = [segmenter.step(frame(t))[1] for t in (1, 2)]
    newest, second, third = (mask[0, 0, 4:44, 4:60] for mask in segmenter._history)
    assert torch.equal(newest, masks[1]) and torch.equal(second, masks[0]) and torch.equal(third, given[1])
    segmenter.step(frame(3), mask_of(_2=(20, 20, 30, 30)))
    ours, new = torch.stack(segmenter._history)[:, 0].unbind(dim=1)
    assert torch.equal(ours[1, 4:44, 4:60], masks[1]) and not torch.equal(ours[0], ours[1])
    assert torch.equal(new[0], new[1]) and torch.equal(new[0], new[2])


def test_removed_objects_are_gone_and_may_come_back(segmenter: TwoFrameSegmenter) -> None:
    segmenter.step(frame(0), FIRST)
    segmenter.remove_objects([])
    segmenter.remove_objects([7])
    assert segmenter.object_ids == [300] and segmenter.step(frame(1)).shape[0] == 2
    segmenter.remove_objects([300])
    assert torch.equal(segmenter.step(frame(2)), torch.ones(1, H, W))
    segmenter.step(frame(3), FIRST)
    assert segmenter.object_ids == [7, 300] and segmenter.step(frame(4)).shape[0] == 3


def test_removing_an_object_leaves_the_others_to_themselves(models: dict[str, TwoFrameNetwork]) -> None:
    for name in NAMES:
        segmenter, alone = build(models[name]), build(models[name])
        apart = mask_of(_7=(4, 4, 20, 20), _300=(22, 30, 38, 50))
        segmenter.step(frame(0), apart)
        segmenter.remove_objects([7])
        alone.step(frame(0), apart, [300])
        torch.testing.assert_close(segmenter.step(frame(1)), alone.step(frame(1)), atol=1e-4, rtol=0)


def test_reset_starts_a_new_video(segmenter: TwoFrameSegmenter) -> None:
    def run_once() -> torch.Tensor:
        return torch.stack([segmenter.step(frame(t), FIRST if t == 0 else None) for t in range(4)])

    first = run_once()
    segmenter.reset()
    assert segmenter.object_ids == [] and segmenter.memory_sizes == []
    assert torch.equal(run_once(), first)


def test_features_are_computed_once_a_frame(segmenter: TwoFrameSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    encode = segmenter._network.encode_key

    def count(image: torch.Tensor) -> TwoFrameFeatures:
        calls.append(image.shape)
        return encode(image)

    monkeypatch.setattr(segmenter._network, "encode_key", count)
    three = mask_of(_1=(0, 0, 9, 9), _2=(10, 10, 20, 20), _5=(20, 30, 39, 50))
    for t in range(4):
        segmenter.step(frame(t), three if t == 0 else None)
    assert calls == [(1, 3, 48, 64)] * 4


def test_object_chunk_changes_nothing(models: dict[str, TwoFrameNetwork]) -> None:
    masks = mask_of(_1=(0, 0, 9, 9), _2=(10, 10, 20, 20), _5=(20, 30, 39, 50))

    def run_with(name: str, chunk: int | None) -> torch.Tensor:
        segmenter = build(models[name], object_chunk=chunk)
        return torch.stack([segmenter.step(frame(t), masks if t == 0 else None) for t in range(4)])

    for name in NAMES:
        torch.testing.assert_close(run_with(name, 2), run_with(name, None), atol=1e-4, rtol=1e-3)


def test_bijective_k_matters_to_bmvos_alone(models: dict[str, TwoFrameNetwork]) -> None:
    images, _ = synthetic_clip(2, H, W, 2, seed=1)

    def run_with(name: str, k: int) -> torch.Tensor:
        segmenter = build(models[name], bijective_k=k)
        segmenter.step(torch.from_numpy(images[0]), FIRST)
        return segmenter.step(torch.from_numpy(images[1]))

    assert torch.equal(run_with("bmvos", 0), run_with("bmvos", 12))  # of 3 x 4 positions
    assert not torch.equal(run_with("bmvos", 0), run_with("bmvos", 1))
    assert torch.equal(run_with("emvos", 0), run_with("emvos", 1))


def test_bf16_is_close_to_fp32(models: dict[str, TwoFrameNetwork]) -> None:
    def run_with(name: str, precision: str) -> torch.Tensor:
        segmenter = build(models[name], precision=precision)
        return torch.stack([segmenter.step(frame(t), FIRST if t == 0 else None) for t in range(3)])

    for name in NAMES:
        half = run_with(name, "bf16")
        assert half.dtype == torch.float32
        assert (half - run_with(name, "fp32")).abs().mean() < 0.03


def test_a_video_smaller_than_its_padding(segmenter: TwoFrameSegmenter) -> None:
    mask = torch.zeros(3, 5, dtype=torch.int64)
    mask[1, 2] = 1
    first = segmenter.step(torch.randn(3, 3, 5), mask)
    np.testing.assert_array_equal(segmenter.to_id_mask(first), mask.numpy())
    assert segmenter.step(torch.randn(3, 3, 5)).shape == (2, 3, 5)


def test_the_callers_model_is_left_alone(models: dict[str, TwoFrameNetwork]) -> None:
    model = models["bmvos"].train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    build(model).step(frame(0), FIRST)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model.eval()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.step(torch.zeros(H, W)), r"image: expected float \[3,H,W\], received torch.float32 \[40, 56\]"),
        (lambda s: s.step(torch.zeros(3, H, W, dtype=torch.uint8)), "image: expected float .* received torch.uint8"),
        (lambda s: s.step(frame(0), FIRST[:-1]), r"mask: expected 40x56 .* received 39x56"),
        (lambda s: s.step(frame(0), FIRST.float()), r"mask: expected integer ids \[H,W\], received torch.float32"),
        (lambda s: s.step(frame(0), FIRST * 0), "mask: no object in it, all ids are 0; give mask=None"),
        (lambda s: s.step(frame(0), FIRST * 1000), r"ids must lie in 1..65535, received 7000..300000"),
        (lambda s: s.step(frame(0), object_ids=[1]), r"object_ids=\[1\] were given without a mask"),
        (lambda s: s.remove_objects([3]), r"no object with id \[3\]; known ids: \[\]"),
        (lambda s: s.to_id_mask(torch.zeros(3, 2, 2)), r"to_id_mask: expected \[1,H,W\] .* received \[3, 2, 2\]"),
    ],
)
def test_bad_input_is_named(
    segmenter: TwoFrameSegmenter, call: Callable[[TwoFrameSegmenter], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call(segmenter)


def test_frames_of_another_size_are_refused(segmenter: TwoFrameSegmenter) -> None:
    segmenter.step(frame(0), FIRST)
    with pytest.raises(ValueError, match=r"frame 1: expected 40x56 .* received 40x54"):
        segmenter.step(frame(1)[:, :, :-2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bijective_k": -1}, "bijective_k=-1: expected at least 0"),
        ({"matching": "surjective"}, "matching='surjective': expected softmax or bijective"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InferenceConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_from_the_command_line(name: str, tmp_path: Path, models: dict[str, TwoFrameNetwork]) -> None:
    root = write_davis(tmp_path / "davis", {"bear": 4, "camel": 3}) / "trainval"
    weights = {"format": "corrvos", "version": 1, "network": models[name].state_dict(), "step": 0, "stage": "2"}
    save_checkpoint(tmp_path / f"{name}.pth", weights)
    words = ["--dataset", "d16", "--root", root, "--checkpoint", tmp_path / f"{name}.pth", "--score"]
    words += ["--size", "-1", "--device", "cpu", "--output", tmp_path / "out"]
    program.command_line([str(word) for word in words])
    assert (tmp_path / "out" / "scores.json").is_file()
    first = read_mask(root / "Annotations/480p/bear/00000.png") > 0
    np.testing.assert_array_equal(read_mask(tmp_path / "out/bear/00000.png"), first)
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 7


@pytest.mark.parametrize("name", ["stcn", "xmem"])
def test_memory_is_read_bijectively_on_request(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "tiny").eval()

    def run_with(**settings: object) -> torch.Tensor:
        segmenter = build_segmenter(model, InferenceConfig(mem_every=1, **settings))  # type: ignore[arg-type]
        return torch.stack([segmenter.step(frame(t), FIRST if t == 0 else None) for t in range(5)])

    usual = run_with()
    assert torch.equal(usual, run_with(matching="softmax", bijective_k=1))
    assert torch.equal(usual, run_with(matching="bijective", bijective_k=0))
    bijective = run_with(matching="bijective", bijective_k=1)
    assert torch.isfinite(bijective).all() and not torch.equal(usual, bijective)
