"""Erasure: keys destroyed, survivors wrapped anew, and sealed content without a key overwritten.

Rules, in this order, for a bucket or for the records of a person in a class:

1. What goes is counted and written down (``erased``), before anything goes.
2. Files of wraps are replaced, one by one: survivors under a new key, of the rest no wrap
   (``rewrap``). At any time each record is readable as before, or not at all.
3. The old keys are destroyed. From here on nothing that went can be opened, whoever has a copy of
   the files.
4. Sealed content that no key opens is overwritten, or its segment removed (``overwrite``).

Each step finds out from what is there what is left to do, so an erasure that ended anywhere is
finished by asking for it again. What a hold has the keys of stays, asked or not. A file is touched
only once its key is retired and nobody appends to it any more (``Vault.retire``). A blob depends
on no other blob, as none is compressed against another one.

Not here: whose time has come, who asked, and the record of it; the index; the log.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

from affidavit.clock import Clock
from affidavit.durable import Disk
from affidavit.errors import UsageError
from affidavit.record.model import SECTIONS
from affidavit.vault import holds, key_ends, wraps
from affidavit.vault.erased import Erased, Tally, Unsettled
from affidavit.vault.keyring import Key, Keyring, Subject
from affidavit.vault.opening import hold_path
from affidavit.vault.overwrite import overwrite
from affidavit.vault.rewrap import NOTHING, Doomed, Look, look, only_held, opened, rewritten
from affidavit.vault.segments import Bucket, days_in, segments_in, wraps_path
from affidavit.vault.whole_files import WholeFile, read_wraps

What = Literal["person", "content", "sections"]
"""What goes of a record: content, its section and parts; with ``person``; with all sections."""

Step = Callable[[], AbstractContextManager[None]]
"""Within it something goes for good; what it raises when entered is passed on, and nothing goes."""

IN_USE = "in_use"
"""The ``reason`` of the ``UsageError`` for what its writer may still append to."""

_EVERY_KIND = frozenset(range(len(SECTIONS))) | {wraps.PART}
_GOES: dict[What, frozenset[int]] = {
    "person": wraps.OF_THE_SUBJECT,
    "content": frozenset({SECTIONS.index("content"), wraps.PART}),
    "sections": _EVERY_KIND,
}


_AT_A_TIME = 64
"""Records that are looked at, or wrapped anew, before ``rest`` is asked whether it is time to."""


class Eraser:
    """Erases in the vault under ``root``, for the one process that writes it, on any thread.

    Calls take turns. All may be repeated, also after a crash, with the same ``request``, which
    names whose erasure it is: the answer is then that of all attempts together, until ``settle``.
    ``rest`` is called every millisecond of work, for the sake of others. Every method raises
    ``UnavailableError`` if ``keys.db`` cannot be written or is being read for long, ``OSError`` if
    the disk fails, and ``CorruptError`` for a damaged file of wraps. Each step that cannot be
    undone is done within ``step``, which may refuse; asked again with less, it goes on.
    """

    def __init__(
        self,
        disk: Disk,
        root: Path,
        keyring: Keyring,
        clock: Clock,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._disk = disk
        self._root = root
        self._keyring = keyring
        self._clock = clock
        self._tired = rest
        self._worked = 0
        self._turn = threading.Lock()
        self._unsettled = Unsettled(disk, root)

    def expire(
        self, bucket: Bucket, what: What, spare: Collection[int] | None = (), request: str = "",
        step: Step = nullcontext,
    ) -> Erased:  # fmt: skip
        """Erase all records of a bucket but the leaves in ``spare`` and what a hold keeps.

        With ``None`` all stay, and only what an earlier attempt took is brought to its end.
        ``UsageError`` if the bucket is not retired.
        """
        with self._turn:
            token = self._name("expire", *bucket, what, request)
            doomed = _of(NOTHING, NOTHING) if spare is None else _but(frozenset(spare), _GOES[what])
            return self._in_bucket(bucket, doomed, what, token, step)

    def records(
        self, bucket: Bucket, indexes: Collection[int], what: What, request: str = "",
        step: Step = nullcontext,
    ) -> Erased:  # fmt: skip
        """Erase the records of these leaves, as far as they are of the bucket and not held.

        ``UsageError`` if one of them is under a key that is not retired.
        """
        with self._turn:
            token = self._name("records", *bucket, what, request)
            return self._in_bucket(bucket, _of(frozenset(indexes), _GOES[what]), what, token, step)

    def subject(
        self,
        tenant: str,
        subject: str,
        classes: Collection[str],
        may: Collection[int],
        request: str = "",
        step: Step = nullcontext,
    ) -> Erased:
        """Erase what identifies a person, and content, in these classes: of the leaves in ``may``.

        ``subject`` is the pseudonym. What is of several people goes with the first of them. Any
        other record of theirs stays, under another key of the person, and so does what came in
        after the person was retired. ``UsageError`` if the person never was, in one of the classes.
        """
        named = [(tenant, subject, one) for one in sorted(set(classes))]
        with self._turn:
            token = self._name("subject", tenant, subject, *sorted(set(classes)), "", request)
            tally = Tally(wraps.OF_THE_SUBJECT, self._unsettled.read(token))
            people = [self._person(one, frozenset(may), tally) for one in named]
            erased = self._write_down(tally, token)
            for one in people:
                self._end(one, step)
            meant = [(segment, one.doomed) for one in people for segment in one.meant]
            return self._overwritten(erased, meant)

    def people(self, tenant: str, request: str = "") -> Erased:
        """Destroy the keys of people of a tenant that are retired and wrap nothing any more."""
        needed: set[int] = set()
        seen: dict[int, tuple[int, ...]] = {}

        def theirs(index: int, subjects: tuple[int, ...]) -> frozenset[int]:
            seen[index] = subjects
            return wraps.OF_THE_SUBJECT if subjects else NOTHING

        with self._turn:
            token = self._name("people", tenant, request)
            tally = Tally(wraps.OF_THE_SUBJECT, self._unsettled.read(token))
            for bucket in key_ends.buckets_of(self._keyring, tenant):
                for _, file in self._files(bucket):
                    for index in opened(self._keyring, file, theirs, {}, self._rest):
                        needed.update(seen[index])
            dying: dict[Subject, list[int]] = {}
            for number, subject in key_ends.people_of(self._keyring, tenant).items():
                end = key_ends.subject_ends(self._keyring, subject)[number]
                if end.is_retired and number not in needed:
                    dying.setdefault(subject, []).append(number)
            tally.subject_keys += sum(map(len, dying.values()))
            erased = self._write_down(tally, token)
            for subject, numbers in dying.items():
                key_ends.destroy_subject(self._keyring, subject, numbers)
            return erased

    def of_subject(
        self, tenant: str, subject: str, classes: Collection[str]
    ) -> dict[Bucket, list[int]]:
        """The leaves of which ``subject`` would take something, may it go or not, by bucket."""
        found: dict[Bucket, list[int]] = {}
        with self._turn:
            for one in sorted(set(classes)):
                numbers = frozenset(key_ends.subject_ends(self._keyring, (tenant, subject, one)))
                for day in days_in(Bucket(tenant, one, "").directory(self._root)):
                    bucket = Bucket(tenant, one, day)
                    for _, file in self._files(bucket):
                        mine = opened(self._keyring, file, _by(numbers), {}, self._rest)
                        if mine:
                            found.setdefault(bucket, []).extend(mine)
        return found

    def opened(self, bucket: Bucket, indexes: Collection[int], what: What) -> set[int]:
        """Those of these leaves of which something that would go still opens, or is held."""
        doomed, found = _of(frozenset(indexes), _GOES[what]), set[int]()
        with self._turn:
            for segment, file in self._files(bucket):
                held = holds.held_of(self._keyring, segment)
                found.update(opened(self._keyring, file, doomed, held, self._rest))
        return found

    def hold(self, name: str, indexes: Collection[int], tenant: str | None = None) -> holds.Placed:
        """Put the records of these leaves under a hold, which is made if there is none of the name.

        May be called again, for more of them: what a hold is to keep has to be under it before it
        would go. ``UsageError`` if the hold was released.
        """
        with self._turn:
            return holds.place(self._disk, self._root, self._keyring, name, indexes, tenant)

    def release(self, name: str, request: str = "", step: Step = nullcontext) -> Erased:
        """Destroy the key of a hold; what only the hold kept goes. ``NotFoundError`` if unknown."""
        with self._turn:
            number = key_ends.hold_number(self._keyring, name)
            token = self._name("release", name, request)
            tally = Tally(_EVERY_KIND, self._unsettled.read(token))
            lost = {
                segment: only_held(self._keyring, segment, number, tally)
                for segment in holds.files_of(self._root, number)
            }
            erased = self._write_down(tally, token)
            with step():
                key_ends.destroy_hold(self._keyring, name)
            erased = self._overwritten(
                erased, [(segment, _of(indexes, _EVERY_KIND)) for segment, indexes in lost.items()]
            )
            for segment in lost:  # last: by these files whoever was interrupted finds the rest
                self._disk.remove(hold_path(segment, number))
            return erased

    def settle(self, erased: Erased) -> None:
        """What was erased is on record: asked for again, it is not told again."""
        self._unsettled.settle(erased.token)

    # In a bucket.

    def _in_bucket(
        self, bucket: Bucket, doomed: Doomed, what: What, token: str, step: Step
    ) -> Erased:
        ends = key_ends.bucket_ends(self._keyring, bucket)  # first: files of these are all there
        tally = Tally(_GOES[what], self._unsettled.read(token))
        seen: dict[Path, tuple[int, Look]] = {}
        for segment, file in self._files(bucket):
            seen[segment] = file.key, self._look(segment, file, doomed, tally)
            if seen[segment][1].goes and _may_grow(ends, file.key):
                raise _not_retired(bucket.day)
        erased = self._write_down(tally, token)
        dying = {key for key, found in seen.values() if found.goes}
        if tally.resumed:  # what went is to open under no key that an earlier attempt left
            known = sorted(key for key, _ in seen.values() if key in ends and ends[key].is_retired)
            dying.update(key for key in known if key != known[-1])
        fresh: Key | None = None
        for segment, (key, found) in seen.items():
            if key in dying and found.stays:
                fresh = fresh or key_ends.new_bucket_key(self._keyring, bucket)
                self._replace(segment, doomed, step, fresh.id)
        needed = {key for key, found in seen.values() if found.stays} - dying
        ended = [n for n, end in ends.items() if end.is_retired and n not in needed]
        with step():
            key_ends.destroy_buckets(self._keyring, ended)
        meant = [(segment, doomed) for segment, (_, found) in seen.items() if found.meant]
        return self._overwritten(erased, meant)

    # Of a person.

    def _person(self, subject: Subject, may: frozenset[int], tally: Tally) -> "_Person":
        """What there is to do in one class; counts what goes."""
        known = key_ends.subject_ends(self._keyring, subject)
        ends = {number: end for number, end in known.items() if not end.in_use}
        if known and not ends:
            raise _not_retired("the person")
        person = _Person(subject, frozenset(ends), may)
        tenant, _, retention_class = subject
        days = days_in(Bucket(tenant, retention_class, "").directory(self._root)) if ends else []
        for day in days:
            bucket = Bucket(tenant, retention_class, day)
            of_day = key_ends.bucket_ends(self._keyring, bucket)
            for segment, file in self._files(bucket):
                found = self._look(segment, file, person.doomed, tally)
                if found.goes and _may_grow(of_day, file.key):
                    raise _not_retired(day)
                person.note(segment, found)
        alive = {number for number, end in ends.items() if end.is_retired}
        tally.subject_keys += len(alive & person.dying)
        person.dying = alive & (person.dying | (alive - person.spared_under.keys()))
        if tally.resumed:  # what went is to open under no key that an earlier attempt left
            person.dying = alive
        return person

    def _end(self, person: "_Person", step: Step) -> None:
        """Wrap what stays of a person anew, and destroy the old keys."""
        spared = {one for number in person.dying for one in person.spared_under.get(number, ())}
        successors: dict[int, int] = {}
        if spared:
            fresh = key_ends.new_subject_key(self._keyring, person.subject)
            successors = dict.fromkeys(person.dying, fresh.id)
        for segment in sorted(person.goes | spared):
            key = read_wraps(segment).key
            self._replace(segment, person.doomed, step, key, successors)
        with step():
            key_ends.destroy_subject(self._keyring, person.subject, person.dying)

    # What all have in common.

    def _files(self, bucket: Bucket) -> Iterator[tuple[Path, WholeFile]]:
        directory = bucket.directory(self._root)
        if strays := sorted(directory.glob("*.tmp")):  # of an attempt that was cut short
            self._disk.remove(*strays)
        for segment in segments_in(directory):
            yield segment.path, read_wraps(segment.path)

    def _look(self, segment: Path, file: WholeFile, doomed: Doomed, tally: Tally) -> Look:
        held = holds.held_of(self._keyring, segment)
        return look(self._keyring, file, doomed, held, tally, self._rest)

    def _write_down(self, tally: Tally, token: str) -> Erased:
        erased = tally.sum(token)
        if tally:
            self._unsettled.write(erased)
        return erased

    def _replace(
        self, segment: Path, doomed: Doomed, step: Step, bucket: int,
        subjects: dict[int, int] | None = None,
    ) -> None:  # fmt: skip
        now, file = self._clock.now(), read_wraps(segment)
        data = rewritten(self._keyring, file, doomed, now, bucket, subjects, self._rest)
        with step():
            self._disk.write_file(wraps_path(segment), data)

    def _overwritten(self, erased: Erased, meant: Collection[tuple[Path, Doomed]]) -> Erased:
        locked = 0
        for segment, doomed in meant:
            locked += overwrite(self._disk, self._keyring, segment, doomed, self._rest)
        return erased._replace(locked=locked)

    def _rest(self) -> None:
        self._worked += 1
        if self._worked % _AT_A_TIME == 0:
            self._tired()

    def _name(self, *what: str) -> str:
        return self._unsettled.token(*what)


class _Person:
    """What an erasure finds of a person in one class, whose keys have had these ``numbers``.

    ``meant``: segments with records of theirs that go or went; ``goes``: those that still have
    something to lose. ``spared_under``: number of a key → segments with records that stay.
    """

    def __init__(self, subject: Subject, numbers: frozenset[int], may: frozenset[int]) -> None:
        self.subject = subject
        self.meant: list[Path] = []
        self.goes: set[Path] = set()
        self.dying: set[int] = set()
        self.spared_under: dict[int, set[Path]] = {}
        self._numbers = numbers
        self._may = may

    def doomed(self, index: int, subjects: tuple[int, ...]) -> frozenset[int]:
        """See ``Doomed``."""
        if index not in self._may or self._numbers.isdisjoint(subjects):
            return NOTHING
        return wraps.OF_THE_SUBJECT

    def note(self, segment: Path, found: Look) -> None:
        """What was found in a file."""
        if found.meant:
            self.meant.append(segment)
            self.dying |= found.people & self._numbers
        if found.goes:
            self.goes.add(segment)
        for number in found.others & self._numbers:
            self.spared_under.setdefault(number, set()).add(segment)


def _by(numbers: frozenset[int]) -> Doomed:
    """All that any of these keys of a subject wraps."""
    return lambda _, subjects: NOTHING if numbers.isdisjoint(subjects) else wraps.OF_THE_SUBJECT


def _of(indexes: frozenset[int], kinds: frozenset[int]) -> Doomed:
    return lambda index, _: kinds if index in indexes else NOTHING


def _but(indexes: frozenset[int], kinds: frozenset[int]) -> Doomed:
    return lambda index, _: NOTHING if index in indexes else kinds


def _may_grow(ends: Mapping[int, key_ends.End], key: int) -> bool:
    """Whether its writer may still append to files under a bucket key, perhaps one made since."""
    return key not in ends or ends[key].in_use


def _not_retired(what: str) -> UsageError:
    return UsageError(
        f"What is to be erased of {what} may still be written to: its key is not retired.",
        hint="The writer retires it first (Vault.retire, Vault.retire_subject).",
        reason=IN_USE,
    )
