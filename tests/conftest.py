"""Settings of all tests."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Tests are small: a second thread costs more than it gives, and one thread makes float sums the same everywhere.
    torch.set_num_threads(1)
