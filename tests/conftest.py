"""Settings of all tests."""

import os
from pathlib import Path

import pytest
import torch

from tests.support.toy_videos import write_davis

# Tests are small: a second thread costs more than it gives, and one thread makes float sums the same everywhere. The
# variable is for programs that tests start: their own process has PyTorch already.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training videos in DAVIS's layout; a module that changes them or needs others has its own."""
    return write_davis(tmp_path_factory.mktemp("davis"), {"a": 6, "b": 5}) / "trainval"
