import sys

import pytest

from inference.scoring.official import require_official


def test_a_toolkit_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--official needs davis2017-evaluation, which is not installed: pip install"):
        require_official()


def test_a_toolkit_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: sys if name == "davis2017" else None)
    require_official()
