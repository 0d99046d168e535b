"""The plan: what may go and what should, by class, day and hold."""

from pathlib import Path

import pytest

from affidavit.config import Config, parse
from affidavit.retention import kept
from affidavit.vault.retention import Late, Line, late, plan, state_of
from affidavit.vault.segments import Bucket
from affidavit.vault.stocktaking import Stocktaking
from tests.unit.vault.test_stocktaking import Keys, entry, flipped, write

CONFIG = parse(
    """
retention:
  default_class: short
  classes:
    short: {maximum: 10d}
    long:  {minimum: 10d, maximum: 20d, expires: sections}
    ever:  {minimum: 5d}
""",
    {},
    "c",
)
DAY = "2026-01-01"


def planned(root: Path, now: str, config: Config = CONFIG, **more: object) -> dict[str, Line]:
    """The plan by class."""
    lines = plan(Stocktaking(root, Keys()), config, now, **more)  # type: ignore[arg-type]
    return {line.bucket.retention_class: line for line in lines}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A vault with a bucket of each class, and of one that is not configured."""
    for number, name in enumerate(("short", "long", "ever", "old", "ledger"), 1):
        entries = [entry(0), entry(1), entry(2, content=False)]
        write(tmp_path, Bucket("acme", name, DAY), number, entries)
    return tmp_path


@pytest.mark.parametrize(
    ("now", "state"),
    [
        ("2026-01-11T23:59:59.999999Z", "minimum"), ("2026-01-12T00:00:00.000000Z", "kept"),
        ("2026-01-21T23:59:59.999999Z", "kept"), ("2026-01-22T00:00:00.000000Z", "due"),
        ("2026-01-22T23:59:59.999999Z", "due"), ("2026-01-23T00:00:00.000000Z", "overdue"),
    ],
)  # fmt: skip
def test_a_bucket_goes_through_its_states_at_midnight(now: str, state: str) -> None:
    """Of a minimum of 10 days and a maximum of 20."""
    assert state_of(kept(CONFIG, "long"), DAY, now) == state


def test_one_day_is_not_called_days(root: Path) -> None:
    """Kept for at most one, at least one, over one."""
    config = parse("retention: {classes: {short: {maximum: 1d}, long: {minimum: 1d}}}", {}, "c")
    found = planned(root, "2026-01-02", config)
    assert found["short"].why == "To be kept 1 day at most."
    assert found["long"].why == "To be kept 1 day at least."
    assert planned(root, "2026-01-09", config)["short"].why == "Over its maximum of 1 day."


def test_each_line_says_when_what_and_how_much(root: Path) -> None:
    """The dates, what goes of a record, and how many records have any of it."""
    found = planned(root, "2026-01-12")
    assert set(found) == {"short", "long", "ever", "old", "ledger"}
    short, long = found["short"], found["long"]
    assert (short.state, short.what, short.removable, short.due) == (
        "due", "content", "2026-01-01", "2026-01-12",
    )  # fmt: skip
    assert (short.stock.records, short.stock.left, short.may_go, short.goes) == (3, 2, 2, True)
    assert (long.state, long.what, long.removable, long.due) == (
        "kept", "sections", "2026-01-12", "2026-01-22",
    )  # fmt: skip
    assert (long.stock.left, long.may_go, long.goes) == (3, 3, False)
    assert (found["ever"].due, found["ever"].state) == ("", "kept")
    assert found["ledger"].why == "No maximum."
    assert long.why == "To be kept 20 days at most."
    assert planned(root, "2026-01-02")["long"].why == "To be kept 10 days at least."
    assert planned(root, "2026-01-02")["long"].may_go == 0


def test_a_class_that_is_not_configured_is_told_and_stays(root: Path) -> None:
    """However old it is: nobody knows how long it has to be kept."""
    old = planned(root, "2036-01-01")["old"]
    assert (old.known, old.kept.name, old.state) == (False, "short", "overdue")
    assert (old.may_go, old.goes) == (0, False)
    assert "does not name this class" in old.why


def test_what_is_held_is_spared_and_told(root: Path) -> None:
    """Part of a bucket, and all of it."""
    held = {"short": {0, 77}, "long": {0, 1, 2}}
    found = planned(root, "2026-02-01", held=lambda bucket: held.get(bucket.retention_class, set()))
    assert (found["short"].may_go, found["short"].goes) == (1, True)
    assert found["short"].spare == {0, 77}
    assert found["short"].why == "Over its maximum of 10 days; 1 held."
    assert (found["long"].may_go, found["long"].goes) == (0, False)
    assert found["long"].why == "Over its maximum of 20 days; all of it is held."
    assert late(found.values()) == Late(2, 3, 2, 3, 4, 1, "2026-01-12")


def test_due_only_leaves_out_what_nobody_has_to_look_at(root: Path) -> None:
    """But not what is of an unknown class."""
    assert set(planned(root, "2026-01-12", due_only=True)) == {"short", "old"}
    assert set(planned(root, "2026-01-03", due_only=True)) == {"old"}
    due = late(planned(root, "2026-01-12", due_only=True).values())
    assert due == Late(2, 4, 0, 0, 0, 1, "2026-01-12")


def test_what_is_gone_is_in_no_plan(root: Path) -> None:
    """Neither the bucket whose key was destroyed, nor one without content if only that goes."""
    keys = Keys()
    keys.destroyed |= {1, 2}
    lines = list(plan(Stocktaking(root, keys), CONFIG, "2026-02-01"))
    assert [line.bucket.retention_class for line in lines] == ["ever", "ledger", "old"]
    write(root, Bucket("b", "short", DAY), 9, [entry(0, content=False)])
    assert len(list(plan(Stocktaking(root, keys), CONFIG, "2026-02-01"))) == 3


def test_what_is_damaged_is_told_and_stays(root: Path) -> None:
    """What it has is counted as far as it is told apart, and whoever may mend it is told."""
    (path,) = Bucket("acme", "short", DAY).directory(root).glob("*.wraps")
    flipped(path, 50)
    found = planned(root, "2026-02-01", due_only=True)
    line = found["short"]
    assert (line.stock.left, line.stock.damaged, line.state) == (2, 1, "overdue")
    assert (line.may_go, line.goes) == (2, True), "whoever takes it away meets the damage"
    assert line.why.startswith("Damaged: ")
    assert late(found.values()).damaged_buckets == 1
    assert planned(root, "2026-01-01")["short"].why.startswith("Damaged: ")
