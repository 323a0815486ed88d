"""Settings of all tests."""

from pathlib import Path

import pytest
import torch

from tests.support.toy_videos import write_davis


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Tests are small: a second thread costs more than it gives, and one thread makes float sums the same everywhere.
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training videos in DAVIS's layout; a module that changes them or needs others has its own."""
    return write_davis(tmp_path_factory.mktemp("davis"), {"a": 6, "b": 5}) / "trainval"
