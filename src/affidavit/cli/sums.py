"""``affidavit sums``, ``facets``, ``histogram``: figures about the records an expression finds.

Rules: the expression is that of ``query``, saved ones included. ``--json`` gives one object a line
on stdout; as of when, and what was not counted, comes on stderr. Not here: how figures come about
(the console's API).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.text import Text

from affidavit.cli import options, output, saved
from affidavit.cli.client import Client
from affidavit.errors import UsageError

Expression = Annotated[
    str, typer.Argument(help="What to count; everything if left out.", metavar="EXPR")
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Count all matching records, not the newest only.")
]
_BAR = 40
_PERIODS = ("hour", "day", "week", "month")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (sums, facets, histogram):
        app.command()(verb)


def sums(
    expression: Expression = "",
    by: Annotated[
        str,
        typer.Option("--by", help="tenant, team, actor, key, provider, model, status, and one of "
                     "hour, day, week, month.", metavar="NAME,…"),
    ] = "",
    latency: Annotated[
        bool, typer.Option("--latency", help="Also p50, p95 and p99, in seconds.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Also reckon cost by the configured prices.")
    ] = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:  # fmt: skip
    """Add up exchanges: requests, errors, denials, tokens, cost and latency. It is recorded.

    Example: affidavit sums 'since:30d' --by model,day --latency
    """
    groups = [name.strip() for name in by.split(",") if name.strip()]
    asked = {"by": groups, "latency": latency, "cost": cost}
    answer = _ask("aggregate", expression, reason, Client(data, url), asked)
    rows = answer["rows"]
    if json:
        for row in rows:
            output.json_line(row)
    elif rows:
        names = [name for name in rows[0] if name not in _SHOWN and name not in _BESIDE]
        titles = [*names, *(name for name, show in _SHOWN.items() if show(rows[0]) is not None)]
        groups_of = [_group(row, names, answer) for row in rows]
        figures = [[_SHOWN[title](row) for title in titles[len(names) :]] for row in rows]
        output.table(titles, [[*a, *b] for a, b in zip(groups_of, figures, strict=True)])
        if latency:
            for title, key in _LATENCIES.items():
                output.title(f"Seconds, {title}")
                lines = [[*a, *_percentiles(row[key])]
                         for a, row in zip(groups_of, rows, strict=True)]  # fmt: skip
                output.table([*names, "p50", "p95", "p99"], lines)
    else:
        output.plain("No exchange matches within what you may see.")
    _end(answer, output.counted(len(rows), "line"), json=json)


def facets(
    expression: Expression = "",
    fields: Annotated[
        str, typer.Option("--fields", help="Only these.", metavar="NAME,…")
    ] = "",
    top: Annotated[
        int, typer.Option("--top", min=1, max=1000, help="Values of each.", metavar="N")
    ] = 10,
    exact: Exact = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:  # fmt: skip
    """The most frequent models, teams, actors, tools … of matching records. It is recorded.

    Example: affidavit facets 'has:error since:24h' --fields model,team
    """
    names = [name.strip() for name in fields.split(",") if name.strip()]
    asked = {"fields": names, "top": top, "exact": exact}
    answer = _ask("facets", expression, reason, Client(data, url), asked)
    found = [
        {"field": name, **value}
        for name, facet in answer["fields"].items()
        for value in facet["values"]
    ]
    if json:
        for line in found:
            output.json_line(line)
    else:
        for name, facet in answer["fields"].items():
            if facet["values"] or names:
                output.title(f"{name} ({facet['distinct']})")
            if facet["values"]:
                lines = [(f"  {_value(name, v['value'], answer)}", v["count"])
                         for v in facet["values"]]  # fmt: skip
                output.table(("", ""), lines)
    _end(answer, output.counted(answer["records"], "record"), json=json)


def histogram(
    expression: Expression = "",
    per: Annotated[
        str, typer.Option("--per", help="hour, day, week or month.", metavar="TIME")
    ] = "day",
    exact: Exact = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """How many matching records there are in each hour, day, week or month. It is recorded.

    Example: affidavit histogram 'decision:deny since:7d' --per hour
    """
    if per not in _PERIODS:
        raise UsageError(f"--per {per} is not {', '.join(_PERIODS[:-1])} or {_PERIODS[-1]}.")
    asked = {"interval": per, "exact": exact}
    answer = _ask("histogram", expression, reason, Client(data, url), asked)
    buckets = answer["buckets"]
    if json:
        for bucket in buckets:
            output.json_line(bucket)
    elif buckets:
        most = max(bucket["count"] for bucket in buckets)
        width = 16 if per == "hour" else 10
        output.table(
            ("", "", ""),
            [
                (output.moment(one["time"])[:width], one["count"],
                 "█" * max(1, one["count"] * _BAR // most))
                for one in buckets
            ],
        )  # fmt: skip
    _end(answer, output.counted(answer["records"], "record"), json=json)


def _ask(
    what: str, expression: str, reason: str, client: Client, asked: Mapping[str, object]
) -> dict[str, Any]:
    expression = saved.words(client, expression)
    with output.pointing(expression):
        return client.post(f"/api/{what}", {"expression": expression, "purpose": reason, **asked})


def _end(answer: Mapping[str, Any], counted: str, *, json: bool) -> None:
    at = answer["as_of"]
    told = f"{counted}, as of leaf {at['size']}"
    if answer.get("capped"):
        told += "; the newest only (all with --exact)"
    if answer.get("withheld"):
        told += f"; withheld from your role: {', '.join(answer['withheld'])}"
    if json:
        output.say(f"{told}.")
    else:
        output.show(Text(f"{told}.", "dim"))


def _cost(row: Mapping[str, Any]) -> str:
    return "–" if row["cost"] is None else f"{_digits(row['cost'], 6)} ({row['cost_of']})"


def _reckoned(row: Mapping[str, Any]) -> str | None:
    if "reckoned" not in row:
        return None
    spent = ", ".join(
        f"{_digits(amount, 6)} {currency}" for currency, amount in row["reckoned"].items()
    )
    return f"{spent or '–'} ({row['reckoned_of']} of {row['requests']})"


_SHOWN: dict[str, Any] = {
    "requests": lambda row: row["requests"],
    "errors": lambda row: row["errors"],
    "denials": lambda row: row["denials"],
    "tokens in": lambda row: row["tokens_in"],
    "tokens out": lambda row: row["tokens_out"],
    "cost": _cost,
    "reckoned": _reckoned,
}
_LATENCIES = {"duration": "duration", "until the first byte": "first_byte"}
_BESIDE = ("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning", "cost_of",
           "reckoned_of", "no_cost", "duration", "first_byte")  # fmt: skip


def _percentiles(found: Mapping[str, Any]) -> list[object]:
    return ["–" if value is None else _digits(value, 3) for value in found.values()]


def _group(row: Mapping[str, Any], names: Sequence[str], answer: Mapping[str, Any]) -> list[object]:
    """What the line is of; what is not known is a dash."""
    return [_value(name, row[name], answer) for name in names]


def _value(name: str, value: Any, answer: Mapping[str, Any]) -> str:
    """A value; of an actor with the name, where the answer says it."""
    if name == "time":
        return output.moment(value)[:16]
    return output.whom(answer, value) if name == "actor" and value else str(value or "–")


def _digits(value: float, digits: int) -> str:
    """So many digits that count, never as a power of ten."""
    return format(Decimal(f"{value:.{digits}g}"), "f")
