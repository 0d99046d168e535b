"""How long classes are kept is on record: at the start that changes it, decisions with it."""

from typing import Any

import apsw
import pytest

from affidavit.app import system
from affidavit.config import Config, parse
from affidavit.errors import ConfigError
from affidavit.record.disclose import open_disclosure
from affidavit.record.model import SECTIONS, Record
from tests.world.clock import FakeClock

DECIDED = """
retention: {classes: {a: {regimes: [hipaa-6y, gdpr-cap-24m],
  conflict: {keep: minimum, reason: "documentation of treatment", decided_by: "the officer"}}}}
"""


def config(text: str) -> Config:
    """The configuration that is this text."""
    return parse(text, {}, "config.yaml")


def start(state: apsw.Connection, made: Config) -> list[Record]:
    """What a start with this configuration says of policies."""
    news = system.pending(
        state,
        FakeClock(),
        made,
        receipt_vkey="r",
        log_vkey="l",
        post_quantum="",
        identities=[],
    )
    for _, name, fact in news:
        system.told(state, name, fact)
    return [record for record, _, _ in news if record.type == "change.policy"]


def what(record: Record) -> Any:
    """The section ``what``."""
    return open_disclosure(record.sections[SECTIONS.index("what")] or "", "what")


def test_nothing_is_told_where_no_class_is_configured() -> None:
    """Defaults are no policy."""
    assert start(apsw.Connection(":memory:"), Config()) == []


def test_a_decided_conflict_is_on_record_with_what_it_decides() -> None:
    """Once; again when anything of it changes, with what was before; and when it is gone."""
    state = apsw.Connection(":memory:")
    (record,) = start(state, config(DECIDED))
    told = what(record)
    assert told["target"] == {"kind": "policy", "name": "retention"}
    assert told["before"] is None
    one = told["after"]["classes"]["a"]
    assert (one["minimum"], one["maximum"], one["expires"]) == (2192, 2192, "content")
    assert one["regimes"] == {"hipaa-6y": "2003-02-20", "gdpr-cap-24m": "2016-04-27"}
    assert one["conflict"] == {
        "keep": "minimum", "reason": "documentation of treatment", "decided_by": "the officer",
        "minimum": "2192 days (hipaa-6y)", "maximum": "730 days (gdpr-cap-24m)",
    }  # fmt: skip
    assert start(state, config(DECIDED)) == []
    (changed,) = start(state, config(DECIDED.replace("keep: minimum", "keep: maximum")))
    assert what(changed)["before"] == told["after"]
    assert what(changed)["after"]["classes"]["a"]["minimum"] == 730
    (gone,) = start(state, Config())
    assert what(gone)["after"] == {"classes": {}, "unnamed": {"a": 730}}
    assert start(state, Config()) == []


SHORT = "retention: {classes: {a: {minimum: 9d MORE}}}"
WHY = ", shortened: {from: 6y, to: 9d, reason: the contract ended, decided_by: the officer}"


def test_a_minimum_gets_shorter_by_a_decision_on_record_alone() -> None:
    """Also where the class was away for a while; a longer one needs no decision."""
    state = apsw.Connection(":memory:")
    system.refuse_shorter(state, config(DECIDED))
    start(state, config(DECIDED))
    system.refuse_shorter(state, config(DECIDED))
    for _ in range(2):
        with pytest.raises(ConfigError, match="2192 days at least, and is now to be kept for 9:"):
            system.refuse_shorter(state, config(SHORT.replace("MORE", "")))
        system.refuse_shorter(state, Config())
        start(state, Config())  # and now without the class for a while
    decided = config(SHORT.replace("MORE", WHY))
    system.refuse_shorter(state, decided)
    (record,) = start(state, decided)
    assert what(record)["after"]["classes"]["a"]["shortened"] == {
        "from": "6y", "to": "9d", "reason": "the contract ended", "decided_by": "the officer",
    }  # fmt: skip
    assert what(record)["before"] == {"classes": {}, "unnamed": {"a": 2192}}
    system.refuse_shorter(state, config(SHORT.replace("MORE", "")))


def test_a_decision_is_about_one_step() -> None:
    """It does not wear on: what gets shorter again needs another one, also after a pause."""
    state = apsw.Connection(":memory:")
    start(state, config(DECIDED))
    decided = config(SHORT.replace("MORE", WHY))
    system.refuse_shorter(state, decided)
    start(state, decided)
    system.refuse_shorter(state, decided)
    less = SHORT.replace("9d", "0d", 1)
    for _ in range(2):
        for text in (WHY, WHY.replace("6y", "9d").replace("to: 9d", "to: 1d"),
                     WHY.replace("to: 9d", "to: 0d")):  # fmt: skip
            with pytest.raises(ConfigError, match="9 days at least, and is now to be kept for 0:"):
                system.refuse_shorter(state, config(less.replace("MORE", text)))
        start(state, Config())
    right = WHY.replace("to: 9d", "to: 0d").replace("6y", "9d")
    system.refuse_shorter(state, config(less.replace("MORE", right)))


def test_the_default_class_is_known_without_being_named() -> None:
    """Taking its limits out of the configuration shortens it, too."""
    state = apsw.Connection(":memory:")
    start(state, config("retention: {classes: {default: {minimum: 1y}}}"))
    with pytest.raises(ConfigError, match=r"classes\.default was kept for 366 days"):
        system.refuse_shorter(state, Config())
