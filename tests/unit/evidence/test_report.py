"""The page for people: what it shows, and what no content makes it do."""

import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.evidence import bundle, report_page, report_story, verify
from affidavit.evidence.bundle import Choice, Sample
from affidavit.record.model import Chain
from tests.attacks.world import World, by_model, members
from tests.unit.evidence import nasty

TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "pre", "table", "tr",
    "th", "td", "thead", "tbody", "colgroup", "col", "span", "bdi", "br", "div", "section", "ul",
    "li",
}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "dir", "width"}
HOSTILE = "<script>alert(1)</script>\u202e\x1b[2J\"'><img src=x onerror=alert(1)>&amp;"


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A ledger in which everything a caller can name is hostile."""
    made = World(tmp_path_factory.mktemp("report") / "log")
    body = b'{"messages":[{"role":"user","content":"' + b"".join(
        b"\\u%04x" % ord(character) for character in HOSTILE
    ) + b'"}]}'  # fmt: skip
    made.exchange(model=HOSTILE, body=body, who={"actor": HOSTILE, "tenant": "acme"})
    made.exchange()
    made.add("change.prompt", body=None)
    yield made
    made.close()


def page(world: World, model: str, content: str = "full") -> str:
    """The report of a bundle."""
    made = world.bundle(by_model(model), Choice(content=content))  # type: ignore[arg-type]  # cases
    return members(made.data)["report.html"].decode()


def test_hostile_content_stays_text(world: World) -> None:
    """No tag, attribute or invisible character of a prompt or name reaches the page as such."""
    text = page(world, HOSTILE)
    found = Page(text)
    assert set(found.tags) <= TAGS
    assert {name for name, _ in found.attributes} <= ATTRIBUTES
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "U+202E" in found.text
    assert "<script>alert(1)</script>" in found.text


def test_the_policy_allows_the_style_and_nothing_else(world: World) -> None:
    """The content security policy is strict, and its hash is that of the page's style."""
    import base64
    import hashlib

    text = page(world, "gpt-a")
    policy = dict(Page(text).attributes)["content"]
    policy = next(
        value for name, value in Page(text).attributes if value and "default-src" in value
    )
    assert policy.startswith("default-src 'none'")
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert not re.search("https?:|//", text)


def test_the_page_tells_the_story(world: World) -> None:
    """Question, verdict, records with actor and outcome, what was said, and how to check."""
    found = Page(page(world, "gpt-a")).text
    for expected in (
        "model:gpt-a", "Integrity", "Completeness", "Assurance", "Coverage", "own key only",
        "act_alice", "complete", "hello", "exchange.response", "change.prompt",
        "python3 -I verify.py", "--manifest", "This page is not evidence", "Glossary",
        "Nobody but the log itself vouches for this history.", "What was withheld, and why",
    ):  # fmt: skip
        assert expected in found, expected


def test_what_is_withheld_is_said(world: World) -> None:
    """The page counts the sections that are not shown, and shows no content."""
    made = world.bundle(by_model(), Choice(withhold=("who",), content="none"))
    text = members(made.data)["report.html"].decode()
    found = Page(text).text
    rows = re.findall(r'<tr><td dir="auto">(who|content)</td><td dir="auto">(\d+)</td>', text)
    assert [name for name, _ in rows] == ["who", "content"]
    assert found.count("left out by the exporter") == 2
    assert "No content is shown in this bundle." in found
    assert "act_alice" not in found


def test_long_answers_are_cut_and_say_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the page says how many records it does not list."""
    monkeypatch.setattr(report_story, "MAX_ROWS", 1)
    assert "2 more records are in the bundle" in Page(page(world, "gpt-a")).text


@given(st.text())
def test_visible_text_has_no_tricks(text: str) -> None:
    """Whatever the text: no markup, and no character that hides or turns text around."""
    shown = report_page.visible(text)
    assert re.sub(r'<span class="c">U\+[0-9A-F]{4,6}</span>', "", shown).count("<") == 0
    tricks = [*range(9), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0xFEFF, 0x3164]
    assert not set(shown) & set(map(chr, tricks))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("pay\u200dpal", 'pay<span class="c">U+200D</span>pal'), ("👩\u200d👧", "👩\u200d👧"),
     ("Z" + "\u0301" * 9, "Z" + "\u0301" * 4), ("a\nb", "a\nb"), ("\u2066", '<span class="c">'),
     ("می\u200cخواهم", "می\u200cخواهم")],
)  # fmt: skip
def test_what_joins_letters_stays_where_letters_join(text: str, shown: str) -> None:
    """Joiners in emoji and in scripts that need them; a pile of marks is cut."""
    assert report_page.visible(text).startswith(shown)


def test_words_to_avoid_are_absent(world: World) -> None:
    """The page and the README promise nothing that an auditor would strike out."""
    made = members(world.bundle(by_model()).data)
    for name in ("report.html", "README.txt"):
        for word in ("immutable", "cannot", "tamper-proof"):
            assert word not in made[name].decode()


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A ledger whose names and texts try to spoil the page."""
    made = nasty.nasty_world(tmp_path_factory.mktemp("nasty") / "log", many=2)
    yield made
    made.close()


def test_a_nasty_report_is_whole(spoilt: World) -> None:
    """No tag but ours, tables with heads, each text with its own direction, nothing unbounded."""
    text = members(nasty.nasty_bundle(spoilt).data)["report.html"].decode()
    found = Page(text)
    assert set(found.tags) <= TAGS
    assert {name for name, _ in found.attributes} <= ATTRIBUTES
    assert found.tags.count("table") == found.tags.count("tbody")
    assert found.tags.count("colgroup") == found.tags.count("thead") >= 4
    longest = max(map(len, re.findall(r"[^<>]+", text.partition("</style>")[2])))
    assert longest < 8 * report_page.MAX_TEXT
    for expected in (
        "gpt-nasty", "Kept longer than the maximum", "180 days", "no limit",
        "Erased, by certificate", "cannot be told", "U+200B", "U+2066", "U+202E", "مرحبا", "世界",
    ):  # fmt: skip
        assert expected in found.text, expected


def test_nasty_pages_of_other_kinds_are_whole(spoilt: World) -> None:
    """A period and an attestation, of names that are no better."""
    for made, expected in (
        (nasty.nasty_period(spoilt), ("Changes of fail mode", "of the newest records alone")),
        (nasty.nasty_attestation(spoilt), ("more models are not listed", "calls of a model")),
    ):
        text = members(made.data)["report.html"].decode()
        found = Page(text)
        assert set(found.tags) <= TAGS
        assert {name for name, _ in found.attributes} <= ATTRIBUTES
        assert found.tags.count("colgroup") == found.tags.count("thead") >= 2
        for words in expected:
            assert words.lower() in found.text.lower(), words


def test_why_something_is_withheld_is_told(spoilt: World) -> None:
    """Not drawn, outside the boundary of who exported, erased under a certificate."""
    made = nasty.nasty_bundle(spoilt, sample=Sample(2, "S"), withheld=True)
    found = Page(members(made.data)["report.html"].decode()).text
    for reason in ("not drawn into the sample", "outside the boundary of who exported"):
        assert reason in found
    assert "2 of " in found
    assert 'drawn by the seed "S"' in found


def reasons(data: bytes) -> set[tuple[str, str, str]]:
    """Section, number of records and reason, as the page of a bundle has them."""
    text = members(data)["report.html"].decode().partition("What was withheld, and why")[2]
    cell = '<td dir="auto">([^<]*)</td>'
    return set(re.findall(rf"<tr>{cell}{cell}{cell}</tr>", text.partition("<h2>")[0]))


def test_only_what_the_vault_has_lost_is_called_erased(tmp_path: Path) -> None:
    """Of a sample: what was not drawn is not erased, also of a record of which a section is."""
    made = World(tmp_path / "log")
    for _ in range(4):
        made.exchange()
    first, second = made.pairs[0]
    gone = {
        index: bundle.Shown((*made.kept[index].disclosures[:-1], None)) for index in made.pairs[0]
    }
    unread = made.pairs[1][0]
    made.kept.update(gone)
    lost: dict[str, Any] = {
        "erased": [{"certificate": "#9", "records": [first, second], "sections": ["content"]}]
    }

    def export(choice: Choice, show: Any = made.show, rows: str = "everything") -> bytes:
        return bundle.make(
            made.answer(by_model()), show, choice=choice, boundary={"rows": rows},
            made=made.clock.now(), policy=verify.read_keys([made.vkey]), retention=lost,
        ).data  # fmt: skip

    seed = next(
        name for name in "ABCDEFGHIJ"
        if not {first, second} & {*verify.check(
            export(Choice(sample=Sample(1, name))), verify.read_keys([made.vkey])
        ).facts["sample"]}
    )  # fmt: skip
    found = reasons(export(Choice(sample=Sample(1, seed))))
    page = members(export(Choice(sample=Sample(1, seed))))["report.html"].decode()
    assert "they were not drawn, or are withheld" in page
    erased = {section for section, _, why in found if "erased" in why}
    assert erased == {"content"}
    assert ("content", "2", "erased or expired; certificate: #9") in found
    assert ("what", "6", "not drawn into the sample") in found
    hidden = reasons(export(Choice(), lambda i: bundle.NOTHING if i == unread else made.show(i)))
    why = "not readable when the bundle was made; nothing in the bundle says that it was erased"
    assert ("who", "1", why) in hidden
    narrow = reasons(
        export(Choice(), lambda i: made.show(i) if i != unread else bundle.NOTHING, "x")
    )
    assert ("who", "1", f"outside the boundary of who exported, or {why}") in narrow
    made.close()


def test_records_of_which_nothing_is_shown_are_summed_up(tmp_path: Path) -> None:
    """One line for those in a row, by type; what is shown and each gap keep lines of their own."""
    made = World(tmp_path / "log")
    for _ in range(4):
        made.exchange()
    bare: dict[str, Any] = dict.fromkeys(("model", "actor", "body", "who"), None)
    for kind in ["ledger.key"] * 3 + ["ledger.gap"] * 2:
        made.add(kind, tenant="", also=[Chain("", "unattributed", "")], **bare)
    made.add()
    shown = made.pairs[1]
    data = made.bundle(by_model(), Choice(selected=shown)).data
    made.close()
    page = members(data)["report.html"].decode()
    story = page.partition("<h2>What happened</h2>")[2].partition("<h2>")[0]
    assert story.count('<td class="n when">') == 7
    found = Page(story).text
    assert (
        "2 records of which nothing is shown: 1 of type exchange.request, 1 of type "
        "exchange.response." in found
    )
    assert "7 records of which nothing is shown: 2 of type exchange.request, 2 of type" in found
    assert "3 of type ledger.key." in found
    assert "It could not be attributed to a chain. (3)" in found
    assert found.count("A gap.") == 2


def test_why_what_does_not_match_is_not_shown(tmp_path: Path) -> None:
    """Conditions that are shown to fail are the reason, and no erasure is."""
    made = World(tmp_path / "log")
    made.exchange()
    made.exchange(actor="act_bob")
    question = by_model(conditions=(["is", "who.actor", "act_bob"],))
    found = reasons(made.bundle(question, Choice(selected=made.pairs[1])).data)
    made.close()
    assert {why for _, _, why in found} == {"does not meet the conditions"}
    assert {name for name, *_ in found} == {"what", "outcome", "content"}


ODD: list[Any] = [
    [], "text", 7, True, 2**70,
    {"actor": ["x"], "tenant": {}, "session": 5, "purpose": {}, "delegation": [1, {"actor": 2}]},
    {"parts": [1, {"name": 5}, {"digest": "x"}]},
    {"outcome": ["x"], "error": "x", "http.response.status_code": "many"},
    {"target": ["x"], "before": {"a": {"b": [1]}}, "after": {"a": 5}, "expression": {"x": 1},
     "records": ["x", {"index": {}}], "boundary": [1], "http.request.headers": [["x"], "x"]},
    {"models": 5, "tools_called": {"x": 1}, "counts": {"records": {"x": 1}}, "pruned": [1]},
]  # fmt: skip
"""Sections of which nothing is as it should be."""


def test_odd_records_are_told_all_the_same(tmp_path: Path) -> None:
    """Whatever stands in the sections of a record, there is a page with a line for it."""
    made = World(tmp_path / "log")
    kinds = ("exchange.request", "change.config", "access.query", "access.reveal",
             "approval.requested", "retention.erased", "tool.call", "ledger.gap")  # fmt: skip
    for kind, odd in itertools.product(kinds, ODD):
        sections = dict.fromkeys(("who", "person", "what", "context", "control", "outcome"), odd)
        made.add(kind, body=None, content=odd, **sections)
    deep: Any = "end"
    for _ in range(200):
        deep = {"a": deep}
    made.add("change.model", body=None, what={"before": {}, "after": deep})
    text = members(made.bundle(by_model()).data)["report.html"].decode()
    made.close()
    assert text.count('<td class="n when">') == len(kinds) * len(ODD) + 1
    assert ".".join(["a"] * 100) in text
