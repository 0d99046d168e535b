"""What is in memory stays in memory: no core dumps, no other process that looks, no swap.

Rules: every process switches core dumps off, and being looked at by others of the same user
(``PR_SET_DUMPABLE``: neither ``ptrace`` nor ``/proc/PID/mem`` and ``environ``, and no dump to a
handler, which ignores the limit); both hold until the process ends and fail nothing. Those that
have the key-encryption key also lock their memory, as pages are touched (``MCL_ONFAULT``), so that
nothing of it is swapped and nothing is taken that would not be. Where locked memory is limited,
they do not: under a limit each later allocation beyond it would fail. Not here: what a debugger of
root, a hypervisor or hibernation sees.
"""

import ctypes
import os
import resource
from pathlib import Path

_PR_SET_DUMPABLE = 4
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14


def seal() -> None:
    """No core dumps, of children neither; nobody of the same user looks into this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock() -> str:
    """Keep this process out of swap; why not, in a sentence, or ``""``."""
    if not _swaps():
        return ""
    if not _unlimited():
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        return (
            f"Keys in memory may be swapped to disk: only {limit} bytes may be locked. Allow it "
            "(LimitMEMLOCK=infinity), encrypt swap, or switch it off."
        )
    if _libc().mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        why = os.strerror(ctypes.get_errno())
        return f"Keys in memory may be swapped to disk: it cannot be locked ({why})."
    return ""


def told_of(pid: int) -> str:
    """Whether another process keeps its keys out of swap; why not, in a sentence, or ``""``."""
    if not _swaps() or _status(f"/proc/{pid}/status", "VmLck") != "0 kB":
        return ""
    return (
        "keys in memory may be swapped to disk; allow locked memory (LimitMEMLOCK=infinity), "
        "encrypt swap, or switch it off"
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _swaps() -> bool:
    """Whether this machine swaps at all."""
    try:
        return len(Path("/proc/swaps").read_text(encoding="ascii").splitlines()) > 1
    except OSError:
        return False


def _unlimited() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    return bool(int(_status("/proc/self/status", "CapEff") or "0", 16) >> _CAP_IPC_LOCK & 1)


def _status(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
