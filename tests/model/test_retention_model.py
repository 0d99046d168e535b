"""Retention against a naive oracle: random policies, holds, clocks and records.

The vault is real files of wraps, which an eraser of this test rewrites where the plan, or somebody
who asks, lets it. At every step: nothing may go that is below its minimum, under a hold, or of a
class that nobody configures; and whatever is above its maximum and still there is in the plan and
in the sums of status and metrics.
"""

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from affidavit import retention
from affidavit.config import Config
from affidavit.durations import days_of
from affidavit.record.model import SECTIONS
from affidavit.vault import retention as planning
from affidavit.vault import stocktaking, wraps
from affidavit.vault.retention import Late, Line, late, plan
from affidavit.vault.segments import Bucket, segment_path, wraps_path
from affidavit.vault.stocktaking import Stocktaking
from tests.unit.vault.test_stocktaking import Keys

_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
CONTENT = SECTIONS.index("content")
REGIMES = {"ai-act-6m": (184, None), "gdpr-cap-24m": (0, 730), "pci-12m-hot90": (366, None)}
CLASSES = ("a", "b", "default", "gone")
_LIMIT = st.none() | st.integers(0, 6)
_CLASS = st.fixed_dictionaries({
    "regimes": st.lists(st.sampled_from(sorted(REGIMES)), max_size=2) | st.just([]),
    "minimum": _LIMIT, "maximum": _LIMIT,
    "expires": st.sampled_from(["content", "sections", "leaves"]),
    "keep": st.sampled_from(["minimum", "maximum"]),
})  # fmt: skip
POLICY = st.dictionaries(st.sampled_from(CLASSES[:3]), _CLASS)


class Item(NamedTuple):
    """A record: where it is kept, and the kinds of blob that are left of it."""

    bucket: Bucket
    left: set[int]

    def has(self, what: str) -> bool:
        """Whether something of it is left that goes."""
        return bool(self.left & {CONTENT, wraps.PART} if what == "content" else self.left)


class Limits(NamedTuple):
    """What the oracle makes of a class."""

    minimum: int
    maximum: int | None
    what: str
    known: bool


class RetentionMachine(RuleBasedStateMachine):
    """One vault through its life."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="retention", dir=_MEMORY))
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self.keys = Keys()
        self.stocks = Stocktaking(self.root, self.keys)
        self.items: dict[int, Item] = {}
        self.segments: dict[int, tuple[int, list[int]]] = {}
        self.held: set[int] = set()
        self.policy: dict[str, Any] = {}
        self.config = Config()

    def teardown(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.root, ignore_errors=True)

    # What happens.

    @initialize(policy=POLICY, names=st.lists(st.sampled_from(CLASSES), max_size=2))
    def begin(self, policy: dict[str, Any], names: list[str]) -> None:
        """A configuration and some records, so that a short life has something to show."""
        self.configured(policy, "default")
        for name in names:
            self.recorded(name, "t", [True, False])

    @rule(policy=POLICY, default=st.sampled_from(CLASSES[:3]))
    def configure(self, policy: dict[str, Any], default: str) -> None:
        """Another configuration, in which classes may be missing that records have."""
        self.configured(policy, default)

    def configured(self, policy: dict[str, Any], default: str) -> None:
        """In force from now on."""
        self.policy = policy
        classes = {
            name: {
                "regimes": one["regimes"], "expires": one["expires"],
                "conflict": {"keep": one["keep"], "reason": "r", "decided_by": "d"},
                **{key: f"{one[key]}d" for key in ("minimum", "maximum") if one[key] is not None},
            }
            for name, one in policy.items()
        }  # fmt: skip
        chosen = default if default in policy else "default"
        given = {"default_class": chosen, "classes": classes}
        self.config = Config.model_validate({"retention": given})

    @rule(
        name=st.sampled_from(CLASSES), tenant=st.sampled_from(["t", "u"]),
        contents=st.lists(st.booleans(), min_size=1, max_size=3),
    )  # fmt: skip
    def record(self, name: str, tenant: str, contents: list[bool]) -> None:
        """Records of today, some without content, in a segment of their own."""
        self.recorded(name, tenant, contents)

    def recorded(self, name: str, tenant: str, contents: list[bool]) -> None:
        """In the vault."""
        bucket = Bucket(tenant, name, f"{self.now:%Y-%m-%d}")
        first = len(self.items)
        indexes = list(range(first, first + len(contents)))
        for index, content in zip(indexes, contents, strict=True):
            self.items[index] = Item(bucket, {2, CONTENT, wraps.PART} if content else {2})
        number = len(self.segments) + 1
        self.keys.names[number] = bucket
        self.segments[first] = (number, indexes)
        bucket.directory(self.root).mkdir(parents=True, exist_ok=True)
        segment_path(bucket.directory(self.root), first).write_bytes(b"AFVAULT1")
        self.write(first)

    @rule(hours=st.integers(0, 60))
    def pass_time(self, hours: int) -> None:
        """Some hours."""
        self.now += timedelta(hours=hours)

    @rule(days=st.sampled_from([180, 360, 730]))
    def pass_years(self, days: int) -> None:
        """As long as a regime."""
        self.now += timedelta(days=days)

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        """Some records are held, others not any more."""
        self.held ^= data.draw(st.sets(st.sampled_from(sorted(self.items)), max_size=3))

    @rule()
    def run(self) -> None:
        """Retention carries out what the plan of now says goes."""
        for line in self.plan():
            if line.goes:
                self.expire(line)
        for line in self.plan():
            assert not line.goes

    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        """Somebody asks for a bucket's content: as far as the plan lets it go, it goes."""
        lines = [line for line in self.plan() if line.may_go]
        if lines:
            self.expire(data.draw(st.sampled_from(lines)))

    # The eraser of this test, which takes what it is told to and looks at each record before.

    def expire(self, line: Line) -> None:
        """Take away what goes of a bucket, but for what is to be spared."""
        kinds = {CONTENT, wraps.PART} if line.what == "content" else set(range(8))
        for index, item in self.items.items():
            if item.bucket == line.bucket and index not in line.spare and item.has(line.what):
                self.allowed(index)
                item.left.difference_update(kinds)
        for first, (number, indexes) in self.segments.items():
            if self.items[first].bucket == line.bucket:
                self.write(first)
                if not any(self.items[index].left for index in indexes):
                    self.keys.destroyed.add(number)

    def allowed(self, index: int) -> None:
        """The oracle's word on whether a record may go now."""
        bucket = self.items[index].bucket
        limits = self.limits(bucket.retention_class)
        assert limits.known, f"{index} goes, and nobody says how long it is kept"
        assert index not in self.held, f"{index} goes and is held"
        assert not limits.minimum or self.over(bucket.day, limits.minimum), (
            f"{index} goes too early"
        )

    def write(self, first: int) -> None:
        """The wraps of a segment as they are now."""
        number, indexes = self.segments[first]
        out = [wraps.header(number)]
        for index in indexes:
            item = self.items[index]
            blobs = [(2, "what"), (CONTENT, "content"), (wraps.PART, "body")]
            taken = wraps.taken("2026-01-01T00:00:00.000000Z")
            packed = tuple(
                wraps.Blob(kind, name, 8, b"\1" * 40 if kind in item.left else taken)
                for kind, name in blobs
            )
            out.append(wraps.pack(wraps.Entry(index, 8, f"{index:036d}", (), packed)))
        directory = self.items[first].bucket.directory(self.root)
        path = wraps_path(segment_path(directory, first))
        path.unlink(missing_ok=True)
        path.with_suffix(".new").write_bytes(b"".join(out))
        path.with_suffix(".new").rename(path)

    # The oracle.

    def limits(self, name: str) -> Limits:
        """How a class is kept, reckoned anew."""
        known = name in self.policy or name == "default"
        one = self.policy.get(name if known else self.config.retention.default_class)
        if one is None:
            return Limits(0, None, "content", known)
        minima = [one["minimum"] or 0] + [REGIMES[name][0] for name in one["regimes"]]
        maxima = [one["maximum"]] + [REGIMES[name][1] for name in one["regimes"]]
        there = [most for most in maxima if most is not None]
        least, most = max(minima), min(there, default=None)
        if most is not None and least > most:
            least = most = least if one["keep"] == "minimum" else most
        what = "content" if one["expires"] == "content" else "sections"
        return Limits(least, most, what, known)

    def over(self, day: str, days: int) -> bool:
        """Whether so many whole days after a day are over."""
        end = datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1 + days)
        return self.now >= end

    def plan(self, **more: Any) -> list[Line]:
        """The plan of now."""
        now = f"{self.now:%Y-%m-%dT%H:%M:%S}.000000Z"
        return list(plan(self.stocks, self.config, now, self.holds, **more))

    def holds(self, bucket: Bucket) -> set[int]:
        """Held records of a bucket."""
        return {index for index in self.held if self.items[index].bucket == bucket}

    @invariant()
    def nothing_may_go_too_early_and_nothing_late_is_passed_over(self) -> None:
        """Both promises, for each record."""
        lines = {line.bucket: line for line in self.plan()}
        soon = {line.bucket: line for line in self.plan(due_only=True)}
        expected = Late()
        for bucket in {item.bucket for item in self.items.values()}:
            limits = self.limits(bucket.retention_class)
            there = {
                index for index, item in self.items.items()
                if item.bucket == bucket and item.has(limits.what)
            }  # fmt: skip
            assert (bucket in lines) == bool(there), "in the plan is what there is"
            if not there:
                continue
            line = lines[bucket]
            held = there & self.held
            assert (line.stock.left, line.stock.held) == (len(there), len(held))
            if line.may_go:
                for index in there - line.spare:
                    self.allowed(index)
            late_ = limits.maximum is not None and self.over(bucket.day, limits.maximum)
            assert (line.state in ("due", "overdue")) == late_, "what is late is reported as that"
            if late_ and limits.known:
                assert line.goes == bool(there - held), "what is late goes, unless it is held"
            assert (bucket in soon) == (late_ or not limits.known)
            expected = _counted(expected, line, limits, len(there - held), len(held), late_=late_)
        assert late(soon.values()) == late(lines.values()) == expected


def _counted(sums: Late, line: Line, limits: Limits, free: int, held: int, *, late_: bool) -> Late:
    """The sums with one bucket more; when it was due is taken from the line."""
    unknown = sums.unknown_buckets + (not limits.known)
    if not late_:
        return sums._replace(unknown_buckets=unknown)
    more = line.state == "overdue"
    return Late(
        sums.due_buckets + bool(free), sums.due_records + free,
        sums.overdue_buckets + bool(free and more), sums.overdue_records + free * more,
        sums.held_records + held, unknown,
        min(line.due, sums.oldest or line.due) if free else sums.oldest,
    )  # fmt: skip


FAST = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestRetention = RetentionMachine.TestCase
TestRetention.settings = FAST


@pytest.mark.slow
def test_retention_through_long_lives() -> None:
    """The same, for longer."""
    run_state_machine_as_test(
        RetentionMachine, settings=settings(max_examples=80, stateful_step_count=50, deadline=None)
    )


_AFTER = retention._after
_TERMS = retention.terms


def _keeping(config: Config, name: str) -> retention.Terms:
    """Decides each contradiction for the minimum."""
    terms = _TERMS(config, name)
    return terms if terms.decision is None else _of(terms, terms.minimum.days, terms.minimum.days)


def _shortest(config: Config, name: str) -> retention.Terms:
    """The class's own minimum, whatever its regimes want."""
    terms = _TERMS(config, name)
    own = config.retention.classes.get(terms.kept.name)
    least = 0 if own is None else days_of(own.minimum or "0d")
    return _of(terms, min(least, terms.kept.minimum), terms.kept.maximum)


def _longest(config: Config, name: str) -> retention.Terms:
    """The longest maximum where there are several."""
    terms = _TERMS(config, name)
    two = terms.maximum is not None and "gdpr-cap-24m" in terms.kept.regimes
    return _of(terms, terms.kept.minimum, 730 if two else terms.kept.maximum)


def _of(terms: retention.Terms, minimum: int, maximum: int | None) -> retention.Terms:
    return terms._replace(kept=terms.kept._replace(minimum=minimum, maximum=maximum))


MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "a day counts from its beginning": (retention, "_after", lambda day, n: _AFTER(day, n - 1)),
    "a day more": (retention, "_after", lambda day, n: _AFTER(day, n + 1)),
    "the shortest minimum": (retention, "terms", _shortest),
    "the longest maximum": (retention, "terms", _longest),
    "holds are not looked at": (Line, "may_go", property(lambda line: line.stock.left)),
    "unknown classes go": (
        Line, "may_go",
        property(lambda one: 0 if one.state == "minimum" else one.stock.left - one.stock.held),
    ),
    "minimum is not looked at": (
        Line, "may_go", property(lambda one: one.known and one.stock.left - one.stock.held)
    ),
    "nothing is ever due": (retention, "due", lambda *_: False),
    "what is due is not counted": (planning, "late", lambda _: Late()),
    "everything counts as content": (
        stocktaking, "_GOES", {"content": 0xFF, "sections": 0xFF}
    ),
    "what was taken is still there": (wraps, "live_kinds", lambda _: 0xFF),
    "a decision always keeps the minimum": (retention, "terms", _keeping),
}  # fmt: skip


def _caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the model with a mutant: it has to fail."""
    where, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutant)
    if attribute == "late":
        monkeypatch.setitem(globals(), "late", mutant)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            RetentionMachine,
            settings=settings(
                max_examples=400, stateful_step_count=30, deadline=None, database=None,
                phases=[Phase.generate], derandomize=True, report_multiple_bugs=False,
            ),
        )  # fmt: skip


QUICK = ("a day counts from its beginning", "holds are not looked at", "minimum is not looked at")


@pytest.mark.parametrize("name", QUICK)
def test_the_model_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mutant is caught within a few lives."""
    _caught(name, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(MUTANTS) - set(QUICK)))
def test_the_model_notices_rarer_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the others, too."""
    _caught(name, monkeypatch)
