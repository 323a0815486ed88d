"""What torchrun's variables say, and what holds without them."""

import pytest

from util.parallel.environment import is_main, local_rank, rank, world_size

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")


def test_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert (rank(), local_rank(), world_size(), is_main()) == (0, 0, 1, True)


def test_on_the_second_of_two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("4", "0", "8"), strict=True):
        monkeypatch.setenv(name, value)
    # The first process of its machine is not the first of all.
    assert (rank(), local_rank(), world_size(), is_main()) == (4, 0, 8, False)


def test_a_change_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("1", "0"):
        monkeypatch.setenv("RANK", value)
        assert is_main() == (value == "0")
