"""A disk that can be watched, filled, broken and pulled out from under the program.

``FakeEffects`` does the real system calls below one directory, numbers them, writes down what
each did, and before each one asks its faults. A fault has two variants that look the same to the
program: *not persisted* (nothing happened) and *persisted* (it happened, then the error came).
``Crash`` is the end of the process: from then on nothing takes effect any more.

The trace feeds ``crash_states``: what a loss of power may leave. Closing is traced, but neither
numbered nor faulted, since nothing rests on it. A test that injects a fault asserts that it fired.
"""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from affidavit.durable import Effects

T = TypeVar("T")


class Crash(BaseException):
    """The process ended here."""


@dataclass(frozen=True)
class Step:
    """One effect on ``path``, which is relative to the root.

    ``file`` stays with a file through renames; −1 for none. ``offset`` is also the size of
    ``allocate`` and ``truncate``; ``created`` and ``emptied`` tell what ``open`` did. ``done``
    says whether it took effect; ``error`` is the errno that the program saw, 0 for none.
    """

    name: str
    path: str
    file: int = -1
    offset: int = 0
    data: bytes = b""
    target: str = ""
    created: bool = False
    emptied: bool = False
    number: int = -1
    done: bool = True
    error: int = 0

    def __str__(self) -> str:
        """As the expected calls stand above the functions of ``durable``."""
        return f"{self.name}({self.path}, {self.target})" if self.target else self._short()

    def _short(self) -> str:
        return f"{self.name}({self.path})"


@dataclass
class Fault:
    """What happens to the calls it ``strikes``, ``times`` times at most; ``fired`` counts.

    ``error`` is an errno, or 0 for ``Crash``. With ``persisted`` the effect happens first. With
    ``short``, a write takes only so many bytes and says so, without an error.
    """

    strikes: Callable[[Step], bool]
    error: int = errno.EIO
    persisted: bool = False
    short: int | None = None
    times: int = 1
    fired: int = 0


def at(number: int) -> Callable[[Step], bool]:
    """Strikes the effect with this number, counted from 0."""
    return lambda step: step.number == number


def named(*names: str, suffix: str = "", skip: int = 0) -> Callable[[Step], bool]:
    """Strikes effects of these names on paths ending with ``suffix``, after ``skip`` of them."""
    seen = 0

    def strikes(step: Step) -> bool:
        nonlocal seen
        if step.name not in names or not step.path.endswith(suffix):
            return False
        seen += 1
        return seen > skip

    return strikes


class FakeEffects(Effects):
    """The system calls below ``root``, with ``trace`` and ``faults``.

    ``full``: nothing is allocated any more, while writes inside what was allocated succeed, as on
    a real disk. ``read_only``: all that changes anything fails. ``before`` sees each step before
    it happens (to kill the process there). What stands below ``root`` at the start is ``base``
    (path, file number, bytes; directories have none) and counts as durable.
    """

    def __init__(self, root: Path, *faults: Fault) -> None:
        self.root = root
        self.faults = list(faults)
        self.trace: list[Step] = []
        self.count = 0
        self.full = False
        self.read_only = False
        self.dead = False
        self.before: Callable[[Step], None] | None = None
        self.base: dict[str, tuple[int, bytes] | None] = {}
        self._lock = threading.RLock()
        self._short: int | None = None
        self._files = 0
        self._fds: dict[int, tuple[int, str]] = {}
        self._named: dict[str, int] = {}
        for path in sorted(root.rglob("*")):
            relative = self._relative(str(path))
            if path.is_dir():
                self.base[relative] = None
            else:
                self.base[relative] = (self._number(relative), path.read_bytes())

    def calls(self, since: int = 0, without: Sequence[str] = ("close",)) -> list[str]:
        """The trace from its ``since``-th entry on as text, without what is not looked at."""
        return [str(step) for step in self.trace[since:] if step.name not in without]

    def open(self, path: str, flags: int, mode: int) -> int:
        """See ``Effects.open``."""
        relative = self._relative(path)
        there = os.path.lexists(path)
        created = bool(flags & os.O_CREAT) and not there

        def act() -> int:
            fd = Effects.open(self, path, flags, mode)
            self._fds[fd] = (self._number(relative, fresh=created), relative)
            return fd

        emptied = bool(flags & os.O_TRUNC) and there
        file = self._files + 1 if created else self._named.get(relative, -1)
        return self._do(Step("open", relative, file, created=created, emptied=emptied), act)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """See ``Effects.pwrite``."""
        grows = offset + len(data) > os.fstat(fd).st_size
        step = self._of(fd, "pwrite", offset=offset, data=bytes(data))
        return self._do(
            step,
            lambda: Effects.pwrite(self, fd, step.data[: self._short], offset),
            needs_room=grows,
        )

    def allocate(self, fd: int, size: int) -> None:
        """See ``Effects.allocate``."""
        grows = size > os.fstat(fd).st_size
        step = self._of(fd, "allocate", offset=size)
        self._do(step, lambda: Effects.allocate(self, fd, size), needs_room=grows)

    def truncate(self, fd: int, size: int) -> None:
        """See ``Effects.truncate``."""
        step = self._of(fd, "truncate", offset=size)
        self._do(step, lambda: Effects.truncate(self, fd, size))

    def fdatasync(self, fd: int) -> None:
        """See ``Effects.fdatasync``."""
        self._do(self._of(fd, "fdatasync"), lambda: Effects.fdatasync(self, fd))

    def fsync(self, fd: int) -> None:
        """See ``Effects.fsync``."""
        self._do(self._of(fd, "fsync"), lambda: Effects.fsync(self, fd))

    def close(self, fd: int) -> None:
        """See ``Effects.close``."""
        with self._lock:
            if not self.dead:
                self.trace.append(self._of(fd, "close"))
            del self._fds[fd]
            Effects.close(self, fd)

    def rename(self, source: str, target: str) -> None:
        """See ``Effects.rename``."""
        old, new = self._relative(source), self._relative(target)

        def act() -> None:
            Effects.rename(self, source, target)
            self._named.pop(new, None)
            if old in self._named:  # a database makes files of its own
                self._named[new] = self._named.pop(old)

        self._do(Step("rename", old, self._named.get(old, -1), target=new), act)

    def unlink(self, path: str) -> None:
        """See ``Effects.unlink``."""
        relative = self._relative(path)

        def act() -> None:
            Effects.unlink(self, path)
            self._named.pop(relative, None)  # a database makes files of its own

        self._do(Step("unlink", relative, self._named.get(relative, -1)), act)

    def mkdir(self, path: str, mode: int) -> None:
        """See ``Effects.mkdir``."""
        step = Step("mkdir", self._relative(path))
        self._do(step, lambda: Effects.mkdir(self, path, mode), needs_room=True)

    def rmdir(self, path: str) -> None:
        """See ``Effects.rmdir``."""
        step = Step("rmdir", self._relative(path))
        self._do(step, lambda: Effects.rmdir(self, path))

    def fsync_dir(self, path: str) -> None:
        """See ``Effects.fsync_dir``."""
        step = Step("fsync_dir", self._relative(path))
        self._do(step, lambda: Effects.fsync_dir(self, path))

    # How an effect happens

    def _do(self, step: Step, act: Callable[[], T], *, needs_room: bool = False) -> T:
        with self._lock:
            if self.dead:
                raise Crash("after the end")
            step = replace(step, number=self.count)
            self.count += 1
            if self.before is not None:
                self.before(step)
            fault = next((f for f in self.faults if f.fired < f.times and f.strikes(step)), None)
            if fault is not None:
                fault.fired += 1
            elif self.read_only and _changes(step):
                fault = Fault(lambda _: True, errno.EROFS)
            elif self.full and needs_room:
                fault = Fault(lambda _: True, errno.ENOSPC)
            if fault is None:
                return self._act(step, act)
            if fault.short is not None:
                return self._act_short(step, act, fault.short)
            return self._strike(step, act, fault)

    def _strike(self, step: Step, act: Callable[[], T], fault: Fault) -> T:
        if fault.persisted:
            result = self._act(step, act)
            if step.name == "open" and isinstance(result, int):
                self.close(result)  # the program never learns of this descriptor
        self.trace.append(replace(step, done=False, error=fault.error))
        if fault.error == 0:
            self.dead = True
            raise Crash(str(step))
        raise OSError(fault.error, os.strerror(fault.error), step.path)

    def _act_short(self, step: Step, act: Callable[[], T], short: int) -> T:
        self._short = short
        try:
            return self._act(replace(step, data=step.data[:short]), act)
        finally:
            self._short = None

    def _act(self, step: Step, act: Callable[[], T]) -> T:
        try:
            result = act()
        except OSError as error:
            self.trace.append(replace(step, done=False, error=error.errno or errno.EIO))
            raise
        self.trace.append(step)
        return result

    def _of(self, fd: int, name: str, offset: int = 0, data: bytes = b"") -> Step:
        file, path = self._fds[fd]
        return Step(name, path, file, offset, data)

    def _number(self, relative: str, *, fresh: bool = False) -> int:
        if fresh or relative not in self._named:
            self._files += 1
            self._named[relative] = self._files
        return self._named[relative]

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self.root)


def _changes(step: Step) -> bool:
    return step.name not in {"fsync_dir", "fdatasync", "fsync"} and not (
        step.name == "open" and not step.created and not step.emptied
    )
