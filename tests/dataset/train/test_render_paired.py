"""Clips with what the correspondence losses need, from the files to the batch."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.clip import Clip, ClipBatch, ClipRequest, collate
from dataset.disk.layout import proposals_folder
from dataset.disk.proposals import (
    STATIC_NAME,
    ProposalHeader,
    Proposals,
    ProposalSettings,
    write_proposals,
)
from dataset.train.loader import build_loader
from dataset.train.pairs import crop_proposals
from dataset.train.pictures import find_static
from dataset.train.sources import find_sources
from dataset.train.videos import find_videos
from tests.support.paired_batches import compare
from tests.support.runs import video_augmentation, video_clip
from tests.support.toy_videos import HEIGHT, WIDTH, draw, write_video
from util.comparison import Comparison
from util.config.data import DataConfig
from util.config.presets import preset
from util.config.train import CorrespondenceConfig, TrainConfig
from util.files.palette import write_mask

CLIP, SMALL = video_clip(frames=3, max_objects=2), video_augmentation(crop_size=32, crop_scale=(0.6, 1.0))
MANUAL = CorrespondenceConfig(ocl_objects="manual")
AUTO = CorrespondenceConfig(ocl_objects="auto")
BOTH = CorrespondenceConfig()
RELEASED = CorrespondenceConfig(pcl_variant="released", ocl=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set of two videos."""
    for name, length in (("a", 7), ("b", 16)):
        write_video(tmp_path / "JPEGImages" / name, tmp_path / "Annotations" / name, length, given=tuple(range(length)))
    return tmp_path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a set of two static pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        rgb, mask = draw(6 * number, (1,))
        Image.fromarray(rgb).save(folder / f"{number}.jpg")
        Image.fromarray(mask.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def request(video: int = 1, seed: int = 0, frames: tuple[int, ...] | None = None, max_gap: int = 5) -> ClipRequest:
    return ClipRequest(source=0, video=video, max_gap=max_gap, seed=seed, frames=frames)


def boxes_of(frame: int) -> np.ndarray:
    return np.array([(frame, 0, frame + 40, 30), (20, 10, 50, 40), (0, 0, 10, 10)], np.uint16)


def propose(folder: Path, video: str, names: list[str]) -> None:
    header = ProposalHeader(settings=ProposalSettings(), frames=tuple(names))
    boxes = tuple(boxes_of(frame) for frame in range(len(names)))
    write_proposals(folder, video, Proposals(header=header, boxes=boxes, sizes=((HEIGHT, WIDTH),) * len(names)))


def propose_all(root: Path) -> None:
    for name, length in (("a", 7), ("b", 16)):
        propose(proposals_folder(root / "JPEGImages"), name, [f"{i:05d}" for i in range(length)])


def frame_numbers(clip: Clip) -> list[int]:
    return [int(name) for name in clip.name.split("frames ")[1].split(", ")]


class Pair(NamedTuple):
    """What is compared in one clip: two frames, their boxes without padding, and the boxes' objects."""

    pair: int
    anchor: int
    boxes: list[torch.Tensor]
    box_ids: list[torch.Tensor]


def pair_of(clip: Clip) -> Pair:
    compared = clip.compared
    assert compared is not None and compared.seeds == (clip.seed,)
    ids = list(compared.box_ids_B2N[0])
    boxes = [frame[own >= 0] for frame, own in zip(compared.boxes_B2N4[0], ids, strict=True)]
    return Pair(compared.pair_B.item(), compared.anchor_B.item(), boxes, [own[own >= 0] for own in ids])  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [3, 8])
def test_two_successive_frames_share_their_geometry(root: Path, frames: int) -> None:
    source = find_videos("toy", root, frames=frames)
    orders = set()
    for seed in range(30):
        clip = source.load(request(0, seed), replace(CLIP, frames=frames), replace(SMALL, spline=0.5), MANUAL)
        numbers, pair = frame_numbers(clip), pair_of(clip).pair
        assert len(numbers) == frames and abs(numbers[pair + 1] - numbers[pair]) == 1
        orders.add(numbers[0] < numbers[-1])
        assert np.abs(np.diff(numbers)).max() <= 5 and pair_of(clip).anchor not in (pair, pair + 1)
        first, second = clip.matrices_T33[pair], clip.matrices_T33[pair + 1]
        assert torch.equal(first, second) and clip.warped_T[pair] == clip.warped_T[pair + 1]
        others = [m for t, m in enumerate(clip.matrices_T33) if t not in (pair, pair + 1)]
        assert not any(torch.equal(first, other) for other in others)
    assert orders == {True, False}


def test_the_crops_of_a_still_pair_agree_pixel_by_pixel(pictures: Path) -> None:
    """A static picture's pair differs in colour alone: a little, and not at all without jitter."""
    (source,) = find_static(pictures)
    still = replace(SMALL, spline=0.5, frame_jitter=(0.0, 0.0, 0.0, 0.0))
    jittered = replace(still, frame_jitter=(0.1, 0.1, 0.1, 0.0))
    pairs, splines = set(), set()
    for seed in range(12):
        for augmentation in (still, jittered):
            clip = source.load(request(seed % 2, seed), CLIP, augmentation, MANUAL)
            pair = pair_of(clip).pair
            first, second = clip.images_T3HW[pair], clip.images_T3HW[pair + 1]
            assert torch.equal(clip.labels_THW[pair], clip.labels_THW[pair + 1])
            assert torch.equal(first, second) == (augmentation is still)
            assert not torch.equal(clip.images_T3HW[pair_of(clip).anchor], first)
            pairs.add(pair)
            splines.add(bool(clip.warped_T[pair]))
    assert pairs == {0, 1} and splines == {True, False}


def test_the_gap_of_a_source_annotated_on_every_fifth_frame(root: Path) -> None:
    source = find_videos("toy", root, frames=3, interval=5)
    for max_gap, largest in ((5, 1), (25, 5)):
        gaps: set[int] = set()
        for seed in range(40):
            numbers = frame_numbers(source.load(request(1, seed, max_gap=max_gap), CLIP, SMALL, MANUAL))
            gaps |= {abs(a - b) for a, b in zip(numbers, numbers[1:], strict=False)}
        assert gaps == set(range(1, largest + 1))


def test_given_frames_must_hold_a_pair(root: Path) -> None:
    source = find_videos("toy", root, frames=3)
    pair = pair_of(source.load(request(frames=(9, 6, 5)), CLIP, SMALL, MANUAL))
    assert (pair.pair, pair.anchor) == (1, 0)
    with pytest.raises(ValueError, match=r"frames \(1, 3, 5\): expected two successive ones"):
        source.load(request(frames=(1, 3, 5)), CLIP, SMALL, MANUAL)


def test_the_view_shows_the_frame(root: Path) -> None:
    """Through both matrices, a view's middle has the colour of the crop's point that it shows."""
    source = find_videos("toy", root, frames=3)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ramp = np.stack([4 * x, 5 * y, 2 * (x + y)], axis=-1).astype(np.uint8)
    for file in (root / "JPEGImages" / "b").iterdir():
        Image.fromarray(ramp).save(file)
    calm = (0.0, 0.0, 0.0, 0.0)
    augmentation = replace(SMALL, crop_size=64, degrees=5.0, shear=0.0, clip_jitter=calm, frame_jitter=calm, grey=0.0)
    for seed in range(20):
        clip = source.load(request(1, seed), CLIP, augmentation, MANUAL)
        paired = pair_of(clip)
        assert clip.views_V3HW is not None and clip.compared is not None
        assert clip.views_V3HW.shape == (1, 3, 64, 64) and clip.views_V3HW.dtype == torch.uint8
        to_view = clip.compared.view_matrices_BV33
        assert to_view.shape == (1, 1, 3, 3) and to_view.dtype == torch.float32
        matrix = torch.linalg.inv(to_view[0, 0])
        column, row, _ = (matrix @ torch.tensor([32.0, 32.0, 1.0])).tolist()
        shown = clip.images_T3HW[paired.pair, :, round(row), round(column)].int()
        assert (clip.views_V3HW[0, :, 32, 32].int() - shown).abs().max() <= 10


def test_boxes_are_those_of_the_objects_in_both_frames(root: Path) -> None:
    source = find_videos("toy", root, frames=3)
    for seed in range(10):
        clip = source.load(request(1, seed), CLIP, SMALL, MANUAL)
        paired = pair_of(clip)
        for t, boxes, ids in zip((paired.pair, paired.anchor), paired.boxes, paired.box_ids, strict=True):
            assert ids.tolist() == [i for i in range(1, clip.objects + 1) if (clip.labels_THW[t] == i).any()]
            for (left, top, right, bottom), number in zip(boxes.int().tolist(), ids, strict=True):
                mask = clip.labels_THW[t] == number
                inside = mask[top:bottom, left:right]
                assert inside.sum() == mask.sum()
                assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_objects_that_are_gone_have_no_box(root: Path) -> None:
    for number in range(1, 16):
        write_mask(root / f"Annotations/b/{number:05d}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    clip = find_videos("toy", root, frames=3).load(request(frames=(0, 3, 4)), CLIP, SMALL, MANUAL)
    paired = pair_of(clip)
    assert paired.pair == 1 and [tuple(boxes.shape) for boxes in paired.boxes][0] == (0, 4)
    assert len(paired.boxes[1]) == clip.objects > 0
    batch = collate([replace(clip, compared=compare([1], [0]))]).compared
    assert batch is not None and batch.boxes_B2N4.shape == (1, 2, 0, 4) and batch.box_ids_B2N.shape == (1, 2, 0)


@pytest.mark.parametrize("wanted", [AUTO, BOTH])
def test_proposals_follow_their_frame(root: Path, wanted: CorrespondenceConfig) -> None:
    propose_all(root)
    source, proposed = find_videos("toy", root, frames=3), 0
    for seed in range(10):
        clip = source.load(request(1, seed), CLIP, SMALL, wanted)
        paired = pair_of(clip)
        for t, boxes, ids in zip((paired.pair, paired.anchor), paired.boxes, paired.box_ids, strict=True):
            given = boxes_of(frame_numbers(clip)[t]).astype(np.float32)
            expected = crop_proposals(given, clip.matrices_T33[t].double().numpy(), 32)
            np.testing.assert_allclose(boxes[ids == 0], expected, atol=1e-3)
            assert boxes.dtype == torch.float32 and ids.dtype == torch.int64
            assert bool((ids > 0).any()) == (wanted is BOTH)
            assert bool((boxes >= 0).all()) and bool((boxes <= 32).all())
            proposed += len(expected)
    assert proposed > 5


def test_proposals_of_static_pictures(pictures: Path) -> None:
    propose(pictures, STATIC_NAME, ["0.jpg", "1.jpg"])
    (source,) = find_static(pictures)
    source.check_proposals()
    clip = source.load(request(1), CLIP, SMALL, AUTO)
    paired = pair_of(clip)
    for t, boxes in zip((paired.pair, paired.anchor), paired.boxes, strict=True):
        expected = crop_proposals(boxes_of(1), clip.matrices_T33[t].double().numpy(), 32)
        np.testing.assert_allclose(boxes, expected, atol=1e-3)


@pytest.mark.parametrize(
    "wanted",
    [MANUAL, replace(BOTH, ocl=False), replace(BOTH, beta=0.0), replace(BOTH, alpha=0.0)],
    ids=["manual", "no_ocl", "no beta", "no alpha"],
)
def test_proposals_that_nothing_wants_are_not_read(root: Path, wanted: CorrespondenceConfig) -> None:
    (source,) = find_sources(DataConfig(dataset=(), user_roots=(root,)), 3, "2", wanted)
    paired = pair_of(source.load(request(), CLIP, SMALL, wanted))
    assert bool(len(paired.boxes[0])) == (wanted is MANUAL)


def test_missing_proposals_stop_with_the_command(root: Path, pictures: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        find_sources(DataConfig(dataset=(), user_roots=(root,)), 3, "2", BOTH)
    message = str(error.value)
    assert message.startswith("no object proposals: 2 of 2 videos, such as ") and "\n" not in message
    assert message.endswith(f"Find them with: python scripts/extract_proposals.py {root}")
    propose_all(root)
    find_sources(DataConfig(dataset=(), user_roots=(root,)), 3, "2", BOTH)
    with pytest.raises(FileNotFoundError, match=f"python scripts/extract_proposals.py {pictures}"):
        find_sources(DataConfig(dataset=("static",), static_root=pictures), 3, "0", BOTH)


def test_proposals_of_other_frames_are_refused_at_the_start(root: Path) -> None:
    propose_all(root)
    propose(proposals_folder(root / "JPEGImages"), "a", ["00000", "00001"])
    with pytest.raises(ValueError, match="a.npz are for other frames: 5 of 7 are not among its 2, such as 00002"):
        find_sources(DataConfig(dataset=(), user_roots=(root,)), 3, "2", BOTH)


def test_proposals_of_pictures_of_another_size_are_refused(root: Path) -> None:
    propose_all(root)
    for file in (root / "Annotations" / "b").iterdir():
        write_mask(file, np.ones((HEIGHT + 2, WIDTH), np.uint8))
    with pytest.raises(ValueError, match=f"b.npz are for pictures of another size: .* had {HEIGHT}x{WIDTH}"):
        find_videos("toy", root, frames=3).load(request(), CLIP, SMALL, BOTH)


def test_videos_of_two_frames_are_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_video(root / "JPEGImages/short", root / "Annotations/short", 2, given=(0, 1))
    with caplog.at_level(logging.WARNING):
        (source,) = find_sources(DataConfig(dataset=(), user_roots=(root,)), 3, "2", MANUAL)
    assert len(source) == 2 and "1 videos with less than 3 frames are left out" in caplog.text


def test_the_released_variant_draws_the_frames_as_without_losses(root: Path) -> None:
    source = find_videos("toy", root, frames=3)
    for seed in range(10):
        alone, clip = (source.load(request(1, seed), CLIP, SMALL, wanted) for wanted in (None, RELEASED))
        assert alone.name == clip.name and alone.compared is None and alone.views_V3HW is None
        assert torch.equal(alone.images_T3HW, clip.images_T3HW) and torch.equal(alone.labels_THW, clip.labels_THW)
        paired = pair_of(clip)
        assert clip.views_V3HW is not None and clip.views_V3HW.shape == (3, 3, 32, 32)
        assert (paired.pair, paired.anchor) == (0, 2)
        assert not len(paired.boxes[0]) and not len(paired.boxes[1])


def test_without_the_pixel_loss_no_view_is_made(root: Path) -> None:
    clip = find_videos("toy", root, frames=3).load(request(), CLIP, SMALL, replace(MANUAL, pcl=False))
    assert clip.views_V3HW is None and clip.compared is not None
    assert clip.compared.view_matrices_BV33.shape == (1, 0, 3, 3)
    batch = collate([clip, clip])
    assert batch.compared is not None and len(batch.compared.seeds) == 2 and batch.network_views() is None


def make_clip(boxes: int, view: int) -> Clip:
    clip_boxes, ids = torch.arange(4.0 * boxes).reshape(boxes, 4), torch.arange(boxes)
    first, first_id = torch.zeros(boxes, 4), torch.where(ids == 0, 0, -1)
    return Clip(
        images_T3HW=torch.zeros(3, 3, 4, 4, dtype=torch.uint8),
        labels_THW=torch.zeros(3, 4, 4, dtype=torch.uint8),
        objects=1,
        matrices_T33=torch.eye(3).expand(3, 3, 3),
        warped_T=torch.zeros(3, dtype=torch.bool),
        seed=boxes,
        name="a",
        views_V3HW=torch.full((1, 3, 2, 2), view, dtype=torch.uint8),
        compared=replace(
            compare([1], [0], torch.stack([clip_boxes, first])[None], torch.stack([ids, first_id])[None], [boxes]),
            view_matrices_BV33=torch.eye(3)[None, None] * view,
        ),
    )


def test_collate_pads_boxes() -> None:
    batch = collate([make_clip(1, 0), make_clip(3, 255)])
    paired = batch.compared
    assert paired is not None and paired.pair_B.tolist() == [1, 1] and paired.anchor_B.tolist() == [0, 0]
    assert paired.box_ids_B2N.tolist() == [[[0, -1, -1], [0, -1, -1]], [[0, 1, 2], [0, -1, -1]]]
    assert paired.boxes_B2N4.shape == (2, 2, 3, 4) and paired.boxes_B2N4[1, 0, 2].tolist() == [8, 9, 10, 11]
    assert not paired.boxes_B2N4[0, :, 1:].any() and not paired.boxes_B2N4[1, 1, 1:].any()
    assert paired.view_matrices_BV33[:, 0, 0, 0].tolist() == [0, 255]
    views = batch.network_views()
    assert views is not None and views.shape == (2, 1, 3, 2, 2)
    torch.testing.assert_close(views[1, 0, :, 0, 0], torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]))
    assert paired.seeds == batch.seeds == (1, 3)
    assert collate([replace(make_clip(1, 0), compared=None)]).compared is None


def test_a_batch_moves_with_what_is_paired() -> None:
    moved = collate([make_clip(1, 0)]).to(torch.device("meta"))
    assert moved.compared is not None and moved.compared.seeds == (1,)
    assert all(x.is_meta for x in [*tensors(moved), moved.labels_BTHW])


def run_config(root: Path, workers: int, wanted: CorrespondenceConfig) -> TrainConfig:
    data = DataConfig(dataset=(), user_roots=(root,), num_workers=workers)
    return replace(
        preset("xmem"), data=data, clip=CLIP, augment=SMALL, correspondence=wanted, batch_size=3, iterations=3
    )


def tensors(batch: ClipBatch) -> list[torch.Tensor]:
    assert batch.compared is not None and batch.views_BV3HW is not None
    found = [x for x in vars(batch.compared).values() if isinstance(x, torch.Tensor)]
    assert len(found) == len(Comparison.__dataclass_fields__) - 1, "all but the seeds"
    return [batch.images_BT3HW, batch.views_BV3HW, *found]


def test_the_stream_is_the_same_from_workers_and_after_a_resume(root: Path) -> None:
    propose_all(root)
    cpu = torch.device("cpu")
    alone = list(build_loader(run_config(root, 0, BOTH), cpu))
    shared = list(build_loader(run_config(root, 2, BOTH), cpu))
    resumed = list(build_loader(run_config(root, 0, BOTH), cpu, first_step=1))
    for one, other in zip([*alone, *alone[1:]], [*shared, *resumed], strict=True):
        assert one.names == other.names
        assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def test_a_weight_of_zero_draws_as_if_there_were_no_losses(root: Path) -> None:
    (source,) = find_sources(DataConfig(dataset=(), user_roots=(root,)), 3, "2")
    batch = next(iter(build_loader(run_config(root, 0, replace(BOTH, alpha=0.0)), torch.device("cpu"))))
    assert batch.compared is None and batch.network_views() is None
    seed = batch.seeds[0]
    video = 0 if batch.names[0].split()[0].endswith("/a") else 1
    assert torch.equal(batch.images_BT3HW[0], source.load(request(video, seed), CLIP, SMALL).images_T3HW)
