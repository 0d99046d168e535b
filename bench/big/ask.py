"""Questions of people, as the console asks them: ``Searcher`` and ``narrative``, timed.

Each question is asked with many values in turn (models, sessions, callers, words), as a cache that
has seen the very same question would flatter; figures are milliseconds over all of them. A slow
question is asked as often as ``PATIENCE`` seconds allow, and ten times at least. Nothing is
recorded about these reads, so the journal's commit that the console adds to each is not in them.
"""

import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from affidavit.errors import AffidavitError
from affidavit.query import boundary
from affidavit.query.boundary import Boundary
from affidavit.query.language import parse
from affidavit.query.search import Searcher
from affidavit.query.session import narrative
from affidavit.query.sums import wanted
from affidavit.query.tree import And, Match, Number
from big.place import Place
from big.traffic import ACTORS, MODELS, PHRASE, RARE, TEAMS, TENANTS

WIDE = boundary.owner("bench")
NARROW = Boundary(
    "bench", "member", And((Match("tenant", "tenant-3"), Match("team", "team-7"))),
    frozenset({"who", "what", "control", "outcome"}), "with_reason",
)  # fmt: skip
REASON = "bench"
PATIENCE = 20.0
LISTS = ("rows", "exchanges", "lines")
DEEP_PAGES = 20
"""So many pages of 1,000 rows lie before the deep page."""
EVERY = 1 << 60

Ask = Callable[[int], object]
"""Asks a question with the n-th of its values."""


def machine() -> dict[str, Any]:
    """What this ran on."""
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()}


def latest(place: Place) -> str:
    """The ledger time of the newest row: what "now" is in a filled directory."""
    reader = place.index()
    try:
        return reader.built()[0].time
    finally:
        reader.close()


def timed(ask: Ask, times: int) -> dict[str, Any]:
    """p50, p95 and the longest of one question; what it was refused with, if it was."""
    spent: list[float] = []
    until = time.monotonic() + PATIENCE
    refused = ""
    size = 0
    for number in range(times):
        begin = time.perf_counter()
        try:
            answer = ask(number)
        except AffidavitError as error:
            refused = error.message
            break
        spent.append((time.perf_counter() - begin) * 1e3)
        size += next((len(getattr(answer, name)) for name in LISTS if hasattr(answer, name)), 0)
        if time.monotonic() > until and number >= 9:
            break
    spent.sort()
    found: dict[str, Any] = {"times": len(spent)}
    if spent:
        found |= {"p50_ms": at(spent, 0.5), "p95_ms": at(spent, 0.95), "max_ms": at(spent, 1.0)}
        found["rows"] = round(size / len(spent), 1)
    return found | ({"refused": refused} if refused else {})


def at(values: Sequence[float], share: float) -> float:
    """The value at that share of sorted ones."""
    return round(values[min(len(values) - 1, int(len(values) * share))], 2)


def sessions(place: Place, who: Boundary, count: int) -> list[str]:
    """Sessions from all over the 90 days that the boundary shows."""
    searcher, draw, found = Searcher(place.index(), None), random.Random(5), []
    size = searcher.reader.built()[0].size
    while len(found) < count:
        older = Number("index", "<", draw.randrange(size // 50, size + 1))
        for row in searcher.run(older, who, limit=5, count_to=1).rows:
            if row.get("session"):
                found.append(row["session"])
                break
    return found


def questions(place: Place, who: Boundary, times: int) -> dict[str, Ask]:
    """All questions by name, for one boundary."""
    searcher = Searcher(place.index(), place.vault())
    now = latest(place)
    known = sessions(place, who, times)
    narrow = who is NARROW
    teams = [number for number in range(ACTORS) if number % TEAMS == 7] if narrow else range(ACTORS)
    actors = [f"act_{number:05d}" for number in teams]

    def sums(text: str, *by: str, latency: bool = False) -> Ask:
        want = wanted(by, latency=latency)
        return lambda _: searcher.aggregate(parse(text, now), who, want)

    def page(text: Callable[[int], str], **more: Any) -> Ask:
        return lambda n: searcher.run(parse(text(n), now), who, reason=REASON, **more)

    def model(n: int) -> str:
        return f"model-{n % MODELS}"

    def cursors(text: str) -> tuple[Any, str]:
        tree, cursor = parse(text, now), ""
        for _ in range(DEEP_PAGES):
            cursor = searcher.run(tree, who, limit=1_000, cursor=cursor, reason=REASON).cursor
            if not cursor:
                break
        return tree, cursor

    def deep(text: str) -> Ask:
        tree, cursor = cursors(text)
        return lambda _: searcher.run(tree, who, cursor=cursor, reason=REASON)

    def word(n: int) -> str:
        return f"word{(n * 37) % 5_000}"

    found: dict[str, Ask] = {
        "headline: a common model, 90 days": page(lambda n: f"model:{model(n)} since:90d"),
        "headline: the rare model, 90 days": page(lambda _: f"model:{RARE} since:90d"),
        "headline: a deep page": deep("model:model-7 since:90d"),
        "headline: exchanges of a common model": lambda n: searcher.exchanges(
            parse(f"model:{model(n)} since:90d", now), who
        ),
        "session: its page": page(lambda n: f"session:{known[n % len(known)]}"),
        "session: its narrative": lambda n: narrative(searcher, known[n % len(known)], who),
        "session: its narrative with content": lambda n: narrative(
            searcher, known[n % len(known)], who, reason=REASON
        ),
        "actor and week": page(lambda n: f"actor:{actors[n * 7 % len(actors)]} since:7d"),
        "phrase: the rare one": page(lambda _: f'"{PHRASE}"'),
        "phrase: two words": page(lambda n: f'"{word(n)} {word(n + 1)}"'),
        "phrase: two common words": page(lambda n: f'"word{n % 50} word{n * 3 % 50}"'),
        "phrase: a word and a model": page(lambda n: f'"{word(n)}" model:{model(n)}'),
        "changes to a model": page(lambda n: f"model:{model(n)} type:change.* since:90d"),
        "newest": page(lambda _: ""),
        "count: common model, to 10,000": page(
            lambda n: f"model:{model(n)} since:90d", limit=1, count_to=10_000
        ),
        "count: common model, exact": page(
            lambda n: f"model:{model(n)} since:90d", limit=1, count_to=EVERY
        ),
        "count: everything in 90 days, exact": page(
            lambda _: "since:90d", limit=1, count_to=EVERY
        ),
        "sums: by day and model, 90 days": sums("since:90d", "day", "model"),
        "sums: by hour and model, 7 days": sums("since:7d", "hour", "model"),
        "sums: by day and team, 90 days, with latencies": sums(
            "since:90d", "day", "team", latency=True
        ),
        "sums: by model, a day": sums("since:24h", "model"),
        "sums: by day and status of a model, 90 days": lambda n: searcher.aggregate(
            parse(f"model:{model(n)} since:90d", now), who, wanted(("day", "status"))
        ),
        "sums: by team, 30 days": sums("since:30d", "team"),
        "sums: by day, of a caller, 90 days": lambda n: searcher.aggregate(
            parse(f"actor:{actors[n * 7 % len(actors)]} since:90d", now), who, wanted(("day",))
        ),
    }  # fmt: skip
    if hasattr(searcher, "facets"):
        found |= {
            "facets: a common model, 90 days": lambda n: searcher.facets(
                parse(f"model:{model(n)} since:90d", now), who
            ),
            "facets: everything, a day": lambda _: searcher.facets(parse("since:24h", now), who),
            "facets: models and statuses of a common model, all counted": lambda n: searcher.facets(
                parse(f"model:{model(n)} since:90d", now), who, ("model", "status"), exact=True
            ),
            "histogram: a common model by day, all counted": lambda n: searcher.histogram(
                parse(f"model:{model(n)} since:90d", now), who, "day", exact=True
            ),
            "histogram: a common model by day, 90 days": lambda n: searcher.histogram(
                parse(f"model:{model(n)} since:90d", now), who, "day"
            ),
            "histogram: everything by hour, 7 days": lambda _: searcher.histogram(
                parse("since:7d", now), who, "hour"
            ),
        }  # fmt: skip
    if not narrow:
        found["refused or broken, of a person"] = page(
            lambda n: f"actor:person{n * 7 % ACTORS}@example.com -status:complete"
        )
        found["client aborts, 30 days"] = page(lambda _: "status:client_gone since:30d")
        found["tenant and tool"] = page(
            lambda n: f"tenant:tenant-{n % TENANTS} tool:tool-{n % 12} since:30d"
        )
    return found


def every(within: str, asked: dict[str, Ask], times: int) -> dict[str, Any]:
    """Ask all of them; each answer is told on stderr as it comes."""
    found = {}
    for what, ask in asked.items():
        found[what] = timed(ask, times)
        print(json.dumps({"within": within, "asked": what} | found[what]), file=sys.stderr)
    return found


def run(place: Place, times: int) -> dict[str, Any]:
    """Ask everything within the widest and the tightest boundary."""
    result: dict[str, Any] = {}
    for name, who in (("everything", WIDE), ("one team, four sections", NARROW)):
        asked = questions(place, who, times)
        result[name] = every(name, asked, times)
    return result
