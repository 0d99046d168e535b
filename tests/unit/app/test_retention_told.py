"""How long classes are kept is on record: at the start that changes it, decisions with it."""

from typing import Any

import apsw

from affidavit.app import system
from affidavit.config import Config, parse
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
    assert what(gone)["after"] == {"classes": {}}
    assert start(state, Config()) == []
