"""Cost against objects, memory and resolution: the points, the slopes, and a whole small table."""

import math

import pytest

import scripts.benchmarks.scaling as scaling
from scripts.benchmarks.scaling import Config, Cost, Point, cost, main, points, slope

SMALL = Config(size="tiny", objects=(1, 2), memory=(1, 3), heights=(48, 64), long_term=50, repeats=1)


def test_each_group_varies_one_thing() -> None:
    groups = points(Config())
    usual = Point(objects=1, frames=1, long_term=0, height=480)
    assert all(group.count((x, usual)) == 1 for group in groups.values() for x, point in group if point == usual)
    assert [x for x, _ in groups["objects"]] == [1, 3, 10, 30]
    assert [(p.frames, p.long_term) for _, p in groups["memory"]] == [(1, 0), (5, 0), (10, 0), (5, 10_000)]
    assert [f"{p.width}x{p.height}" for _, p in groups["resolution"]] == ["426x240", "854x480", "1280x720"]
    assert groups["resolution"][2][0] == pytest.approx(0.9216)
    assert list(points(Config(only=("memory",), long_term=0))) == ["memory"]
    with pytest.raises(ValueError, match="--only speed: expected some of objects, memory, resolution"):
        points(Config(only=("speed",)))


def test_slopes_by_hand() -> None:
    assert slope([1, 3, 5], [2, 6, 10]) == 2
    assert slope([0, 1, 2], [0, 2, 1]) == 0.5
    assert math.isnan(slope([1], [2])) and math.isnan(slope([2, 2], [1, 3]))


@pytest.mark.parametrize("long_term", [0, 20, 130])  # 130: two consolidations of at most 75 elements each
def test_a_memory_of_any_kind_is_filled(long_term: int) -> None:
    found = cost(SMALL, Point(objects=2, frames=5, long_term=long_term, height=48))
    assert found.frame_ms > 0 and found.convolution_ms > 0 and found.peak_mb > 50


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(_: object, config: Config, point: Point) -> Cost:
        frame_ms = 100.0 * point.objects + 10 * point.frames + point.long_term
        return Cost(frame_ms=frame_ms, convolution_ms=50.0, peak_mb=700.0)

    monkeypatch.setattr(scaling, "in_own_process", measured)
    main(SMALL)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == "1 objects, 1 in memory, 86x48 110.0 50.0 2.20 700".split()
    assert lines[4] == "  each object: 100.0 ms, 2.000 convolutions"
    assert lines[8].startswith("1 objects, 5 in memory and 50 long-term elements, 86x48")
    assert lines[9] == "  each frame in memory: 10.0 ms, 0.200 convolutions"
    assert lines[-1] == "  each megapixel: 0.0 ms, 0.000 convolutions"
