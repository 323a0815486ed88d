from itertools import permutations

import numpy as np
import pytest

from inference.scoring.hota import Counts, FrameOverlap, count


def frame(true: tuple[int, ...], predicted: tuple[int, ...], *iou: tuple[float, ...]) -> FrameOverlap:
    return FrameOverlap(true, predicted, np.array(iou, float).reshape(len(true), len(predicted)))


def by_definition(frames: list[FrameOverlap]) -> dict[str, float]:
    """HOTA in plain loops: the best assignment of all, tried one by one, then each overlap by itself."""
    true = sorted({t for f in frames for t in f.true})
    guesses = sorted({p for f in frames for p in f.predicted})
    possible = dict.fromkeys([(t, p) for t in true for p in guesses], 0.0)
    for f in frames:
        for i, t in enumerate(f.true):
            for k, p in enumerate(f.predicted):
                total = sum(f.iou[i]) + sum(row[k] for row in f.iou) - f.iou[i][k]
                possible[t, p] += f.iou[i][k] / total if total > 0 else 0
    length = {t: sum(t in f.true for f in frames) for t in true}
    guessed = {p: sum(p in f.predicted for f in frames) for p in guesses}
    agree = {(t, p): possible[t, p] / (length[t] + guessed[p] - possible[t, p]) for t, p in possible}
    pairs: list[tuple[int, int, float]] = []
    for f in frames:
        few, many = (f.true, f.predicted) if len(f.true) <= len(f.predicted) else (f.predicted, f.true)
        best: list[tuple[int, int, float]] = []
        top = -1.0
        for chosen in permutations(many, len(few)):
            found = []
            for a, b in zip(few, chosen, strict=True):
                t, p = (a, b) if few is f.true else (b, a)
                found.append((t, p, f.iou[f.true.index(t)][f.predicted.index(p)]))
            value = sum(agree[t, p] * iou for t, p, iou in found)
            if value > top:
                top, best = value, found
        pairs += best
    values = []
    for step in range(1, 20):
        alpha = 0.05 * step
        matched = [(t, p) for t, p, iou in pairs if iou >= alpha - 1e-12]
        detection = len(matched) / (sum(length.values()) + sum(guessed.values()) - len(matched))
        association = 0.0
        for t, p in matched:
            together = matched.count((t, p))
            association += together / (length[t] + guessed[p] - together)
        association /= max(1, len(matched))
        values.append(((detection * association) ** 0.5, detection, association))
    return dict(zip(("HOTA", "DetA", "AssA"), np.mean(values, axis=0), strict=True))


def test_perfect_tracks_whatever_their_ids() -> None:
    frames = [frame((1, 2), (7, 9), (0, 1), (1, 0))] * 3
    assert count(frames).figures() == {"HOTA": 1, "DetA": 1, "AssA": 1}


def test_a_total_miss() -> None:
    assert count([frame((1,), ())] * 3).figures() == {"HOTA": 0, "DetA": 0, "AssA": 0}
    assert count([frame((1,), (1,), (0,))] * 3).figures() == {"HOTA": 0, "DetA": 0, "AssA": 0}


def test_an_overlap_counts_up_to_its_alpha() -> None:
    # 0.5 counts for 0.05 ... 0.5: 10 of 19, in each of which the one pair is matched in both frames.
    figures = count([frame((1,), (1,), (0.5,))] * 2).figures()
    assert figures == pytest.approx({"HOTA": 10 / 19, "DetA": 10 / 19, "AssA": 10 / 19})


def test_a_track_that_changes_its_id() -> None:
    # Four frames of one object, two ids of two frames each: detection is perfect; each match's tracks share 2 of
    # 4 + 2 - 2 frames.
    frames = [frame((1,), (5,), (1,))] * 2 + [frame((1,), (6,), (1,))] * 2
    assert count(frames).figures() == pytest.approx({"HOTA": 0.5**0.5, "DetA": 1, "AssA": 0.5})


def test_surplus_and_late_tracks() -> None:
    # 2 is there in the last frame only, and missed; 8 is predicted twice and nowhere true.
    frames = [frame((1,), (1, 8), (1, 0))] * 2 + [frame((1, 2), (1,), (1,), (0,))]
    counts = count(frames)
    assert (counts.matched[0], counts.missed[0], counts.surplus[0]) == (3, 1, 2)
    assert counts.figures() == pytest.approx({"HOTA": 0.5**0.5, "DetA": 3 / 6, "AssA": 1})


def test_sequences_add_up() -> None:
    good, bad = count([frame((1,), (1,), (1,))] * 3), count([frame((1,), ())])
    joined: Counts = good + bad
    assert joined.figures() == pytest.approx({"HOTA": 0.75**0.5, "DetA": 0.75, "AssA": 1})


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(6):
        true = tuple(t for t in (1, 2, 3) if generator.random() > 0.3)
        predicted = tuple(p for p in (1, 2, 4, 5) if generator.random() > 0.3)
        frames.append(FrameOverlap(true, predicted, generator.random((len(true), len(predicted)))))
    assert count(frames).figures() == pytest.approx(by_definition(frames), abs=1e-12)
