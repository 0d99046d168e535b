"""What records say in words: what was asked and why, what changed, what was refused."""

from typing import Any

import pytest

from affidavit.index.project import project, viewed
from affidavit.query import boundary, compare, wording
from affidavit.query.boundary import Boundary
from affidavit.query.search import Searcher
from affidavit.query.session import Line, narrative
from affidavit.query.tree import All, Match
from tests.unit.index.made import WHO, World, placed

OWNER = boundary.owner("act_owner")


def told(
    kind: str, sections: dict[str, Any], seen_by: Boundary = OWNER
) -> tuple[str, wording.Details]:
    """Sentence and details of a record of this type."""
    item = placed(0, kind, sections)
    view = viewed(item)
    entry = project(view, None)
    assert entry is not None
    shown = wording.visible(seen_by, view.sections)
    return wording.sentence(entry.row, shown, seen_by), wording.details(kind, shown)


def test_a_question_says_what_was_asked_and_why() -> None:
    """Expression, purpose and rows of an ``access.query``."""
    what = {
        "operation": "query",
        "expression": 'model:gpt-4o "hmac:x"',
        "rows": 12,
        "view": "records",
    }
    text, details = told("access.query", {"who": WHO | {"purpose": "ticket 7"}, "what": what})
    assert text == 'Asked the records a question: model:gpt-4o "hmac:x" (12 rows).'
    assert details["question"] == what["expression"]
    assert (details["purpose"], details["rows"]) == ("ticket 7", 12)


def test_a_question_about_everything_is_one() -> None:
    """The empty expression has a word."""
    what = {"operation": "query", "expression": "", "rows": 1}
    assert told("access.query", {"what": what})[0].endswith("question: everything (1 row).")


def test_a_look_a_reveal_and_an_export_say_what_they_gave() -> None:
    """The name looked at; the reason and parts of a reveal; the manifest of an export."""
    what: dict[str, Any] = {"operation": "show", "kind": "session", "name": "ses_1", "rows": 4}
    assert told("access.query", {"what": what})[0] == "Looked at session ses_1 (4 rows)."
    what = {
        "operation": "reveal", "reason": "incident 4711", "rows": 1,
        "records": [{"id": "0199", "index": 3, "parts": ["request.body"]}],
    }  # fmt: skip
    text, details = told("access.reveal", {"what": what})
    assert text == "Revealed content (1 row): incident 4711."
    assert details["revealed"] == ["#3 0199: request.body"]
    what = {"operation": "export", "expression": "model:m", "manifest": "abc", "rows": 7,
            "withhold": ["person"], "content": "full"}  # fmt: skip
    text, details = told("access.export", {"what": what})
    assert text == "Exported evidence: model:m (7 rows)."
    assert (details["manifest"], details["withheld"], details["content"]) == (
        "abc", ["person"], "full",
    )  # fmt: skip


def test_an_approval_and_a_read_under_it_say_why() -> None:
    """What was asked for, or broken, until when; and the read names it."""
    what: dict[str, Any] = {
        "operation": "break_glass", "phase": "begun", "reason": "fire", "boundary": "narrow",
        "until": "2026-11-23T13:00:00.000000Z",
    }  # fmt: skip
    assert wording.details("approval.granted", {"what": what}) == what
    asked = {
        "operation": "reveal",
        "reason": "fire",
        "records": ["0199"],
        "boundary": {"role": "x"},
    }
    assert wording.details("approval.requested", {"what": asked}) == {
        "operation": "reveal", "reason": "fire", "records": ["0199"],
    }  # fmt: skip
    read = {"operation": "query", "boundary": {"break_glass": "0199b"}, "approval": "0199a"}
    told = wording.details("access.query", {"what": read})
    assert (told["break_glass"], told["approval"]) == ("0199b", "0199a")


def test_a_key_that_is_made_does_not_look_like_one_that_is_revoked() -> None:
    """The verb says which."""
    what = {"key": "key_1", "change": "created", "role": "caller", "team": "first"}
    assert told("change.key", {"what": what})[0] == (
        "Created the key key_1 (role caller, team first)."
    )
    text, details = told("change.key", {"what": what | {"change": "revoked", "team": ""}})
    assert text == "Revoked the key key_1 (role caller)."
    assert details["change"] == "revoked"
    whose = {"what": what | {"actor": "act_carol"}}
    assert told("change.key", whose)[0].endswith("(role caller, team first) for act_carol.")
    named = whose | {"person": {"name": "Carol"}}
    assert told("change.key", named)[0].endswith("(role caller, team first) for Carol.")


def test_a_copy_of_all_keys_is_no_change_of_one() -> None:
    """What undoes erasures is not told as anything less."""
    what = {"key": "key-encryption key", "change": "copied"}
    assert told("change.key", {"what": what})[0] == (
        "Copied all keys into a backup (--with-keys), at the machine itself."
    )


def test_a_change_of_the_configuration_names_every_value_that_differs() -> None:
    """Before and after, in dots; what stayed is not told."""
    before = {"gateway": {"workers": 2, "port": 8787}, "providers": {"a": {"base_url": "x"}}}
    after = {"gateway": {"workers": 4, "port": 8787}, "providers": {}}
    text, details = told("change.config", {"what": {"before": before, "after": after}})
    assert details["changed"] == [
        "gateway.workers: 2 → 4", "providers.a.base_url: x → nothing",
    ]  # fmt: skip
    assert text == "Changed the configuration: gateway.workers: 2 → 4 and 1 more."
    text, details = told("change.config", {"what": {"before": None, "after": after}})
    assert text == "Put the configuration in force on record."
    assert "changed" not in details


def test_a_refusal_says_status_path_cause_and_count() -> None:
    """Of the gateway and of the console alike."""
    error = {"code": "refused.unauthenticated", "message": "This key is not known here."}
    text, details = told("access.denied", {
        "what": {"http.request.method": "POST", "url.path": "/openai/v1/x", "count": 25,
                 "window": {"from": "a", "until": "b"}},
        "outcome": {"outcome": "denied", "http.response.status_code": 401, "error": error},
    })  # fmt: skip
    assert text == (
        "Was refused 25 times with HTTP status 401 at POST /openai/v1/x: "
        "This key is not known here."
    )
    assert details == {
        "status": 401, "path": "POST /openai/v1/x", "cause": error["message"],
        "code": error["code"], "count": 25, "window": "a to b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"code": "upstream.unreachable", "message": "x.test is not a known name."},
         "M could not be reached: x.test is not a known name."),
        ({"code": "upstream.timeout", "message": "It sent nothing for 3 seconds."},
         "M did not answer: It sent nothing for 3 seconds."),
        ({}, "M did not answer: the provider failed with HTTP status 502."),
    ],
)  # fmt: skip
def test_a_provider_that_failed_is_said_with_its_cause(error: dict[str, Any], text: str) -> None:
    """Whether it was reached at all, and no status of ours as if it were the provider's."""
    sections = {
        "what": {"gen_ai.response.model": "M", "response_made_by": "gateway"},
        "outcome": {"outcome": "upstream_error", "http.response.status_code": 502, "error": error},
    }
    found, details = told("exchange.response", sections)
    assert found == text
    assert details["answered_by"] == "the gateway, not the provider"


@pytest.mark.parametrize(
    ("known", "text"),
    [({"bytes_received": 0}, "what was delivered is kept"),
     ({}, "how much was delivered is not known")],
)  # fmt: skip
def test_an_interrupted_answer_is_kept_only_where_there_was_a_journal(
    known: dict[str, Any], text: str
) -> None:
    """Without one nobody knows what was delivered, and nothing of it is there."""
    sections = {
        "what": {"gen_ai.request.model": "m"},
        "outcome": {"outcome": "interrupted"} | known,
    }
    said, _ = told("exchange.response", sections)
    assert said == f"m was answering when the gateway stopped; {text}."


def test_a_call_that_names_no_model_shows_its_path() -> None:
    """The list of models, for one."""
    what = {"api": "models", "http.request.method": "GET", "url.path": "/v1/models"}
    assert told("exchange.request", {"what": what})[0] == "Called GET /v1/models."
    assert told("exchange.response", {"what": what, "outcome": {"outcome": "complete"}})[0] == (
        "The provider answered."
    )


KINDS = (
    "access.query", "access.export", "access.reveal", "access.denied", "access.tail", "change.key",
    "change.config", "change.identity", "change.model", "ledger.gap", "ledger.key",
    "exchange.request", "exchange.response",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_boundary_nothing_is_said(kind: str) -> None:
    """Whatever a record holds, a reader without its sections gets none of its words."""
    word = "canaryword"
    names = (
        "expression", "name", "reason", "manifest", "url.path", "key", "actor", "role", "vkey",
        "gen_ai.request.model", "change", "code", "purpose", "operation", "http.request.method",
    )  # fmt: skip
    facts = dict.fromkeys(names, word)
    sections = {
        "who": {"tenant": word, "purpose": word, "actor": word},
        "what": {**facts, "after": {"x": word}, "before": {"x": "y"}, "records": [{"id": word}]},
        "outcome": {"outcome": "upstream_error", "error": {"message": word, "code": word}},
    }
    nothing = Boundary("act", "odd", All(), frozenset(), "never")
    assert word not in str(told(kind, sections, nothing))
    assert word in str(told(kind, sections))


@pytest.mark.parametrize("value", [None, 7, True, [], [1], {}, {"a": 1}, "x" * 9_999])
def test_odd_values_are_left_out_or_cut(value: Any) -> None:
    """A record of any content is told in a line of bounded length."""
    names = ("expression", "rows", "name", "records", "withhold", "count", "window", "before",
             "after", "key", "change", "reason", "operation", "url.path")  # fmt: skip
    for kind in KINDS:
        text, details = told(
            kind, {"what": dict.fromkeys(names, value), "outcome": {"error": value}}
        )
        assert len(text) < 2_000
        assert all(len(str(part)) < 2_000 for part in details.values())


def test_lines_and_exchanges_carry_what_a_record_says(searcher: Searcher, office: World) -> None:
    """``show`` has details, and a page for people has a sentence for what is no exchange."""
    (line,) = narrative(searcher, "#6", OWNER).lines
    assert isinstance(line, Line)
    assert line.details == {"count": 3}
    found = searcher.exchanges(Match("type", "change.model"), OWNER).exchanges
    assert [one.text for one in found] == ["Changed model:gpt-4o."]
    (asked, *_) = searcher.exchanges(Match("actor", "act_bob"), OWNER).exchanges
    assert asked.text is None


def test_an_object_that_was_filled_is_told_by_what_is_in_it() -> None:
    """Not as ``{} → nothing``, nor the other way when it is emptied."""
    empty: dict[str, Any] = {"boundaries": {}}
    full = {"boundaries": {"support": {"persons": 2}}}
    filled = wording.changes({"before": empty, "after": full})
    assert filled == ["boundaries.support.persons: nothing → 2"]
    emptied = wording.changes({"before": full, "after": empty})
    assert emptied == ["boundaries.support.persons: 2 → nothing"]
    assert wording.changes({"before": {}, "after": empty}) == ["boundaries: nothing → {}"]


def test_an_approval_says_of_what_and_why() -> None:
    """A reveal that was asked for, granted and refused; with the reason that was stated."""
    what: dict[str, Any] = {"operation": "reveal", "reason": "incident 7", "records": ["a", "b"]}
    said = {
        "approval.requested": "Asked for a reveal of 2 records: incident 7.",
        "approval.granted": "Granted a reveal of 2 records: incident 7.",
        "approval.denied": "Refused a reveal of 2 records: incident 7.",
    }
    assert {kind: told(kind, {"what": what})[0] for kind in said} == said


def test_the_release_of_a_hold_and_an_erasure_are_no_reveals() -> None:
    """What the second person was asked is named: which hold or erasure, of what, how much."""
    release: dict[str, Any] = {"operation": "release", "reason": "settled", "matter": "Doe",
                               "target": {"kind": "release", "name": "h1"}}  # fmt: skip
    assert told("approval.granted", {"what": release})[0] == (
        "Granted the release of the hold h1 (Doe): settled."
    )
    erase: dict[str, Any] = {"operation": "erase", "reason": "Art. 17", "records": 7,
                             "of": "act_1", "target": {"kind": "erase", "name": "e1"}}  # fmt: skip
    text, details = told("approval.requested", {"what": erase})
    assert text == "Asked for the erasure e1 (7 records of act_1): Art. 17."
    assert (details["records"], details["of"]) == (7, "act_1")
    del erase["records"], erase["of"]  # as older decisions are recorded
    assert told("approval.denied", {"what": erase})[0] == "Refused the erasure e1: Art. 17."
    assert told("approval.denied", {"what": {"operation": "other"}})[0] == (
        "Refused what another person has to grant."
    )


def test_an_erasure_says_of_what_and_how_much() -> None:
    """Of a person, an expression, a class; who asked and granted; and what was pruned."""
    of = {"kind": "subject", "of": "act_1", "erased": "person", "counts": {"records": 7}}
    assert told("retention.erased", {"what": of})[0] == (
        "Content and person were erased, of the person act_1 (7 records)."
    )
    of = {"kind": "expression", "of": "model:m", "erased": "content", "counts": {"records": 1},
          "asked_by": "act_1", "approved_by": "act_2"}  # fmt: skip
    assert told("retention.erased", {"what": of})[0] == (
        "Content was erased, of model:m (1 record): asked by act_1, granted by act_2."
    )
    of = {"kind": "release", "matter": "Doe", "counts": {"records": 3}, "asked_by": "act_1"}
    assert told("retention.erased", {"what": of})[0] == (
        "What only a hold (Doe) had kept was erased, as it was released (3 records)."
    )
    of = {"erased": "content", "day": "2026-01-01", "counts": {"records": 2},
          "target": {"kind": "class", "name": "short"}}  # fmt: skip
    assert told("retention.expired", {"what": of})[0] == (
        "Content expired of class short, of 2026-01-01 (2 records)."
    )
    pruned = {"what": {"pruned": {"first": 0, "before": 9}, "policy": {"prune_after_days": 1}}}
    assert told("retention.expired", pruned)[0] == "Leaves were pruned, those before leaf 9."


def test_a_gap_says_when_and_why() -> None:
    """Both ends, where they are known."""
    what = {"start": "a", "end": "b", "reason": "It broke."}
    text = told("ledger.gap", {"what": what})[0]
    assert text == "From a to b something could not be recorded: It broke."
    text = told("ledger.gap", {"what": what | {"start": "unknown"}})[0]
    assert text == "Until b something could not be recorded: It broke."


def test_a_broken_glass_is_no_approval_and_its_end_neither() -> None:
    """Both are of the type ``approval.granted``; the sentence tells them apart."""
    what = {"operation": "break_glass", "phase": "begun", "reason": "fire", "boundary": "two"}
    begun = told("approval.granted", {"what": what})[0]
    assert begun == "Broke the glass of the boundary two: fire."
    ended = told("approval.granted", {"what": what | {"phase": "ended"}})[0]
    assert ended == "Ended the broken glass of the boundary two."


def test_giving_up_says_so() -> None:
    """An identity that gave up ownership."""
    what = {"identity": "key_1", "change": "given_up", "before": {"role": "owner"},
            "after": {"role": "administrator"}}  # fmt: skip
    assert told("change.identity", {"what": what})[0] == "Gave up ownership: the identity key_1."


def test_values_that_are_no_texts_are_written_as_json() -> None:
    """In changes and in comparisons alike; a text has no quotes."""
    after = {"a": ["x"], "b": True, "c": "text", "d": None}
    assert wording.changes({"before": {"d": 1}, "after": after}) == [
        'a: nothing → ["x"]', "b: nothing → true", "c: nothing → text", "d: 1 → nothing",
    ]  # fmt: skip
    assert [compare._fact(value) for value in (["stop"], False, "stop", 0.5)] == [
        '["stop"]', "false", "stop", "0.5",
    ]  # fmt: skip


def test_what_retention_did_is_told() -> None:
    """Matter, counts, what remains, the certificate; and how long a policy keeps what."""
    text, said = told("retention.held", {"who": WHO, "what": {"hold": "h1", "matter": "Doe"}})
    assert (text, said) == ("A legal hold began: Doe.", {"hold": "h1", "matter": "Doe"})
    left = {"records": 2, "until": "2027-01-01", "why": "the class logs is kept"}
    gone = {"request": "r", "counts": {"records": 4}, "remains": [left], "keys_revoked": ["key_1"],
            "certificate": "log: x\nrecords: 4\n\n— sig\n"}  # fmt: skip
    text, said = told("retention.erased", {"who": WHO, "what": gone})
    assert text == "What is readable was erased (4 records)."
    assert said == {
        "request": "r", "records": 4, "keys_revoked": ["key_1"],
        "remains": ["2 records, until 2027-01-01, the class logs is kept"],
        "certificate": ["log: x", "records: 4", "— sig"],
    }  # fmt: skip
    what = {"target": {"kind": "class", "name": "short"}, "day": "2026-01-01", "erased": "content",
            "policy": {"minimum": 0, "maximum": 2, "regimes": []}}  # fmt: skip
    _, said = told("retention.expired", {"who": WHO, "what": what})
    assert said == {
        "erased": "content", "day": "2026-01-01", "class": "short", "minimum": 0, "maximum": 2,
    }  # fmt: skip
    text, said = told("retention.completed", {"who": WHO, "what": {"certificates": 2}})
    assert (text[:13], said) == ("Nothing waits", {"certificates": 2})
    kept = {"minimum": 183, "maximum": 730, "expires": "content"}
    short = {"minimum": 1, "maximum": 1, "expires": "content"}
    after = {"classes": {"logs": kept, "short": short, "all": {"minimum": 0, "maximum": None}}}
    _, said = told("change.policy", {"what": {"before": None, "after": after}})
    assert said["limits"] == [
        "logs: kept for 183 days at least; content goes after 730 days",
        "short: kept for 1 day at least; content goes after 1 day",
        "all: kept for 0 days at least; no maximum",
    ]
