"""The pages themselves, from plain values to HTML.

Rules: only ``html.element`` makes markup, so every value of a record is text; snippets are cut
before they are escaped. Not here: cookies, records of reads, and where values come from.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from affidavit import __version__
from affidavit.console.auth import Reader, Session
from affidavit.console.html import Html, element, joined, quoted
from affidavit.console.proofs import LINES
from affidavit.console.visible import UNSEEN, by_whom, snippet
from affidavit.errors import AffidavitError
from affidavit.query.language import unparse
from affidavit.query.tree import Match

SNIPPET = 140
_LATE = ("due_records", "unknown_buckets", "damaged_buckets", "problem")
"""What of a count of what is late is told on the page."""
EXAMPLES = ("model:demo-chat since:24h", "type:change.*", "has:error", "tokens>1000")


@dataclass(frozen=True)
class Question:
    """What stands in the search form."""

    expression: str = ""
    purpose: str = ""
    prove: bool = False


def document(title: str, *body: object) -> Html:
    """A whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} · Affidavit"),
        element("link", rel="stylesheet", href="/static/console.css"),
    )
    return Html("<!doctype html>" + element("html", head, element("body", *body), lang="en"))


def top(reader: Reader | None, session: Session | None) -> Html:
    """The head of a page: who is logged in."""
    brand = element("a", "Affidavit", href="/", class_="brand")
    if reader is None or session is None:
        return element("header", brand)
    identity = reader.identity
    who = element("span", f"{identity.name or identity.actor} · {identity.role}", class_="who")
    token = element("input", type="hidden", name="csrf", value=session.csrf)
    leave = element("button", "Log out", type="submit", class_="quiet")
    form = element("form", token, leave, method="post", action="/logout")
    return element("header", brand, who, form)


def foot() -> Html:
    """The foot of a page."""
    text = f"Affidavit {__version__} · every read is a record · "
    links = joined(
        element("a", "API", href="/api/openapi.json"),
        " · ",
        element("a", "checkpoint", href="/log/checkpoint"),
        " · ",
        element("a", "metrics", href="/metrics"),
    )
    return element("footer", text, links)


def login(error: AffidavitError) -> Html:
    """The form that asks for a key; says why, unless it is simply the first visit."""
    field = element(
        "input",
        type="password",
        name="key",
        id="key",
        autocomplete="off",
        required=True,
        autofocus=True,
    )
    first_visit = error.message == "You are not logged in."
    main = element(
        "main",
        element("h1", "Open the console"),
        None if first_visit else element("p", error.message, class_="problem"),
        element(
            "form",
            element("label", "Owner or reader key", for_="key"),
            field,
            element("button", "Open", type="submit"),
            method="post",
            action="/login",
            class_="login",
        ),
        element("p", "The owner's key is in keys/owner in the data directory.", class_="hint"),
        class_="narrow",
    )
    return document("Log in", top(None, None), main, foot())


def failure(error: AffidavitError) -> Html:
    """An error page: what happened, what was kept, what to do."""
    main = element(
        "main",
        element("h1", "That did not work"),
        element("p", error.message, class_="problem"),
        element("p", error.kept) if error.kept else None,
        element("p", error.hint, class_="hint") if error.hint else None,
        element("p", element("a", "Back", href="/")),
        class_="narrow",
    )
    return document("Error", top(None, None), main, foot())


def _card(label: str, value: str, note: str = "", state: str = "") -> Html:
    return element(
        "div",
        element("span", label, class_="label"),
        element("strong", value),
        element("span", note, class_="note") if note else None,
        class_=f"card {state}".strip(),
    )


def _health(found: dict[str, Any], as_of: dict[str, Any]) -> Html:
    recording, sequencer = found["recording"], found["sequencer"]
    trouble = found.get("trouble") or {}
    ledger_time = str(as_of.get("time") or "")[:19].replace("T", " ")
    cards = [
        _card(
            "Recording",
            "on" if recording else "refusing",
            found["recording_problem"] or "",
            "good" if recording else "bad",
        ),
        _card(
            "Sequencer",
            "running" if sequencer else "away",
            found["sequencer_problem"] or "; ".join(map(str, trouble.values())),
            "good" if sequencer and not trouble else "bad",
        ),
        _card("Ledger", f"{found.get('size', as_of.get('size', 0)):,} leaves"),
    ]
    kept = found.get("retention") or {}
    if any(kept.get(name) for name in _LATE):
        cards.append(_kept(kept))
    if "anchored" in found:
        cards.append(_vouched(found))
    if as_of:
        note = "UTC" if ledger_time else ""
        cards.append(_card("Searchable as of", ledger_time or "nothing yet", note))
    return element("section", *cards, class_="cards")


def _kept(kept: dict[str, Any]) -> Html:
    """What is kept longer than it may be, or nobody says how long."""
    notes = [f"Not counted: {kept['problem']}"] if kept.get("problem") else []
    if kept.get("due_records"):
        notes.append(f"{kept['due_records']:,} records over their maximum since {kept['oldest']}.")
    if kept.get("unknown_buckets"):
        notes.append(f"{kept['unknown_buckets']:,} buckets of classes that are not configured.")
    if kept.get("damaged_buckets"):
        notes.append(f"{kept['damaged_buckets']:,} damaged buckets, which are not counted whole.")
    late = "late" if kept.get("due_records") else "see below"
    return _card("Retention", late, " ".join(notes), "bad" if kept.get("overdue_records") else "")


def _vouched(found: dict[str, Any]) -> Html:
    """Whether anybody outside vouches for the log, and what is wrong with that."""
    asked = [*found["witnesses"], found["timestamp"] or {}, found["copies"] or {}]
    notes = [str(one["error"]) for one in asked if one.get("error")]
    if found["witnesses_required"] and found["waits_since"]:
        notes.append(f"The checkpoint waits for witnesses since {found['waits_since'][:19]}.")
    value = "by others, too" if found["anchored"] else "own key only"
    return _card(
        "Vouched for", value, "; ".join(notes) or found["anchor_advice"], "bad" if notes else ""
    )


def _search(question: Question) -> Html:
    examples = [
        joined(element("a", text, href="/?" + urlencode({"q": text})), " ") for text in EXAMPLES
    ]
    return element(
        "form",
        element(
            "input",
            type="search",
            name="q",
            value=question.expression,
            placeholder="model:demo-chat since:90d",
            aria_label="Question",
            maxlength="4096",
        ),
        element(
            "input",
            name="purpose",
            value=question.purpose,
            placeholder="purpose, where your role needs one",
            aria_label="Purpose",
            maxlength="500",
        ),
        element(
            "label",
            element("input", type="checkbox", name="prove", value="1", checked=question.prove),
            " prove it",
        ),
        element("button", "Ask", type="submit"),
        element("p", "For example: ", *examples, class_="hint"),
        method="get",
        action="/",
        class_="search",
    )


def home(
    reader: Reader,
    session: Session,
    health: dict[str, Any],
    question: Question,
    answer: dict[str, Any] | AffidavitError,
) -> Html:
    """Health, the search form, and the answer or what was wrong with the question."""
    if isinstance(answer, AffidavitError):
        shown: list[object] = [
            element("p", answer.message, class_="problem"),
            element("p", answer.hint, class_="hint") if answer.hint else None,
        ]
        as_of: dict[str, Any] = {}
    else:
        as_of = answer["as_of"]
        shown = [
            element("h2", "Matches" if question.expression else "Recent exchanges"),
            _rows(answer["rows"], question.purpose),
            _more(answer, question),
            _verdict(answer["proof"]) if "proof" in answer else None,
        ]
    main = element("main", _health(health, as_of), _search(question), *shown)
    return document("Overview", top(reader, session), main, foot())


def _verdict(proof: dict[str, Any]) -> Html:
    """The four lines, as everywhere."""
    lines = [
        element("tr", element("th", name.capitalize()), element("td", proof[name]))
        for name in LINES
    ]
    return element("section", element("h2", "Verdict"), element("table", *lines))


def _more(answer: dict[str, Any], question: Question) -> Html:
    facts = [f"{len(answer['rows'])} shown"]
    if answer["gaps"]:
        facts.append(f"{answer['gaps']} gaps in this window")
    if answer["unattributed"]:
        facts.append(f"{answer['unattributed']} records of unknown tenant")
    if answer["withheld"]:
        facts.append("withheld from your role: " + ", ".join(answer["withheld"]))
    if answer.get("beyond"):
        least = "at least " if answer["beyond"]["capped"] else ""
        facts.append(f"{least}{answer['beyond']['rows']} rows beyond your boundary")
    link = None
    if answer.get("cursor"):
        query = {"q": question.expression, "purpose": question.purpose, "cursor": answer["cursor"]}
        link = joined(" · ", element("a", "Older", href="/?" + urlencode(query)))
    return element("p", " · ".join(facts), link, class_="hint")


def _rows(rows: list[dict[str, Any]], purpose: str) -> Html:
    if not rows:
        return element("p", "Nothing matches within what you may see.", class_="empty")
    titles = ("Time (UTC)", "Actor", "Model", "Prompt and output", "Tokens", "Outcome")
    head = element("tr", *(element("th", title, scope="col") for title in titles))
    body = [_row(row, purpose) for row in rows]
    return element("table", element("thead", head), element("tbody", *body))


def _row(row: dict[str, Any], purpose: str) -> Html:
    link = f"/show/{quoted(str(row['id']))}"
    if purpose:
        link += "?" + urlencode({"purpose": purpose})
    time = str(row.get("time") or "")[:19].replace("T", " ")
    texts = [
        element("div", snippet(row[name], SNIPPET), class_=name)
        for name in ("prompt", "output")
        if row.get(name)
    ]
    if not texts:
        texts = [element("div", str(row.get("text") or row.get("type") or ""), class_="quiet")]
    if row.get("content") in UNSEEN:
        texts.append(element("div", f"content: {row['content']}", class_="quiet"))
    status = str(row.get("status") or ("open" if row.get("open") else ""))
    if isinstance(row.get("http"), int) and row["http"] >= 400:
        status += f" {row['http']}"
    return element(
        "tr",
        element("td", element("a", time, href=link), class_="time"),
        element("td", linked("actor", row.get("actor"), purpose, snippet(by_whom(row), 30))),
        element("td", linked("model", row.get("model"), purpose, snippet(_model(row), 40))),
        element("td", *texts),
        element("td", tokens(row), class_="number"),
        element("td", element("span", status, class_=f"badge {_state(row)}") if status else ""),
    )


def linked(field: str, value: object, purpose: str = "", shown: str = "") -> Html | str:
    """A value that leads to the records that have it; as it is, if there is none."""
    text = shown or str(value or "")
    if not value:
        return text
    query = {"q": unparse(Match(field, str(value)))} | ({"purpose": purpose} if purpose else {})
    return element("a", text, href="/?" + urlencode(query, errors="replace"))


def _model(row: dict[str, Any]) -> str:
    return str(row.get("model") or "")


def tokens(row: dict[str, Any]) -> str:
    """Tokens in and out; empty if neither is known."""
    both = [row.get("tokens_in"), row.get("tokens_out")]
    if both == [None, None]:
        return ""
    return " → ".join("?" if count is None else f"{count:,}" for count in both)


def _state(row: dict[str, Any]) -> str:
    http = row.get("http")
    if row.get("status") == "complete" and (http is None or http < 400):
        return "good"
    return "bad" if row.get("status") else ""
