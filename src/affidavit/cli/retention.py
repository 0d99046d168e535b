"""``affidavit retention``: how long records are kept, why, and what would go when."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from affidavit.cli import options, output
from affidavit.cli.client import Client
from affidavit.errors import UsageError

app = typer.Typer(help="How long records are kept, and why.", no_args_is_help=True)


@app.command("check")
def check(
    data: options.Data = None, config: options.Config = None, json: options.Json = False
) -> None:
    """Say what the classes of a configuration come to, and where each number is from. Offline.

    A minimum that is longer than a maximum is an error until somebody has decided. Exit code 1 if
    a rule can never give its class.

    Example: affidavit retention check --config config.yaml
    """
    from affidavit import retention
    from affidavit.config import load
    from affidavit.record.model import TYPES

    path = config or options.data_directory(data) / "config.yaml"
    loaded = load(path, options.environment())
    names = sorted({*loaded.retention.names, *loaded.retention.classes})
    given = {loaded.retention.default_class, *(rule.into for rule in loaded.retention.rules)}
    classes = [_class(retention.terms(loaded, name), name in given) for name in names]
    useless = list(retention.useless(loaded, TYPES))
    if json:
        for one in classes:
            output.json_line(one)
        for bad in useless:
            output.json_line({"rule": bad.rule + 1, "never": bad.why})
    else:
        output.plain(f"{path}: what no rule meets is of class {loaded.retention.default_class}.")
        for one in classes:
            _tell_class(one)
        for bad in useless:
            output.say(f"Rule {bad.rule + 1} never gives its class: {bad.why}.", "bold")
    if useless:
        raise typer.Exit(1)


def _class(terms: Any, given: bool) -> dict[str, Any]:
    """A class as ``check`` tells it."""
    from affidavit.presets import presets

    kept = terms.kept
    limits = {
        name: None if bound is None else {"days": bound.days, "by": list(bound.by)}
        for name, bound in (
            ("minimum", terms.minimum), ("maximum", terms.maximum), ("hot", terms.hot),
        )
    }  # fmt: skip
    return {
        "class": kept.name,
        "given": given,
        "expires": kept.expires,
        "kept": {"minimum": kept.minimum, "maximum": kept.maximum, "hot": kept.hot},
        **limits,
        "decision": None if terms.decision is None else terms.decision.model_dump(),
        "regimes": [_preset(presets()[name]) for name in kept.regimes],
    }


def _tell_class(one: dict[str, Any]) -> None:
    output.title(one["class"] + ("" if one["given"] else " (no rule gives it)"))
    kept = one["kept"]
    most = "for ever" if kept["maximum"] is None else f"at most {_days(kept['maximum'])}"
    goes = "" if kept["maximum"] is None else f"; then {_GOES[one['expires']]}"
    output.indented(f"at least {_days(kept['minimum'])}, {most}{goes}", 2)
    for name in ("minimum", "maximum", "hot"):
        bound = one[name]
        if bound is not None and bound["by"]:
            output.indented(f"{name}: {_days(bound['days'])}, by {_by(bound['by'])}", 2)
    decision = one["decision"]
    if decision is not None:
        said = f"the {decision['keep']} holds, decided by {decision['decided_by']}"
        output.indented(f"minimum and maximum contradict each other: {said}", 2)
        output.indented(f"because: {decision['reason']}", 4)
    for preset in one["regimes"]:
        output.indented(f"{preset['name']}: {preset['article']} ({preset['review']})", 2)


_GOES = {
    "content": "the content goes",
    "sections": "all sections go",
    "leaves": "all sections go, and the leaves with log prune",
}


def _by(names: Iterable[str]) -> str:
    return ", ".join(name or "the class itself" for name in names)


def _days(days: int) -> str:
    return output.counted(days, "day")


@app.command("presets")
def presets_(
    name: Annotated[str, typer.Argument(help="One of them.", metavar="[NAME]")] = "",
    json: options.Json = False,
) -> None:
    """List what regimes want, or show one with article and source. None was reviewed by counsel.

    Example: affidavit retention presets hipaa-6y
    """
    from affidavit.config_retention import nearest
    from affidavit.presets import NOT_REVIEWED, presets

    every = presets()
    if name and name not in every:
        raise UsageError(f"This {nearest(name, every, 'preset')}.")
    found = [_preset(every[name])] if name else [_preset(one) for one in every.values()]
    if json:
        for one in found:
            output.json_line(one)
    elif name:
        output.facts([(_TITLES[key], value) for key, value in found[0].items() if value])
    else:
        rows = [
            (one["name"], one["minimum"] or "", one["maximum"] or "", one["hot"] or "",
             one["title"]) for one in found
        ]  # fmt: skip
        output.table(("Preset", "Minimum", "Maximum", "Hot", "What it is"), rows)
        output.say(f"Every one of them: {NOT_REVIEWED}. Show one: affidavit retention presets NAME")


_TITLES = {
    "name": "Preset", "title": "Title", "minimum": "Minimum", "maximum": "Maximum", "hot": "Hot",
    "covers": "Covers", "article": "Article", "source": "Source", "date": "Of", "evidence": "Grade",
    "review": "Review", "note": "Note",
}  # fmt: skip


def _preset(preset: Any) -> dict[str, Any]:
    from affidavit.presets import EVIDENCE

    told: dict[str, Any] = preset.model_dump(mode="json")
    return told | {"evidence": EVIDENCE[preset.evidence]}


@app.command("explain")
def explain(
    record: Annotated[str, typer.Argument(help="A record's id, or #INDEX.", metavar="ID")],
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Say how long a record is kept, and by which rule and regimes. It is recorded.

    Example: affidavit retention explain '#12'
    """
    path = f"/api/retention/explain/{quote(record, safe='')}"
    found = Client(data, url).get(path, purpose=reason or None)
    if json:
        output.json_line(found)
        return
    known = "" if found["known"] else f" (not configured: limits of {found['follows']})"
    pairs: list[tuple[str, object]] = [
        ("Record", f"#{found['index']} {found['type']} of {output.moment(found['time'])} UTC"),
        ("Class", found["retention_class"] + known),
        ("Given by", _given(found["given"])),
        ("Minimum", _limit(found["minimum"])),
        ("Maximum", _limit(found["maximum"])),
        ("Hot", _limit(found["hot"])),
        ("May go from", found["removable"]),
        ("Due", found["due"] or "never"),
        *([("At hand until", found["cold"])] if found["hot"] and found["hot"]["by"] else []),
        *_now(found),
    ]
    decision = found["decision"]
    if decision is not None:
        said = f"the {decision['keep']} holds, by {decision['decided_by']}: {decision['reason']}"
        pairs.append(("Contradiction", said))
    pairs += [(one["name"], f"{one['article']} ({one['review']})") for one in found["regimes"]]
    pairs.append(("Holds", _holds(found["holds"])))
    output.facts(pairs)


def _limit(bound: dict[str, Any] | None) -> str:
    if bound is None or not bound["by"]:
        return "none"
    return f"{_days(bound['days'])}, by {_by(bound['by'])}"


_STATES = {
    "minimum": "below its minimum: nobody removes it",
    "kept": "over its minimum; it may be erased if somebody asks",
    "due": "over its maximum; it goes with the next run",
    "overdue": "over its maximum for more than a day, and still there",
}


def _now(found: dict[str, Any]) -> list[tuple[str, object]]:
    """In which state a record is and what is still to go; of an erased one, what went already."""
    pairs: list[tuple[str, object]] = []
    if found["erased"]:
        pairs.append(("Gone", ", ".join(found["erased"])))
    if found["erased"] and found["erased_under"]:  # what that did not take had gone before
        what = f"of what a request erased of it: affidavit erase show {found['erased_under']}"
        pairs.append(("Certificate", what))
    if found["expires"] == "content" and "content" in found["erased"]:
        return [*pairs, ("Then", "nothing more: its content went already")]
    rest = "of what is left: " if found["erased"] else ""
    state, then = _STATES[found["state"]], _GOES[found["expires"]]
    if found["holds"]:
        below = "below its minimum, and " if found["state"] == "minimum" else ""
        state = f"{below}held: nothing of it goes until the hold is released"
        then += ", once nothing holds it"
    elif found["holds"] is None and found["state"] != "minimum":
        state += ", unless a hold keeps it"
    if not found["due"]:
        then = "nothing goes by itself: its class has no maximum"
    return [*pairs, ("Now", rest + state), ("Then", then)]


def _given(given: dict[str, Any] | None) -> str:
    if given is None:
        return "not to be told: the sections that it was given by are not shown to you or are gone"
    said = "no rule: it is the default class"
    if given["today"] == "ledger":
        said = "no rule: it is the ledger's own"
    if given["rule"]:
        asked = ", ".join(f"{name} {' or '.join(any_)}" for name, any_ in given["when"].items())
        said = f"rule {given['rule']}: {asked}"
    if given["unchanged"] is False:
        said += f" (the configuration has changed since; today it would be {given['today']})"
    return said


def _holds(holds: list[dict[str, str]] | None) -> str:
    if holds is None:
        return "not to be told to your role"
    known = "; ".join(f"{one['matter']} (hold {one['id']})" for one in holds)
    return known or "none that you may know of"


@app.command("plan")
def plan(
    at: Annotated[
        str, typer.Option("--at", help="As of a time, or 90d or 2y from now.", metavar="TIME")
    ] = "",
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Say what of the vault would go when, why and how much. Nothing is removed; it is recorded.

    Example: affidavit retention plan --at 2y
    """
    found = Client(data, url).get("/api/retention/plan", at=at or None, purpose=reason or None)
    if json:
        for line in found["lines"]:
            output.json_line(line)
        return
    nothing = "" if found["lines"] else " there is nothing that would ever go."
    output.plain(f"As of {output.moment(found['at'])} UTC:{nothing}")
    for state, total in found["totals"].items():
        said = f"{output.counted(total['records'], 'record')}, {_size(total['bytes'])}"
        output.plain(f"  {_SUMS[state]}: {said} in {output.counted(total['buckets'], 'bucket')}")
    if found["lines"]:
        output.table(
            (
                "State",
                "Tenant",
                "Class",
                "Days",
                "Goes",
                "May go from",
                "On",
                "Records",
                "Held",
                "Size",
            ),
            _grouped(found["lines"]),
        )
    for class_, why in dict.fromkeys(
        (one["retention_class"], one["why"]) for one in found["lines"]
    ):
        output.indented(f"{class_}: {why}", 2)
    if found["more"]:
        first = len(found["lines"])
        output.say(f"Shown are the first {first:,} buckets; the sums are of all.")


_SUMS = {
    "minimum": "below their minimum", "kept": "over their minimum, not due", "due": "due now",
    "overdue": "overdue",
}  # fmt: skip


def _grouped(lines: Sequence[dict[str, Any]]) -> list[Sequence[object]]:
    """A row for each tenant, class and state; its days from the first to the last.

    From which day it may go is said where that is to come.
    """
    groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for line in lines:
        key = line["state"], line["tenant"], line["retention_class"], line["what"]
        groups.setdefault(key, []).append(line)
    return [
        (state, tenant or "-", class_ + _mark(found),
         _span([one["day"] for one in found]), what,
         _span([one["removable"] for one in found]) if state == "minimum" else "",
         _span([one["due"] for one in found]) or "never",
         sum(one["left"] for one in found), sum(one["held"] for one in found) or "",
         _size(sum(one["bytes"] for one in found)))
        for (state, tenant, class_, what), found in groups.items()
    ]  # fmt: skip


def _mark(found: Sequence[dict[str, Any]]) -> str:
    """What has to be said of a class beside its name."""
    known = "" if found[0]["known"] else " (unknown)"
    return known + (" (damaged)" if any(one["damaged"] for one in found) else "")


def _span(days: Sequence[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
