"""What is written for a writer that is gone."""

from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.errors import CorruptError
from affidavit.ledger import sweep
from affidavit.ledger.leaf import is_incarnation
from affidavit.record import disclose
from affidavit.record.model import SECTIONS, Record
from tests.world.intake import AT, UNKNOWN, make


def _said(record: Record, name: str) -> dict[str, object]:
    text = record.sections[SECTIONS.index(name)]
    assert text is not None
    value = disclose.open_disclosure(text, name)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(
    ("asks", "answers"),
    [("exchange.request", "exchange.response"), ("tool.call", "tool.result")],
)
def test_an_outcome_is_its_requests_and_says_how_much_there_was(asks: str, answers: str) -> None:
    """Interrupted, of the request's chains, tenant and people, with the bytes that are there."""
    request = make(asks, {"request.body": b"q"})
    record, bodies = sweep.interrupted(request, b"half an ans", AT)
    assert (record.type, record.parent, record.tier) == (answers, request.id, "observed")
    assert (record.tenant, record.retention_class) == (request.tenant, request.retention_class)
    assert (record.chains, record.subjects) == (request.chains, request.subjects)
    assert bodies == (b"half an ans",)
    assert disclose.check_part(record.parts[0], bodies[0])
    outcome = _said(record, "outcome")
    assert outcome["outcome"] == "interrupted"
    assert outcome["bytes_delivered"] == 11
    assert "at least 11 bytes delivered" in str(outcome["error"])
    assert _said(record, "who") == _said(request, "who")
    what = _said(record, "what")
    assert what["parent"] == request.id
    assert what["gen_ai.request.model"] == "demo-1"
    assert "x" not in what


def test_without_a_journal_nobody_knows_how_much_there_was() -> None:
    """Interrupted, with no number where none is known, and it says why."""
    record, bodies = sweep.interrupted(make("exchange.request", {}), None, AT)
    outcome = _said(record, "outcome")
    assert (bodies, record.parts, set(outcome)) == ((), (), {"outcome", "error"})
    assert "journal is missing" in str(outcome["error"])
    assert UNKNOWN in str(outcome["error"])


def test_the_same_words_get_another_salt() -> None:
    """Who it was is disclosed anew: two leaves do not show by a digest that they say the same."""
    request = make("exchange.request", {})
    record, bodies = sweep.interrupted(request, b"", AT)
    assert record.sections[0] != request.sections[0]
    assert (record.parts, bodies) == ((), ())
    assert record.sections[SECTIONS.index("content")] is None


def test_a_request_that_says_nothing_readable_is_closed_all_the_same() -> None:
    """Sections that are absent or no disclosures are no reason to leave a request open."""
    request = make("exchange.request", {})
    broken = Record(
        request.id, request.type, AT, "observed", "acme", "default",
        ("rubbish", None, disclose.disclose("what", ["a list"]), None, None, None, None), (),
    )  # fmt: skip
    record, _ = sweep.interrupted(broken, b"x", AT)
    assert record.sections[SECTIONS.index("who")] is None
    assert _said(record, "what") == {"parent": request.id}


def test_gap_and_end_name_the_writer() -> None:
    """Both say whose journal it was, a gap also why."""
    gap = sweep.gap("A" * 22, "w1", "its key does not open", AT)
    ended = sweep.ended("A" * 22, "", AT)
    assert (gap.type, gap.tenant, ended.type) == ("ledger.gap", "", "ledger.ended")
    said = _said(gap, "what")
    assert (said["reason"], said["kind"], said["end"]) == ("its key does not open", "lost", AT)
    assert _said(ended, "what") == {"writer": "A" * 22, "worker": "unknown", "swept": True}


def test_a_refused_record_leaves_a_trace() -> None:
    """In its place stands a gap that names it; a refused answer stays an answer."""
    request = make("exchange.request", {})
    instead = sweep.refused(request, "A leaf is at most 65,535 bytes.", AT)
    assert instead.type == "ledger.gap"
    assert _said(instead, "what")["record"] == request.id
    answer = make("exchange.response", {}, parent=request.id)
    instead = sweep.refused(answer, "no", AT)
    assert (instead.type, instead.parent) == ("exchange.response", request.id)
    assert _said(instead, "outcome")["outcome"] == "interrupted"


def test_a_continuation_is_an_incarnation_and_always_the_same() -> None:
    """Derived from the writer's name alone, of the same form, and different from it."""
    one = sweep.continuation("A" * 22)
    assert is_incarnation(one)
    assert one == sweep.continuation("A" * 22) != sweep.continuation("B" * 21 + "A")
    instead = sweep.in_place_of("A" * 22)
    assert is_incarnation(instead)
    assert instead == sweep.in_place_of("A" * 22) != one


def test_a_fixed_end_is_read_back(tmp_path: Path) -> None:
    """The decision is found again as it was taken; a damaged one is an error, none is None."""
    assert sweep.fixed_end(tmp_path) is None
    sweep.fix_end(Disk(), tmp_path, sweep.End(7, "because", AT))
    assert sweep.fixed_end(tmp_path) == sweep.End(7, "because", AT)
    (tmp_path / "end").write_bytes(b'{"records":7,"gap":"because"}')  # by an earlier release
    assert sweep.fixed_end(tmp_path) == sweep.End(7, "because")
    for bad in (b"", b'{"records":7}', b'{"records":7,"gap":"","more":1}', b"[7]"):
        (tmp_path / "end").write_bytes(bad)
        with pytest.raises(CorruptError):
            sweep.fixed_end(tmp_path)
