"""What may be on the disk after a loss of power, at the granularity of files.

The model: an fsync or fdatasync of a file makes its bytes durable, an fsync of a directory makes
its entries durable, and nothing else does (POSIX; many file systems promise more). At a crash,
what is not durable yet may be lost or kept:

* bytes of a file: any prefix of its pending writes; the last of them torn in the middle, either
  half; any one of them missing while later ones are there (reordering);
* entries of a directory: any prefix of its pending operations, as a journalling file system has
  it; a new directory that is lost takes everything in it along;
* an fsync that failed: what was pending then stays doubtful for ever, whatever a later one says.

Files and directories are independent of each other. Not all combinations are made: at each point
of the trace one file or directory goes through all its choices while the others are, once, all
lost and, once, all kept. States that are equal are given once, with the latest point they belong
to (which is when most has been promised). The enumeration is the same on every run.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from tests.world.fakedisk import FakeEffects, Step

Entries = dict[str, bytes | None]
"""Paths with their bytes; a directory has ``None``."""


@dataclass(frozen=True)
class State:
    """What is there after a crash behind the first ``after`` entries of the trace."""

    after: int
    entries: Entries


def crash_states(effects: FakeEffects) -> list[State]:
    """All states that the model allows, at any point of the trace, without repetition."""
    world = _World()
    for path, there in effects.base.items():
        world.names[path] = None if there is None else there[0]
        if there is not None:
            world.files[there[0]] = _File(there[1])
    found: dict[frozenset[tuple[str, bytes | None]], State] = {}
    for after in range(len(effects.trace) + 1):
        if after > 0:
            world.do(effects.trace[after - 1])
        for entries in world.states():
            found[frozenset(entries.items())] = State(after, entries)
    return list(found.values())


def materialise(state: State, directory: Path) -> None:
    """Make ``directory``, which is empty or absent, look like ``state``."""
    directory.mkdir(parents=True, exist_ok=True)
    for path, content in sorted(state.entries.items()):
        if content is None:
            (directory / path).mkdir()
        else:
            (directory / path).write_bytes(content)


@dataclass
class _File:
    """A file's durable bytes and what was done to it since; ``doubtful`` of these stay so."""

    durable: bytes = b""
    pending: list[Step] = field(default_factory=list)
    doubtful: int = 0

    def synced(self) -> None:
        self.durable = _applied(self.durable, self.pending[self.doubtful :])
        del self.pending[self.doubtful :]

    def sync_failed(self) -> None:
        self.doubtful = len(self.pending)

    def choices(self) -> Iterator[bytes]:
        """All contents a crash may leave: all lost, all kept, and what is between."""
        yield self.durable
        yield _applied(self.durable, self.pending)
        for count, step in enumerate(self.pending):
            before, behind = self.pending[:count], self.pending[count + 1 :]
            yield _applied(self.durable, before)
            yield _applied(self.durable, [*before, *behind])
            half = len(step.data) // 2
            if half:
                yield _applied(self.durable, [*before, _part(step, 0, half)])
                yield _applied(self.durable, [*before, _part(step, half, len(step.data))])


@dataclass
class _World:
    """All files and directories at one point of the trace.

    ``names`` are the durable entries; ``pending`` the operations on each directory since.
    """

    files: dict[int, _File] = field(default_factory=dict)
    names: dict[str, int | None] = field(default_factory=dict)
    pending: dict[str, list[Step]] = field(default_factory=dict)

    def do(self, step: Step) -> None:
        """Take the next entry of the trace."""
        if step.name in {"fsync", "fdatasync"}:
            file = self.files[step.file]
            if step.done:
                file.synced()
            else:
                file.sync_failed()
        elif not step.done or step.name == "close":
            return
        elif step.name == "fsync_dir":
            for operation in self.pending.pop(step.path, []):
                _apply_entry(self.names, operation)
        elif step.name == "open" and not step.created:
            if step.emptied:
                self.files[step.file].pending.append(step)
        elif step.name in {"open", "rename", "unlink", "mkdir", "rmdir"}:
            directory = _parent(step.path)
            if step.target and _parent(step.target) != directory:
                raise AssertionError("a rename between directories is not modelled")
            if step.created:
                self.files[step.file] = _File()
            self.pending.setdefault(directory, []).append(step)
        else:
            self.files[step.file].pending.append(step)

    def states(self) -> Iterator[Entries]:
        """Every combination that is tried at this point."""
        lost = {number: file.durable for number, file in self.files.items()}
        kept = {n: _applied(file.durable, file.pending) for n, file in self.files.items()}
        none = dict.fromkeys(self.pending, 0)
        every = {directory: len(steps) for directory, steps in self.pending.items()}
        for directory, steps in [*self.pending.items(), (".", ())]:
            for count in range(len(steps) + 1):
                for others in (none, every):
                    names = self._names({**others, directory: count})
                    yield _entries(names, lost)
                    yield _entries(names, kept)
        for number, file in self.files.items():
            if file.pending:
                for content in file.choices():
                    for others in (none, every):
                        names = self._names(others)
                        yield _entries(names, {**lost, number: content})
                        yield _entries(names, {**kept, number: content})

    def _names(self, keep: dict[str, int]) -> dict[str, int | None]:
        names = dict(self.names)
        for directory, steps in self.pending.items():
            for step in steps[: keep[directory]]:
                _apply_entry(names, step)
        return names


def _entries(names: dict[str, int | None], contents: dict[int, bytes]) -> Entries:
    entries: Entries = {}
    for path in sorted(names):
        parent, number = _parent(path), names[path]
        if parent == "." or entries.get(parent, b"") is None:
            entries[path] = None if number is None else contents[number]
    return entries


def _apply_entry(names: dict[str, int | None], step: Step) -> None:
    if step.name == "rename":
        names[step.target] = names.pop(step.path)
    elif step.name in {"unlink", "rmdir"}:
        del names[step.path]
    else:
        names[step.path] = None if step.name == "mkdir" else step.file


def _applied(content: bytes, steps: Iterable[Step]) -> bytes:
    out = bytearray(content)
    for step in steps:
        if step.name == "open":
            out.clear()
        elif step.name == "truncate":
            del out[step.offset :]
            out.extend(bytes(max(0, step.offset - len(out))))
        else:
            end = step.offset + len(step.data)
            out.extend(bytes(max(0, end - len(out))))
            out[step.offset : end] = step.data
    return bytes(out)


def _part(step: Step, start: int, end: int) -> Step:
    return replace(step, offset=step.offset + start, data=step.data[start:end])


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def acknowledged(promises: Sequence[tuple[int, str]], state: State) -> list[str]:
    """The promises, given as (length of the trace when it was made, what), that ``state`` owes."""
    return [what for made, what in promises if made <= state.after]
