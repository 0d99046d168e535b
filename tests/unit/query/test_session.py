"""Reconstruction: one ordered list of lines, each with the status of its evidence."""

from pathlib import Path

import msgspec
import pytest

from affidavit.errors import CorruptError, NotFoundError
from affidavit.index import reader as reading
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query import boundary
from affidavit.query.search import Searcher
from affidavit.query.session import Line, narrative
from affidavit.query.tree import Match
from affidavit.record.model import View
from tests.unit.index.made import KEY, WHAT, WHO, World, placed, request, response

OWNER = boundary.owner("act_owner")
NOBODY = {name: value for name, value in WHO.items() if name != "session"}
MEMBER = boundary.member("act_alice", "acme", "support")
AUDITOR = boundary.auditor("act_auditor", "acme")


def told(lines: list[Line]) -> list[tuple[int, str, str]]:
    """Place, sentence and evidence of each line."""
    return [(line.index, line.text, line.evidence) for line in lines]


def test_a_session_is_told_in_order_with_changes_and_gaps(searcher: Searcher) -> None:
    """Questions, answers, the change to the model and the gap that fell into it."""
    found = narrative(searcher, "ses_2", OWNER)
    assert (found.kind, found.more, found.as_of.size) == ("session", False, 8)
    assert told(found.lines) == [
        (4, "Asked gpt-4o through chat.completions.", "verified"),
        (5, "Changed model:gpt-4o.", "verified"),
        (6, "In this interval something could not be recorded.", "gap"),
        (7, "gpt-4o-2024-08-06 answered and called search.", "verified"),
    ]
    assert found.lines[0].prompt == "user: tell me a secret"
    assert found.lines[3].output == "no"
    assert (found.lines[3].tokens_in, found.lines[3].tokens_out) == (5, 7)


def test_an_exchange_is_told_by_either_half(searcher: Searcher, office: World) -> None:
    """The id of the request, that of the response, or an index lead to both lines."""
    for name in (office.records[2].record.id, office.records[3].record.id, "#3", "2"):
        found = narrative(searcher, name, OWNER)
        assert (found.kind, [line.index for line in found.lines]) == ("exchange", [2, 3])
    assert "when the caller left" in found.lines[1].text


def test_a_trace_is_told(searcher: Searcher) -> None:
    """A trace id leads to its records."""
    assert [line.index for line in narrative(searcher, "t1", OWNER).lines] == [0, 1]


def test_what_is_not_there_and_what_may_not_be_seen_look_alike(searcher: Searcher) -> None:
    """A name outside the boundary is as unknown as one that never was."""
    for name, reader in (("ses_2", MEMBER), ("#4", MEMBER), ("nothing", OWNER), ("", OWNER)):
        with pytest.raises(NotFoundError):
            narrative(searcher, name, reader)


def test_content_needs_what_the_boundary_says(searcher: Searcher) -> None:
    """A member and an auditor state a reason; a compliance officer never sees content."""
    officer = boundary.compliance("act_officer", "acme")
    for reader, reason, content in (
        (MEMBER, "", "withheld"), (MEMBER, "ticket 7", "shown"), (AUDITOR, "ticket 7", "shown"),
        (AUDITOR, "", "withheld"), (officer, "ticket 7", "withheld"),
    ):  # fmt: skip
        line = narrative(searcher, "ses_1", reader, reason=reason).lines[0]
        assert line.content == content
        assert (line.prompt is not None) == (content == "shown")
        assert line.evidence == "verified"


def test_a_message_is_told_once(searcher: Searcher, office: World) -> None:
    """Agents resend their history; the narrative shows what is new."""
    lines = narrative(searcher, "ses_1", OWNER).lines
    assert [line.prompt for line in lines if line.prompt] == [
        "user: how tall is the tower", "user: and how old",
    ]  # fmt: skip


def test_erased_evidence_is_said_to_be_erased(searcher: Searcher, office: World) -> None:
    """An erased section and erased content each have their word."""
    office.erase(0, "request.body")
    office.erase(1, "what")
    lines = narrative(searcher, "ses_1", OWNER).lines
    assert (lines[0].evidence, lines[0].content) == ("verified", "erased")
    assert lines[1].evidence == "erased"


def test_a_request_without_a_body_has_no_content(office: World, tmp_path: Path) -> None:
    """As a list of models is asked for: nothing was erased, unless its content section was."""
    plain = {"who": WHO, "what": WHAT, "content": {"parts": []}}
    office.records += [
        placed(8, "exchange.request", plain), response(9, 8, what={"api": "models"}),
        placed(10, "exchange.request", plain),
    ]  # fmt: skip
    office.erase(10, "content")
    (tmp_path / "more").mkdir()
    indexer = Indexer(tmp_path / "more", KEY)
    indexer.start()
    indexer.apply(office.records, office.size, office.root(office.size))
    indexer.settle()
    reader = Reader(tmp_path / "more", KEY)
    again = Searcher(reader, office)
    for reader_, shown in ((OWNER, "shown"), (AUDITOR, "withheld")):
        lines = {line.index: line for line in narrative(again, "ses_1", reader_).lines}
        found = [(lines[index].evidence, lines[index].content) for index in (8, 9, 10)]
        assert found == [("verified", "none"), ("verified", shown), ("erased", "erased")]
        listed = again.exchanges(Match("session", "ses_1"), reader_).exchanges
        assert [one.content for one in listed][:2] == ["erased", shown]
    reader.close()
    indexer.close()


def test_what_is_missing_is_not_called_erased(searcher: Searcher, office: World) -> None:
    """A section that nobody erased, content, and one beside what was erased; each has a problem."""
    office.lose(0, "request.body")
    office.lose(1, "what")
    office.erase(2, "what")
    office.lose(2, "content", "request.body")
    office.erase(3, "what")
    lines = narrative(searcher, "ses_1", OWNER).lines
    assert [(line.evidence, line.content) for line in lines][:4] == [
        ("verified", "missing"), ("missing", "shown"), ("missing", "missing"), ("erased", "shown"),
    ]  # fmt: skip
    told = [str(line.details.get("problem", "")) for line in lines][:4]
    assert ["nothing says that it was erased" in one for one in told] == [True, True, True, False]
    found = searcher.exchanges(Match("session", "ses_1"), OWNER).exchanges
    assert [one.content for one in found][-2:] == ["missing", "missing"]


def test_damage_is_a_word_in_the_answer_not_its_end(searcher: Searcher, office: World) -> None:
    """A record that is not what was recorded is named; the others are told all the same."""

    class Damaged:
        def view(self, index: int, tenant: str | None = None) -> View:
            if index == 2:
                raise CorruptError("request.body of record 2 is not what was recorded.")
            if index == 3:
                raise NotFoundError("not published yet")
            return office.view(index)

        def missing(self, index: int, tenant: str | None = None) -> dict[str, str]:
            return office.missing(index)

    lines = narrative(Searcher(searcher.reader, Damaged()), "ses_1", OWNER).lines
    assert [(line.evidence, line.content) for line in lines][:4] == [
        ("verified", "shown"), ("verified", "shown"), ("corrupt", "corrupt"),
        ("unchecked", "pending"),
    ]  # fmt: skip


def test_without_a_vault_nothing_is_called_verified(searcher: Searcher) -> None:
    """Evidence nobody looked at is unchecked."""
    lines = narrative(Searcher(searcher.reader, None), "ses_1", OWNER).lines
    assert {line.evidence for line in lines} == {"unchecked"}
    assert lines[0].prompt is None


def test_facts_outside_the_boundary_are_withheld(searcher: Searcher) -> None:
    """A reader without who, what and outcome sees that something happened, and when."""
    nothing = boundary.Boundary("act", "odd", OWNER.rows, frozenset(), "never")
    with pytest.raises(NotFoundError):
        narrative(searcher, "ses_1", nothing)
    (line, _) = narrative(searcher, "#1", nothing).lines
    assert (line.evidence, line.actor, line.model, line.outcome) == (
        "withheld", None, None, None,
    )  # fmt: skip
    assert line.text == "Asked the model."


def test_a_narrative_ends_where_it_has_told_enough(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content is never all held at once, however long a session was; what is left out is said."""
    monkeypatch.setattr("affidavit.query.session.MAX_CHARACTERS", 30)
    shown = narrative(searcher, "ses_1", OWNER)
    assert ([line.index for line in shown.lines], shown.more) == ([0, 1], True)
    assert shown.lines[-1].output == "three hundred metres"
    withheld = narrative(searcher, "ses_1", AUDITOR)
    assert (len(withheld.lines), withheld.more) == (5, False)


def test_a_part_that_is_gone_is_not_passed_over(
    searcher: Searcher, office: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one part of several is missing, what is left is shown and the line says so."""
    given = office.view

    def short(index: int, tenant: str | None = None) -> View:
        view = given(index)
        listed = {"parts": [*view.sections["content"]["parts"], {"name": "request.masked"}]}
        return msgspec.structs.replace(view, sections=view.sections | {"content": listed})

    monkeypatch.setattr(office, "view", short)
    lines = narrative(searcher, "#0", OWNER).lines
    assert [(line.evidence, line.content) for line in lines] == [("verified", "erased")] * 2
    assert lines[0].prompt == "user: how tall is the tower"


def test_a_session_of_thousands_of_models_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many models a caller names, its session is shown, with what changed of them."""
    monkeypatch.setattr(reading, "SECONDS", 100.0)  # it takes more than 10 on a busy machine
    records = [
        request(place, "hello", what={"gen_ai.request.model": f"m{place}"})
        for place in range(1_100)
    ]
    target = {"kind": "model", "name": "m1040"}
    records[1_050] = placed(1_050, "change.model", {"who": NOBODY, "what": {"target": target}})
    world = World(records)
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records, world.size, world.root(world.size))
    indexer.settle()
    reader = Reader(tmp_path, KEY)
    lines = narrative(Searcher(reader, None), "ses_1", OWNER).lines
    assert [line.index for line in lines] == list(range(1_100))
    reader.close()
    indexer.close()
