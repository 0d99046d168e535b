"""A narrative for people: a few lines of text for each record, in 100 columns.

Rules: the first line has time, evidence and what happened; below it, indented, stands what else
there is, in the same order everywhere. Where exchanges ran side by side, a drawing goes before the
sentences: a column for each lane, ``*`` where the line is, ``|`` where another one runs. Hostile
characters are made visible. Not here: what is asked, and JSON.
"""

import shlex
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from affidavit.cli import output
from affidavit.console.visible import UNSEEN, happened, visible

_BAD = "bold red"
_STYLES = {"verified": "green", "corrupt": _BAD, "missing": _BAD, "gap": _BAD, "erased": "yellow"}
_MOST_LANES = 8
"""So many lanes are drawn; what runs in others is counted."""


def page(told: dict[str, Any]) -> None:
    """Print the lines of one page."""
    drawn = _width(told["lines"])
    for line in told["lines"]:
        _line(line, drawn)


def title(told: dict[str, Any]) -> None:
    """Say what the narrative is of."""
    output.show(Text(f"{told['kind'].capitalize()} {visible(told['name'])}", "bold"))


def last(told: dict[str, Any], lines: int) -> None:
    """Say how many lines there were, as of when, and what is not in them."""
    more = " There are more." if told.get("more") else ""
    withheld = ", ".join(told["withheld"])
    hidden = f" Withheld from your role: {withheld}." if withheld else ""
    if told.get("beyond"):
        hidden += f" Beyond your boundary: {output.beyond(told['beyond'], 'record')}."
    size = told["as_of"]["size"]
    output.show(Text(f"{output.counted(lines, 'line')}, as of leaf {size}.{more}{hidden}", "dim"))


def other_reads(since: str) -> None:
    """Say of a story that begins ``since`` which reads of it are not told, and how to find them."""
    question = shlex.quote(f"type:access.* since:{since}")
    output.show(
        Text(
            "Told are reveals and exports; whoever read this by query, show or tail is not. All "
            f"reads since then: affidavit query {question}",
            "dim",
        )
    )


def _width(lines: list[dict[str, Any]]) -> int:
    """How many lanes are drawn: none where nothing ran beside anything else."""
    if not any(_others(line) for line in lines):
        return 0
    lanes: set[int] = set()
    for line in lines:
        lanes.update((line.get("lane") or 0, *line.get("running", ())))
    return min(max(lanes) + 1, _MOST_LANES)


def _others(line: dict[str, Any]) -> bool:
    """Whether something ran beside an exchange's line."""
    return line.get("lane") is not None and bool(line.get("running"))


def _drawing(line: dict[str, Any], drawn: int) -> str:
    running = line.get("running", ())
    marks = [
        "*" if lane == line.get("lane") else "|" if lane in running else " "
        for lane in range(drawn)
    ]
    more = sum(lane >= drawn for lane in (*running, line.get("lane") or 0))
    return f"{''.join(marks)}{f'+{more}' if more else ''}"


def _line(line: dict[str, Any], drawn: int) -> None:
    evidence = str(line["evidence"])
    head = Table.grid(padding=(0, 2))
    head.add_column(no_wrap=True)
    head.add_column(width=10, no_wrap=True)
    if drawn:
        head.add_column(no_wrap=True)
    head.add_column(overflow="fold")
    marks = [Text(_drawing(line, drawn), "dim")] if drawn else []
    head.add_row(
        Text(output.moment(line["time"]), "dim"),
        Text(evidence, _STYLES.get(evidence, "dim")),
        *marks,
        Text(visible(line["text"])),
    )
    output.show(head)
    output.indented(" · ".join(_place(line)), 4, "dim")
    if happened(line):
        output.indented(happened(line), 4)
    for text in _said(line):
        output.indented(text, 4)
    for mark, key in (("›", "prompt"), ("‹", "output")):
        if line.get(key):
            output.indented(f"{mark} {line[key]}", 4)
    if line["content"] in UNSEEN:
        output.indented(f"content: {line['content']}", 4, "dim")


def _place(line: dict[str, Any]) -> Iterator[str]:
    """Where the record stands and what it hangs together with."""
    yield f"#{line['index']}"
    yield str(line["id"])
    if line.get("re") is not None:
        yield f"answers #{line['re']}"
    if line.get("part_of") is not None:
        yield f"part of #{line['part_of']}"
    if line.get("parent_span"):
        yield f"span {line.get('span')} under {line['parent_span']}"
    elif line.get("span"):
        yield f"span {line['span']}"
    if output.tokens(line):
        yield f"tokens {output.tokens(line)}"


def _said(line: dict[str, Any]) -> Iterator[str]:
    """What else is known, in words."""
    who = ", for ".join(line.get("on_behalf") or ()) or line.get("actor")
    name = line.get("name")
    if who and line.get("re") is None:
        if name and line["evidence"] in ("reported", "imported"):
            yield f"by {who}, on whose word it was {name}"
        else:
            yield f"by {name}, {who}" if name else f"by {who}"
    retry = line.get("retry")
    if retry:
        yield f"retry of #{retry['of']}, which ended in {retry['after']}: {retry['by']}"
    for meant in line.get("meanings", ()):
        yield _meaning(meant)
    for name, value in (line.get("details") or {}).items():
        for one in value if isinstance(value, list) else [value]:
            yield f"{name.replace('_', ' ')}: {one}"


def _meaning(meant: dict[str, Any]) -> str:
    said = f"{meant['name']} meant {meant['model']}"
    if meant["by"] == "change":
        return f"{said}, says the change #{meant['record']} ({meant['tier']})"
    who = "the provider that served it" if meant["by"] == "served" else "the gateway's routing"
    other = (
        f", and not what the change #{meant['against']} says"
        if meant["against"] is not None
        else ""
    )
    return f"{said}, says {who} (#{meant['record']}, {meant['tier']}){other}"
