"""How the pages for people look: text as HTML, tables, the style, and what a browser may do.

Rules: everything that came from outside is escaped; control, bidirectional and other invisible
characters are shown by their number, so that no prompt changes how the page reads; each text has a
direction of its own, so that right-to-left text turns nothing around it; long words are broken
and tables keep to the page, on a screen and on paper. No script, no link, no outside resource, and
a content security policy that allows none; the style is allowed by its digest. Not here: what the
pages say.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that are nothing to see."""
_JOINERS = frozenset("\u200c\u200d")
"""Kept behind what is not ASCII: words of some scripts and emoji are made with them."""
_MAX_MARKS = 4
"""Combining marks in a row; more only cover the lines around them."""

MAX_TEXT = 1_000
"""Characters shown of a value; the bundle holds all of it."""
MAX_CELL = 200
"""Characters shown in a cell of a table."""

STYLE = """
:root{color-scheme:light dark;--t:#1b1f24;--b:#fff;--l:#c9d1d9;--q:#59636e;--s:#f4f6f8;--a:#0b5cad}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,"Segoe UI","Noto Sans","Noto Sans Arabic","Noto Sans Hebrew",
"Noto Sans CJK SC",sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;
color:var(--t);background:var(--b);overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .3rem}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:2px solid var(--t)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.5rem 0}ul{margin:.5rem 0;padding-left:1.4rem}
table{border-collapse:collapse;width:100%;table-layout:fixed;margin:.5rem 0}
th,td{text-align:start;vertical-align:top;padding:.35rem .5rem;border-bottom:1px solid var(--l);
overflow-wrap:anywhere;overflow:hidden}
thead th{background:var(--s);font-weight:600;border-bottom:2px solid var(--l)}
tbody th{font-weight:600}
.v tbody th{width:12rem}.w{overflow-x:auto}.w table{min-width:58rem}
.n{font-variant-numeric:tabular-nums}.small{font-size:.87em}
.when{width:9rem}
pre,code{font:13px/1.45 ui-monospace,"Noto Sans Mono","Noto Sans Mono CJK SC",monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;padding:.3rem .6rem;
background:var(--s);border-inline-start:3px solid var(--l);overflow:hidden}
.i{unicode-bidi:isolate}
.c{background:#ffe2e0;color:#8c1d18;border-radius:3px;padding:0 .2em;unicode-bidi:isolate;
direction:ltr}
.q{color:var(--q)}.lead{font-size:1.05em}
.box{border:1px solid var(--l);background:var(--s);padding:.2rem .9rem;margin:1rem 0}
@media screen and (prefers-color-scheme:dark){:root{--t:#e6edf3;--b:#0d1117;--l:#30363d;--q:#9198a1;
--s:#161b22;--a:#6cb6ff}.c{background:#5c1d1a;color:#ffd8d5}}
@media screen and (max-width:40rem){body{margin:1rem auto;padding:0 .7rem}.v tbody th{width:36%}}
@page{margin:16mm 13mm 18mm;
@bottom-left{content:"Evidence report \\2013  not evidence itself";font:8pt sans-serif;color:#555}
@bottom-right{content:"Page " counter(page) " of " counter(pages);font:8pt sans-serif;color:#555}}
@media print{:root{color-scheme:light;--t:#000;--b:#fff;--l:#999;--q:#444;--s:#f2f2f2}
body{font-size:9.5pt;max-width:none;margin:0;padding:0}pre,code{font-size:8pt}
h2{break-after:avoid;margin-top:1.4rem}h3,.lead{break-after:avoid}
.new{break-before:page}.new h2{margin-top:0}
thead{display:table-header-group}tr{break-inside:avoid}
.w{overflow:visible}.w table{min-width:0;font-size:7.6pt}.w th,.w td{padding:.2rem .25rem}
.when{width:7.5rem}
.c{background:none;border:1px solid #8c1d18}p{orphans:3;widows:3}}
"""


def visible(value: Any) -> str:
    """Text as HTML: escaped, and what is not seen or turns text around shown as its number."""
    whole = str(value)
    if whole.isascii() and whole.isprintable():  # most of it is, and a page has much of it
        return escape(whole, quote=True)
    output = []
    marks, before = 0, "\0"
    for character in whole:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        joins = character in _JOINERS and before > "\x7f"
        hidden = (category in _HIDDEN and not joins) or character in _BLANK
        before = character
        if character == "\n" or (marks <= _MAX_MARKS and not hidden):
            output.append(escape(character, quote=True))
        elif hidden:
            output.append(f'<span class="c">U+{ord(character):04X}</span>')
    return "".join(output)


def cut(value: Any, limit: int = MAX_TEXT) -> str:
    """The beginning of a value, and how long it is if that is not all of it."""
    whole = str(value)
    return whole if len(whole) <= limit else f"{whole[:limit]} … ({len(whole)} characters)"


def text(value: Any) -> str:
    """A value in the middle of a sentence, with a direction of its own."""
    return f'<bdi class="i">{visible(cut(value))}</bdi>'


def block(value: Any) -> str:
    """A text of several lines, as it was written."""
    return f'<pre dir="auto">{visible(value)}</pre>'


def paragraph(words: str, kind: str = "") -> str:
    """Our own words; nothing from outside."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(words)}</p>"


def section(title: str, *body: str, new: bool = False) -> str:
    """A part of the page under a heading; ``new``: on a page of its own in print."""
    kind = ' class="new"' if new else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{''.join(body)}</section>"


def facts(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values, one a line; a value that is a list has one line for each of its own."""
    cells = []
    for name, value in rows:
        values = value if isinstance(value, list) else [value]
        shown = "<br>".join(text(one) for one in values)
        cells.append(f"<tr><th>{escape(name)}</th><td>{shown}</td></tr>")
    return f'<table class="v"><tbody>{"".join(cells)}</tbody></table>'


def table(
    head: Sequence[tuple[str, int]], rows: Iterable[Sequence[Any]], *, wide: bool = False
) -> str:
    """A table; ``head``: title and width of each column, in percent. It repeats on each page.

    ``wide``: on a narrow screen it is moved sideways inside its own frame.
    """
    widths = "".join(f'<col width="{percent}%">' for _, percent in head)
    titles = "".join(f"<th>{escape(title)}</th>" for title, _ in head)
    lines = "".join(
        "<tr>"
        + "".join(f'<td dir="auto">{visible(cut(cell, MAX_CELL))}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    made = (
        f'<table class="small"><colgroup>{widths}</colgroup><thead><tr>{titles}</tr></thead>'
        f"<tbody>{lines}</tbody></table>"
    )
    return f'<div class="w">{made}</div>' if wide else made


def document(title: str, *body: str) -> str:
    """A whole page."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="referrer" content="no-referrer">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{visible(title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )
