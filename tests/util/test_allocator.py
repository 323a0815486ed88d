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


HELD = """
import sys, torch
from pathlib import Path
from util.allocator import keep_freed_memory, release_freed_memory
if not keep_freed_memory():
    raise SystemExit(77)
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
tensors = [torch.ones(8 << 20, dtype=torch.uint8) for _ in range(16)]
above = torch.ones(8 << 20, dtype=torch.uint8)  # so that it is no end of the heap that is free
before = resident()
del tensors
kept = before - resident()
assert release_freed_memory()
print(kept, before - resident(), int(above.sum()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone")
def test_what_was_kept_goes_back_when_it_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("another C library")
    kept, released, _ = (int(word) for word in done.stdout.split())
    assert kept < 16 << 20
    assert released > 112 << 20


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
    assert not allocator.release_freed_memory()


def test_another_c_library_keeps_its_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not allocator.keep_freed_memory()
    assert not allocator.release_freed_memory()
