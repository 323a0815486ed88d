"""Pasting another clip's object, and the rules of clips for networks that follow one object."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.clip import Clip, ClipRequest
from dataset.train.geometry import vertical_flip
from dataset.train.loader import ClipDataset, build_loader
from dataset.train.paste import draw_donor, paste_object
from dataset.train.pictures import find_static
from dataset.train.render import visible_objects
from dataset.train.sources import find_sources
from dataset.train.transforms import draw_transforms
from tests.support.paired_batches import compare
from tests.support.runs import video_augmentation, video_clip
from tests.support.toy_datasets import static_set
from util.config.data import DataConfig
from util.config.presets import preset
from util.config.train import CorrespondenceConfig, TrainConfig

CLIP = video_clip(frames=3, max_objects=1, gaps=(1,), gap_starts=(0.0,))
SMALL = video_augmentation(crop_size=32, crop_scale=(0.9, 1.0), crop_ratio=1.0, degrees=0.0, shear=0.0)


def run(root: Path, paste: float, min_object_pixels: int = 0) -> TrainConfig:
    data = DataConfig(dataset=(), user_roots=(root,), num_workers=0)
    return replace(
        preset("xmem"),
        data=data,
        clip=replace(CLIP, min_object_pixels=min_object_pixels),
        augment=replace(SMALL, paste=paste),
        batch_size=3,
        iterations=4,
        correspondence=CorrespondenceConfig(alpha=0.0),
    )


def clip(value: int, objects: int = 1, **boxes: tuple[int, int, int, int]) -> Clip:
    """Two frames 8x8 of one colour; `o1=(top, bottom, left, right)` is object 1."""
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    for name, (top, bottom, left, right) in boxes.items():
        labels[:, top:bottom, left:right] = int(name[1:])
    return Clip(
        images_T3HW=torch.full((2, 8, 8, 3), value, dtype=torch.uint8).permute(0, 3, 1, 2),
        labels_THW=labels,
        objects=objects,
        matrices_T33=torch.eye(3).repeat(2, 1, 1) * value,
        warped_T=torch.zeros(2, dtype=torch.bool),
        seed=value,
        name=f"clip {value}",
    )


def test_frames_and_masks_change_together_by_hand() -> None:
    own, donor = clip(10, o1=(0, 4, 0, 4)), clip(200, o1=(2, 6, 2, 6))
    donor.labels_THW[1] = 0
    donor.labels_THW[1, 7, 7] = 1
    pasted = paste_object(own, donor)
    images, labels = pasted.images_T3HW, pasted.labels_THW
    assert (images[0, :, 2:6, 2:6] == 200).all() and (images[0] == 200).sum() == 3 * 16
    assert labels[0].sum() == 16 - 4 and (labels[0, 2:4, 2:4] == 0).all()
    assert (images[1, :, 7, 7] == 200).all() and (images[1] == 200).sum() == 3 and labels[1].sum() == 16
    assert (pasted.objects, pasted.seed, pasted.name) == (1, 10, "clip 10 with an object of clip 200")
    assert torch.equal(pasted.matrices_T33, own.matrices_T33)
    assert (own.images_T3HW == 10).all() and own.labels_THW.sum() == 2 * 16, "the clip itself stays"
    assert images.stride() == own.images_T3HW.stride(), "pictures stay [H,W,3] in memory"


@pytest.mark.parametrize(("smallest", "kept"), [(0, 12), (12, 12), (13, 16)])
def test_an_object_is_never_covered_beyond_its_minimum(smallest: int, kept: int) -> None:
    pasted = paste_object(clip(10, o1=(0, 4, 0, 4)), clip(200, o1=(2, 6, 2, 6)), smallest=smallest)
    assert pasted.labels_THW[0].sum() == kept and (pasted.name == "clip 10") == (kept == 16)
    hidden = paste_object(clip(10, 2, o1=(0, 4, 0, 4), o2=(5, 6, 5, 6)), clip(200, o1=(5, 6, 5, 6)))
    assert hidden.name == "clip 10" and hidden.labels_THW.max() == 2


def test_the_draw_depends_on_the_clips_seed_alone() -> None:
    requests = [ClipRequest(source=1, video=4, max_gap=3, seed=seed, plain=True) for seed in range(2000)]
    own = range(4, 5)
    donors = [draw_donor(request, 7, own, 0.2) for request in requests]
    assert donors == [draw_donor(request, 7, own, 0.2) for request in requests]
    drawn = [donor.request for donor in donors if donor is not None]
    assert 0.4 < np.mean([donor.behind for donor in donors if donor is not None]) < 0.6
    assert len(drawn) == pytest.approx(400, abs=4 * 18)  # a standard deviation is 17.9
    assert {donor.video for donor in drawn} == {0, 1, 2, 3, 5, 6}, "never the clip's own video"
    assert {(donor.source, donor.max_gap, donor.plain) for donor in drawn} == {(1, 3, True)}
    assert len({donor.seed for donor in drawn} | {request.seed for request in requests}) == len(drawn) + 2000
    assert all(draw_donor(request, 7, own, 1.0) for request in requests)
    alone = range(1)
    assert not any(draw_donor(request, 7, own, 0.0) or draw_donor(request, 1, alone, 1.0) for request in requests)


def test_no_object_comes_from_the_same_video_where_its_frames_count() -> None:
    requests = [ClipRequest(source=0, video=2, max_gap=3, seed=seed) for seed in range(200)]
    donors = [draw_donor(request, 9, range(2, 5), 1.0) for request in requests]
    assert {donor.request.video for donor in donors if donor is not None} == {0, 1, 5, 6, 7, 8}
    assert draw_donor(requests[0], 3, range(3), 1.0) is None


def test_without_pasting_the_stream_is_what_it_was(root: Path) -> None:
    config = run(root, 0.0)
    sources = find_sources(config.data, 3, "2")
    for seed in range(4):
        request = ClipRequest(source=0, video=seed % 3, max_gap=1, seed=seed)
        ours = ClipDataset(sources, config)[request]
        direct = sources[0].load(request, config.clip, config.augment)
        assert torch.equal(ours.images_T3HW, direct.images_T3HW) and ours.name == direct.name


@pytest.mark.parametrize("paste", [0.5, 1.0])
def test_pasted_clips_are_the_same_with_workers_and_after_a_resume(root: Path, paste: float) -> None:
    cpu, config = torch.device("cpu"), run(root, paste)
    shared = replace(config, data=replace(config.data, num_workers=1))
    whole = list(build_loader(config, cpu))
    pasted = sum(name.count("with an object of") for batch in whole for name in batch.names)
    assert pasted > 0 and (pasted < 12 or paste == 1)
    for others, from_step in ((build_loader(shared, cpu), 0), (build_loader(config, cpu, first_step=2), 2)):
        for a, b in zip(whole[from_step:], others, strict=True):
            assert a.names == b.names and torch.equal(a.images_BT3HW, b.images_BT3HW)
            assert torch.equal(a.labels_BTHW, b.labels_BTHW)


def test_a_clip_under_a_paste_is_otherwise_the_same(root: Path) -> None:
    sources = find_sources(run(root, 0.0).data, 3, "2")
    request = ClipRequest(source=0, video=1, max_gap=1, seed=3)
    plain, pasted = (ClipDataset(sources, run(root, paste))[request] for paste in (0.0, 1.0))
    changed = (plain.images_T3HW != pasted.images_T3HW).any(dim=1)
    assert pasted.name.startswith(plain.name + " with") and 0 < changed.float().mean() < 0.7
    assert (pasted.labels_THW[changed] == 0).all()
    kept = (pasted.labels_THW == plain.labels_THW) | (pasted.labels_THW == 0)
    assert kept.all() and pasted.labels_THW[0].any()


def test_static_pictures_are_pasted_too(tmp_path: Path) -> None:
    static_set(tmp_path)
    config = replace(run(tmp_path, 1.0), stage="0", data=DataConfig(dataset=("static",), static_root=tmp_path))
    loaded = ClipDataset(find_static(tmp_path), config)[ClipRequest(source=0, video=0, max_gap=1, seed=1)]
    assert "with an object of" in loaded.name and loaded.images_T3HW.shape == (3, 3, 32, 32)


def test_small_objects_do_not_count(root: Path, tmp_path: Path) -> None:
    ids = np.zeros((64, 64), np.uint8)
    ids[:2, :2], ids[10:20, 10:20], ids[63, 63] = 1, 2, 3
    assert visible_objects(ids) == [1, 2], "the rule of the other networks: 1/2048 of the crop, here 2 pixels"
    assert visible_objects(ids, 4) == [1, 2] and visible_objects(ids, 5) == [2] and visible_objects(ids, 101) == []
    # The toy's squares are 16x16 of 48x64; crops of 32x32 show most of the picture's height.
    for smallest, fits in ((40, True), (400, False)):
        sources = find_sources(run(root, 0.0).data, 3, "2")
        dataset = ClipDataset(sources, run(root, 0.0, min_object_pixels=smallest))
        request = ClipRequest(source=0, video=0, max_gap=1, seed=0)
        if fits:
            assert dataset[request].labels_THW[0].count_nonzero() >= smallest
        else:
            with pytest.raises(ValueError, match="no video has a frame with an object"):
                dataset[request]
    pictures = find_static(static_set(tmp_path))
    with pytest.raises(ValueError, match="no picture has an object"):
        pictures[0].load(ClipRequest(source=0, video=0, max_gap=1, seed=0), replace(CLIP, min_object_pixels=999), SMALL)


def test_a_vertical_flip_mirrors_rows() -> None:
    np.testing.assert_array_equal(vertical_flip(8) @ [3, 0, 1], [3, 7, 1])
    still = replace(SMALL, flip=0.0, crop_scale=(1.0, 1.0))
    for chance, sign in ((0.0, 1), (1.0, -1)):
        rng = np.random.default_rng(0)
        (transform,) = draw_transforms(rng, replace(still, vertical_flip=chance), (32, 32), 1, static=False)
        assert transform.matrix[1, 1] == pytest.approx(sign) and transform.matrix[0, 0] == pytest.approx(1)
    rng = np.random.default_rng(0)
    turned = [
        draw_transforms(rng, replace(still, vertical_flip=0.5), (32, 32), 1, static=True)[0].matrix[1, 1] < 0
        for _ in range(200)
    ]
    assert 70 < sum(turned) < 130  # 100 expected, standard deviation 7


def test_consecutive_frames_either_way(root: Path) -> None:
    dataset = ClipDataset(find_sources(run(root, 0.0).data, 3, "2"), run(root, 0.0))
    steps = set()
    for seed in range(20):
        name = dataset[ClipRequest(source=0, video=2, max_gap=1, seed=seed)].name
        frames = [int(word) for word in name.split("frames ")[1].split(", ")]
        steps |= {b - a for a, b in zip(frames, frames[1:], strict=False)}
    assert steps == {1, -1}


def test_with_room_the_pasted_object_is_one_more_before_or_behind() -> None:
    own, donor = clip(10, o1=(0, 4, 0, 4)), clip(200, o1=(2, 6, 2, 6))
    before, behind = (paste_object(own, donor, behind=place, most=2) for place in (False, True))
    assert before.objects == behind.objects == 2
    for pasted, kept, got in ((before, 12, 16), (behind, 16, 12)):
        assert [(pasted.labels_THW[t] == n).sum() for t in (0, 1) for n in (1, 2)] == [kept, got] * 2
        assert torch.equal(pasted.images_T3HW[:, 0] == 200, pasted.labels_THW == 2)
    assert (behind.labels_THW[:, 2:4, 2:4] == 1).all() and (before.labels_THW[:, 2:4, 2:4] == 2).all()
    # Without room it is a distractor, and before.
    for place in (False, True):
        full = paste_object(own, donor, behind=place, most=1)
        assert full.objects == 1 and (full.labels_THW[:, 2:4, 2:4] == 0).all()
    # Where one of them could hardly be seen in the first frame, nothing is pasted.
    hidden = clip(200, o1=(1, 3, 1, 3))
    assert paste_object(own, hidden, behind=True, most=2) is own
    assert paste_object(clip(10, o1=(1, 3, 1, 3)), clip(200, o1=(0, 4, 0, 4)), most=2).objects == 1


def paired_clip() -> Clip:
    """Three frames of which 0 and 1 correspond and 2 is the anchor; its view is the mirrored frame 0."""
    own = clip(10, o1=(0, 4, 0, 4))
    mirror = torch.tensor([[-1.0, 0, 7], [0, 1, 0], [0, 0, 1]])[None, None]
    boxes, ids = torch.tensor([[[0.0, 0, 4, 4], [1, 1, 7, 7]]] * 2)[None], torch.tensor([[[1, 0], [1, 0]]])
    return replace(
        own,
        images_T3HW=own.images_T3HW[[0, 0, 0]],
        labels_THW=own.labels_THW[[0, 0, 0]],
        matrices_T33=torch.eye(3).repeat(3, 1, 1),
        warped_T=torch.zeros(3, dtype=torch.bool),
        views_V3HW=own.images_T3HW[:1].clone(),
        compared=replace(compare([0], [2], boxes, ids), view_matrices_BV33=mirror),
    )


def moving_donor() -> Clip:
    donor = clip(200)
    labels = torch.zeros(3, 8, 8, dtype=torch.uint8)
    for t in range(3):
        labels[t, 5:7, t : t + 2] = 1
    return replace(donor, images_T3HW=donor.images_T3HW[[0, 0, 0]], labels_THW=labels)


def test_views_and_boxes_follow_what_is_pasted() -> None:
    own = paired_clip()
    pasted = paste_object(own, moving_donor(), most=2)
    assert pasted.compared is not None and pasted.views_V3HW is not None and pasted.objects == 2
    # The pair's frames show the pasted object at the same place, the anchor frame where it is then.
    assert [int((pasted.labels_THW[t] == 2).nonzero()[:, 1].min()) for t in range(3)] == [0, 0, 2]
    assert (pasted.views_V3HW[0, :, 5:7, 6:8] == 200).all() and (pasted.views_V3HW == 200).sum() == 3 * 4
    compared = pasted.compared
    assert compared.box_ids_B2N.tolist() == [[[1, 2, 0], [1, 2, 0]]]
    assert compared.boxes_B2N4[0, :, 1].tolist() == [[0, 5, 2, 7], [2, 5, 4, 7]]
    assert compared.boxes_B2N4[0, :, 2].tolist() == [[1, 1, 7, 7]] * 2, "proposals stay"
    alone = paste_object(own, moving_donor(), most=2, annotated=False)
    assert alone.compared is own.compared, "proposals alone are compared"


def test_any_network_trains_on_pasted_clips(root: Path) -> None:
    config = replace(
        run(root, 1.0), clip=replace(CLIP, max_objects=2), correspondence=CorrespondenceConfig(ocl_objects="manual")
    )
    batch = next(iter(build_loader(config, torch.device("cpu"))))
    assert batch.compared is not None and batch.valid_BO.shape[1] == 2
    assert all(
        "with an object of" in name for name, ok in zip(batch.names, batch.valid_BO[:, 1].tolist(), strict=True) if ok
    )
    assert set(batch.compared.box_ids_B2N.flatten().tolist()) >= {1, 2}
    for labels, compared_ids in zip(batch.labels_BTHW, batch.compared.box_ids_B2N, strict=True):
        frame = labels[int(batch.compared.pair_B[0])]
        assert set(compared_ids[0].tolist()) - {-1} <= set(frame.unique().tolist())


@pytest.mark.parametrize("model", ["stcn", "xmem", "stcn-corr"])
def test_published_presets_paste_nothing(model: str) -> None:
    assert all(preset(model, "base", stage).augment.paste == 0 for stage in "0123")
