"""The allocator keeps what was freed, where the C library can."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from util import allocator

FAULTS = """
import resource, sys, torch
from util.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    raise SystemExit(77)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(48 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone")
def test_blocks_that_come_again_cost_no_page_faults() -> None:
    counts = {}
    for how in ("keep", "usual"):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=False)
        if done.returncode == 77:
            pytest.skip("another C library")
        counts[how] = int(done.stdout)
    assert counts["keep"] < counts["usual"] / 10


def test_another_system_keeps_its_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()


def test_another_c_library_keeps_its_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not allocator.keep_freed_memory()
