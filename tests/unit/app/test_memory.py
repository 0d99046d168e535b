"""Keys are kept out of swap where that harms nothing, and it is said where they are not."""

import os
import resource
import subprocess
import sys

import pytest

from affidavit.app import memory

LOCKED = """
import sys
from affidavit.app import memory
memory._swaps = lambda: True
print(memory.lock())
kept = [bytearray(1 << 20) for _ in range(64)]  # goes on getting memory
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmLck")))
"""


def _run(limit: int) -> list[str]:
    """What a process says whose locked memory is limited, without the right to lock more."""
    drop = [
        "setpriv",
        "--bounding-set=-ipc_lock",
        "--inh-caps=-ipc_lock",
        "--ambient-caps=-ipc_lock",
    ]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))

    done = subprocess.run(
        [*drop, sys.executable, "-c", LOCKED],
        capture_output=True, text=True, check=False, preexec_fn=limited,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_where_memory_may_be_locked_it_is() -> None:
    """All of it, and the process goes on getting more."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] != resource.RLIM_INFINITY:
        done = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True,
                              check=True).stdout.splitlines()  # fmt: skip
        if done[0] != "":
            print(f"not proven that memory is locked where it may be: {done[0]}")
            pytest.skip("no right to lock memory here")
    else:
        done = _run(resource.RLIM_INFINITY)
    assert done[0] == ""
    assert int(done[1]) > 10_000


def test_where_it_is_limited_nothing_is_locked_and_it_is_said() -> None:
    """A limit that later allocations would run into is not entered."""
    told, locked = _run(1 << 23)
    assert "only 8388608 bytes may be locked" in told
    assert locked == "0"


def test_without_swap_nothing_is_locked_and_nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to be kept out of."""
    monkeypatch.setattr(memory, "_swaps", lambda: False)
    assert (memory.lock(), memory.told_of(1)) == ("", "")


def test_of_another_process_it_is_told_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one has nothing locked; one that is gone is not spoken of."""
    monkeypatch.setattr(memory, "_swaps", lambda: True)
    assert "LimitMEMLOCK" in memory.told_of(os.getpid())
    assert memory.told_of(2**22 + 1) == ""
