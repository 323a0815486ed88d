"""Twenty kills of a training under torchrun, at any moment and in any way: it goes on bit for bit."""

from pathlib import Path

import pytest

from tests.support.kills import MOMENTS, WAYS, campaign


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes of a run in Linux's /proc")
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    record = campaign(tmp_path, 20)
    kills, ends = [entry for entry in record if "same" in entry], [entry for entry in record if "finished" in entry]
    assert len(kills) == 20 and {kill["moment"] for kill in kills} == set(MOMENTS)
    assert {kill["way"] for kill in kills} == set(WAYS)
    assert all(kill["same"] and kill["left"] == 0 for kill in kills), kills
    assert ends and all(end["finished"] for end in ends), ends
