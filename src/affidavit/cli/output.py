"""How answers look: JSON Lines for programs, aligned text for people.

Rules: stdout carries the answer and nothing else; with ``--json`` every line is one object in
ASCII, so that no byte of a record reaches a terminal; for people, hidden characters of records
are made visible. Lines fit 100 columns when the output is not a terminal. Colour only on a
terminal. Not here: what is asked.
"""

import contextlib
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from affidavit.console.visible import by_whom, snippet, visible
from affidavit.errors import ExpressionError

WIDTH = 100
_POINTED = 90
"""So many characters of an expression are shown around the one that is pointed at."""
_PLURALS = {"leaf": "leaves", "identity": "identities"}
_GAP = 2
"""Blanks between columns."""
_GOOD, _BAD, _DIM = "green", "red", "dim"


@functools.cache
def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH
    return Console(stderr=stderr, width=width, highlight=False, emoji=False, soft_wrap=False)


def width() -> int:
    """How many columns an answer may have."""
    return _console(stderr=False).width


def show(renderable: RenderableType = "") -> None:
    """Print an answer, without blanks at the end of lines where it is not a terminal."""
    console = _console(stderr=False)
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable)
    lines = captured.get().split("\n")
    sys.stdout.write("\n".join(line.rstrip() for line in lines))


def title(text: str) -> None:
    """A line that stands above others."""
    show(Text(visible(text), "bold"))


def indented(text: str, by: int, style: str = "") -> None:
    """A text of one or more lines, folded and moved to the right; hidden characters visible."""
    show(Padding(Text(visible(text, lines=True), style), (0, 0, 0, by)))


def say(text: str, style: str = "") -> None:
    """Tell a person something on stderr."""
    _console(stderr=True).print(Text(visible(text, lines=True), style), soft_wrap=True)


def json_line(value: Mapping[str, Any]) -> None:
    """One object on one line of stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def each(
    found: Sequence[Mapping[str, Any]], tell: Callable[[Any], None], none: str, *, json: bool
) -> None:
    """All that was found: to programs a line of JSON each, to people by ``tell``, or ``none``."""
    for one in found:
        json_line(one) if json else tell(one)
    if not found and not json:
        plain(none)


def plain(text: str) -> None:
    """A line of our own on stdout, not wrapped (keys, paths)."""
    sys.stdout.write(visible(text, lines=True) + "\n")
    sys.stdout.flush()


def folded(text: str) -> None:
    """A text of our own on stdout; on a terminal its lines are folded below what follows a name.

    A line ``Name  words`` goes on below ``words``. Elsewhere lines stay whole, for programs.
    """
    if not _console(stderr=False).is_terminal:
        sys.stdout.write(text)
        return
    for line in text.splitlines():
        named = re.match(r"[A-Z]\w*  +", line)
        show(Text("\n").join(_hanging(line, named.end() if named else 0)))


def _hanging(line: str, by: int) -> list[Text]:
    lines = Text(line[by:]).wrap(_console(stderr=False), max(width() - by, 20), overflow="fold")
    return [Text((" " * by if place else line[:by]) + one.plain.rstrip())
            for place, one in enumerate(lines)]  # fmt: skip


def table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of texts; whole numbers stand at the right. Without titles it has no heading.

    Where it is too wide, columns are folded between words, and within words only where that is not
    enough, the widest first.
    """
    head = any(titles)
    cells = [[visible("" if cell is None else str(cell)) for cell in row] for row in rows]
    grid = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, show_header=head)
    for place, title in enumerate(titles):
        number = bool(rows) and all(type(row[place]) is int for row in rows)
        grid.add_column(title, overflow="fold", justify="right" if number else "left")
    for column, wide in zip(grid.columns, _widths([list(titles), *cells]), strict=True):
        column.width = wide
    for row in cells:
        grid.add_row(*(Text(cell) for cell in row))
    show(grid)


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """How wide each column may be, so that all of them fit."""
    columns = list(zip(*cells, strict=True))
    wide = [max(map(cell_len, column)) for column in columns]
    words = [max((cell_len(word) for cell in one for word in cell.split()), default=1)
             for one in columns]  # fmt: skip
    for floors in (words, [1] * len(columns)):
        while sum(wide) + _GAP * (len(wide) - 1) > width():
            loose = [place for place, floor in enumerate(floors) if wide[place] > floor]
            if not loose:
                break
            wide[max(loose, key=wide.__getitem__)] -= 1
    return wide


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one pair a line, the values aligned and folded."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_DIM, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(name), Text(visible(str(value))))
    show(grid)


def whom(one: Mapping[str, Any], pseudonym: str) -> str:
    """Who is behind a pseudonym, by name if the answer ``one`` says it: ``Ann Law, act_…``."""
    name = one["names"].get(pseudonym)
    return f"{name}, {pseudonym}" if name else pseudonym


def moment(time: object) -> str:
    """A stored time without its microseconds: ``2026-11-23 12:00:00``."""
    return str(time or "")[:19].replace("T", " ")


def tokens(row: Mapping[str, Any]) -> str:
    """Tokens in and out, ``12→34``; empty if neither is known."""
    both = [row.get("tokens_in"), row.get("tokens_out")]
    if both == [None, None]:
        return ""
    return "→".join("?" if count is None else str(count) for count in both)


def style_of(status: object, http: object = None) -> str:
    """Colour of an outcome: green for what went well, red for what did not."""
    if status == "complete" and not (isinstance(http, int) and http >= 400):
        return _GOOD
    return _BAD if status else _DIM


def _state(row: Mapping[str, Any]) -> str:
    """How it ended, or that it has not; of records that do not end, what was decided."""
    if row.get("status"):
        return str(row["status"])
    if row.get("type") == "exchange.request":
        return "open" if row.get("open", row.get("answered") is None) else "answered"
    return "open" if row.get("open") else str(row.get("decision") or "")


def exchange(row: Mapping[str, Any], names: Mapping[str, str] = MappingProxyType({})) -> None:
    """An exchange, or another record, in up to three lines; a pseudonym whole, on the last.

    ``names``: who is behind pseudonyms, where the row does not say it.
    """
    pseudonym = str(row.get("actor") or "")
    known = names.get(pseudonym) or by_whom(row)
    status, http = _state(row), row.get("http")
    ended = f"{status} {http}" if isinstance(http, int) and http >= 400 else str(status)
    columns = width()
    grid = Table.grid(padding=(0, 2), expand=False)
    grid.add_column(width=19, no_wrap=True, style=_DIM)
    grid.add_column(width=18, no_wrap=True, overflow="ellipsis")
    name = max(10, min(22, columns - 70))
    grid.add_column(width=name, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=11, no_wrap=True, justify="right")
    grid.add_column(width=max(columns - name - 56, 12), no_wrap=True, overflow="ellipsis")
    kind = str(row.get("type") or "")
    what = row.get("model") or row.get("target")
    if not what and kind.startswith("exchange.") and row.get("path"):
        what = f"{row.get('method') or ''} {row['path']}".strip()
    grid.add_row(
        moment(row.get("time")),
        Text(visible(str(what or kind))),
        Text(visible("" if known == pseudonym else known)),
        tokens(row),
        Text(visible(ended), style_of(row.get("status"), http)),
    )
    show(grid)
    for mark, key in (("›", "prompt"), ("‹", "output"), ("·", "text")):
        if row.get(key):
            line = Text(f"{mark} {snippet(str(row[key]), columns)}", no_wrap=True)
            line.truncate(columns - 2, overflow="ellipsis")
            show(Padding(line, (0, 0, 0, 2)))
    if row.get("content") in ("missing", "corrupt"):
        indented(f"content: {row['content']}", 2, _BAD)
    by = f"  by {pseudonym}" if pseudonym else ""
    indented(f"{row.get('id', '')}{by}", 2, _DIM)


def as_of(answer: Mapping[str, Any], shown: int, what: str) -> str:
    """The last line of an answer: how much was shown, as of when, and what is not in it.

    ``what``: ``shown`` for people, who see exchanges; else the name of one thing.
    """
    count = answer.get("count")
    told = f"{shown} shown" if what == "shown" else counted(shown, what)
    if count is not None and count > shown:
        least = "at least " if answer.get("count_capped") else ""
        told += f" of {least}{count}"
        if what == "shown":
            told += " records (requests and responses counted apart)"
    at = answer["as_of"]
    time = f", {moment(at['time'])} UTC" if at.get("time") else ""
    parts = [f"{told}, as of leaf {at['size']}{time}"]
    if answer.get("gaps"):
        parts.append(counted(answer["gaps"], "gap") + " in this window")
    if answer.get("unattributed"):
        parts.append(
            counted(answer["unattributed"], "record") + " of unknown tenant "
            "(the installation's own, and refused calls that could be anybody's)"
        )
    if answer.get("withheld"):
        parts.append(f"withheld from your role: {', '.join(answer['withheld'])}")
    if answer.get("beyond"):
        parts.append(f"{beyond(answer['beyond'], 'row')} beyond your boundary")
    return "; ".join(parts) + "."


_WAYS = {
    "reason": ": give a --reason",
    "second person": ": a second person has to agree. affidavit reveal ID --reason TEXT asks",
    "never": ": your boundary never shows it",
}


def content_withheld(shown: Sequence[Mapping[str, Any]], needs: str) -> None:
    """Say on stderr that prompts and outputs were left out, and what may be done about it.

    ``needs``: what it takes to be shown them (``content_needs`` of an answer).
    """
    if any(one.get("content") == "withheld" for one in shown):
        say(f"Content is withheld{_WAYS.get(needs, '')}.")


def beyond(told: Mapping[str, Any], thing: str) -> str:
    """How many rows lie beyond a boundary, *at least* where no more were counted."""
    return f"{'at least ' if told['capped'] else ''}{counted(told['rows'], thing)}"


def counted(number: int, thing: str) -> str:
    """``1 line``, ``2 lines``; ``2 leaves``, ``2 identities``."""
    if number == 1:
        return f"{number} {thing}"
    return f"{number} {_PLURALS.get(thing, f'{thing}s')}"


@contextlib.contextmanager
def pointing(expression: str) -> Iterator[None]:
    """Show on stderr where in ``expression`` something was not understood; the error goes on."""
    try:
        yield
    except ExpressionError as error:
        at = error.detail.get("position")
        if expression.isprintable() and isinstance(at, int) and 0 <= at <= len(expression):
            first = 0 if len(expression) <= _POINTED else max(0, at - _POINTED // 2)
            shown = ("…" if first else "") + expression[first : first + _POINTED]
            before = shown[: at - first + (first > 0)]
            more = "…" if first + _POINTED < len(expression) else ""
            say(f"  {shown}{more}\n  {' ' * cell_len(before)}^")
        raise


def progress() -> Progress:
    """A bar with how much, how fast and how long still, on stderr; shown on a terminal only."""
    console = _console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def verdict(lines: Mapping[str, Any]) -> None:
    """The four lines of a verdict."""
    names = ("integrity", "completeness", "assurance", "coverage")
    show()
    chain = lines.get("chain")
    whole = f"{counted(chain['records'], 'record')}, within your boundary or not" if chain else ""
    said = [(name.capitalize(), lines[name]) for name in names]
    facts([*said, ("Whole chain", whole)] if whole else said)


def terminal_safe_environment() -> None:
    """Make stdout and stderr take any text, whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    os.environ.setdefault("TERM", "dumb")
