"""Which snapshot a run goes on from."""

from pathlib import Path

import torch

from inference.web.snapshots import Snapshots


def test_the_newest_before_a_correction(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, every=10)
    assert [f for f in range(5, 40) if snapshots.is_due("forward", 5, f)] == [15, 25, 35]
    assert [f for f in range(30, -1, -1) if snapshots.is_due("backward", 25, f)] == [15, 5]
    for frame in (15, 25, 35):
        snapshots.save("forward", frame, {"frame": frame, "x": torch.full((3,), frame)})
        snapshots.save("backward", frame, {"frame": -frame})
    found = snapshots.load("forward", 5, 34)
    assert found is not None and found[0] == 25 and found[1]["x"].tolist() == [25, 25, 25]
    assert not (tmp_path / "forward-000035.pt").exists()
    assert snapshots.load("backward", 40, 20) == (25, {"frame": -25})
    assert snapshots.load("forward", 5, 14) is None
    snapshots.clear("backward")
    assert list(tmp_path.glob("*.pt")) == []


def test_a_damaged_file_is_passed_over(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for frame in (16, 32):
        snapshots.save("forward", frame, {"frame": frame})
    (tmp_path / "forward-000032.pt").write_bytes(b"half a fi")
    assert snapshots.load("forward", 0, 40) == (16, {"frame": 16})


def test_they_are_thinned_out_within_the_budget(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, every=1, budget=100_000)
    for frame in range(64):
        if snapshots.is_due("forward", 0, frame):
            snapshots.save("forward", frame, {"x": torch.zeros(2500)})
            assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 100_000
    frames = sorted(int(file.stem[-6:]) for file in tmp_path.iterdir())
    gaps = [b - a for a, b in zip(frames, frames[1:], strict=False)]
    assert len(frames) >= 4 and max(gaps) <= 32 and frames[-1] >= 48
