"""The same rows and texts in DuckDB, asked the same.

Rows are read from the index, texts from what the writer put beside it, and both loaded in ledger
order, lists as lists and times as timestamps; a file on the same disk, all cores, no index, as
DuckDB is used. A phrase is a text that contains it (DuckDB has no index of phrases). Nothing is
encrypted there, and no boundary comes in between but the condition written here.
"""

import csv
import time
from collections.abc import Callable
from typing import Any

import duckdb

from affidavit.clock import add_seconds
from big import ask
from big.ask import Ask
from big.place import Place
from big.traffic import ACTORS, MODELS, PHRASE, RARE, TEAMS

CHUNK = 200_000
COLUMNS = (
    "idx", "id", "time", "type", "tier", "re", "answered", "tenant", "team", "actor", "kind",
    "role", "credential", "assurance", "session", "provider", "api", "operation", "model",
    "models", "tools", "sources", "target", "decision", "reason", "status", "http", "tokens_in",
    "tokens_out", "first_byte", "duration", "bytes", "error", "parent",
)  # fmt: skip
LISTS = ("models", "tools", "sources")
NUMBERS = {"idx", "re", "answered", "http", "tokens_in", "tokens_out", "bytes"}
NARROW = "tenant = 'tenant-3' AND team = 'team-7'"


def _cast(name: str) -> str:
    if name in LISTS:
        return f"from_json({name}, '[\"VARCHAR\"]') AS {name}"
    if name in NUMBERS:
        return f"{name}::BIGINT AS {name}"
    if name == "time":
        return f"{name}::TIMESTAMP AS {name}"
    return f"{name}::DOUBLE AS {name}" if name in ("first_byte", "duration") else name


def load(place: Place, database: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Load everything; how long it took and how large it is."""
    began = time.monotonic()
    reader = place.index()
    size = reader.built()[0].size
    chunk = place.side / "chunk.csv"
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in (*COLUMNS, "email"))
    source = (
        f"SELECT {', '.join(map(_cast, COLUMNS))}, email FROM read_csv(?, header = false, "
        f"columns = {{{columns}}}, nullstr = '', allow_quoted_nulls = false)"
    )
    for low in range(0, size, CHUNK):
        rows = reader.query(
            f"SELECT {', '.join('r.' + name for name in names.split(', '))}, p.email "
            "FROM record r LEFT JOIN person p ON p.idx = r.idx "
            "WHERE r.idx >= ? AND r.idx < ? ORDER BY r.idx", (low, low + CHUNK),
        )  # fmt: skip
        with chunk.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        verb = "INSERT INTO record" if low else "CREATE TABLE record AS"
        database.execute(f"{verb} {source}", [str(chunk)])
    chunk.unlink(missing_ok=True)
    rows_took = time.monotonic() - began
    database.execute(
        "CREATE TABLE said AS SELECT r.idx, t.text FROM read_csv(?, header = false, quote = '', "
        "columns = {'id': 'VARCHAR', 'text': 'VARCHAR'}) t JOIN record r USING (id) ORDER BY r.idx",
        [str(place.side / "texts-*.csv")],
    )
    ((records,),) = database.execute("SELECT count(*) FROM record").fetchall()
    ((texts,),) = database.execute("SELECT count(*) FROM said").fetchall()
    database.execute("CHECKPOINT")
    return {
        "version": duckdb.__version__, "records": records, "texts": texts,
        "rows_s": round(rows_took, 1), "all_s": round(time.monotonic() - began, 1),
    }  # fmt: skip


def questions(
    place: Place, database: duckdb.DuckDBPyConnection, known: list[str], within: str
) -> dict[str, Ask]:
    """The questions of ``ask`` that SQL can say; ``within`` is the boundary."""
    now = ask.latest(place)
    since = {days: add_seconds(now, -days * 86_400) for days in (1, 7, 30, 90)}
    narrow = within == NARROW
    teams = [number for number in range(ACTORS) if number % TEAMS == 7] if narrow else range(ACTORS)
    actors = [f"act_{number:05d}" for number in teams]
    of_model = "list_contains(models, ?) AND time >= ?"
    spoken = "idx IN (SELECT idx FROM said WHERE contains(text, ?))"

    def rows(where: str, values: Callable[[int], list[Any]]) -> Ask:
        sql = f"SELECT * FROM record WHERE {within} AND {where} ORDER BY idx DESC LIMIT 100"
        return lambda n: _Rows(database.execute(sql, values(n)).fetchall())

    def table(select: str, where: str, by: str, values: Callable[[int], list[Any]]) -> Ask:
        sql = f"SELECT {select} FROM record WHERE {within} AND {where} {by}"
        return lambda n: _Rows(database.execute(sql, values(n)).fetchall())

    def model(n: int) -> str:
        return f"model-{n % MODELS}"

    def word(n: int) -> str:
        return f"word{(n * 37) % 5_000}"

    deep = database.execute(
        f"SELECT min(idx) FROM (SELECT idx FROM record WHERE {within} AND {of_model} "
        f"ORDER BY idx DESC LIMIT {ask.DEEP_PAGES * 1_000})", ["model-7", since[90]],
    ).fetchall()[0][0] or 0  # fmt: skip
    closed = "type = 'exchange.response' AND re IS NOT NULL AND time >= ?"
    sums = (
        "count(*), sum((status <> 'complete' OR http >= 400)::INT), sum(tokens_in), sum(tokens_out)"
    )
    return {
        "headline: a common model, 90 days": rows(of_model, lambda n: [model(n), since[90]]),
        "headline: the rare model, 90 days": rows(of_model, lambda _: [RARE, since[90]]),
        "headline: a deep page": rows(
            f"{of_model} AND idx < ?", lambda _: ["model-7", since[90], deep]
        ),
        "session: its page": rows("session = ?", lambda n: [known[n % len(known)]]),
        "actor and week": rows(
            "actor = ? AND time >= ?", lambda n: [actors[n * 7 % len(actors)], since[7]]
        ),
        "phrase: the rare one": rows(spoken, lambda _: [PHRASE]),
        "phrase: two words": rows(spoken, lambda n: [f"{word(n)} {word(n + 1)}"]),
        "phrase: two common words": rows(spoken, lambda n: [f"word{n % 50} word{n * 3 % 50}"]),
        "phrase: a word and a model": rows(
            f"{spoken} AND list_contains(models, ?)", lambda n: [word(n), model(n)]
        ),
        "newest": rows("true", lambda _: []),
        "count: common model, exact": table(
            "count(*)", of_model, "", lambda n: [model(n), since[90]]
        ),
        "count: everything in 90 days, exact": table(
            "count(*)", "time >= ?", "", lambda _: [since[90]]
        ),
        "sums: by day and model, 90 days": table(
            f"time::DATE, model, {sums}", closed, "GROUP BY ALL", lambda _: [since[90]]
        ),
        "sums: by model, a day": table(
            f"model, {sums}", closed, "GROUP BY ALL", lambda _: [since[1]]
        ),
        "sums: by day and status of a model, 90 days": table(
            f"time::DATE, status, {sums}", f"{closed} AND list_contains(models, ?)",
            "GROUP BY ALL", lambda n: [since[90], model(n)],
        ),
        "sums: by team, 30 days": table(
            f"team, {sums}", closed, "GROUP BY ALL", lambda _: [since[30]]
        ),
    }  # fmt: skip


class _Rows:
    """What came back, as the timer counts it."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows


def run(place: Place, times: int) -> dict[str, Any]:
    """Load and ask within the widest and the tightest boundary."""
    file = place.side / "beside.duckdb"
    file.unlink(missing_ok=True)
    database = duckdb.connect(str(file))
    result: dict[str, Any] = {"load": load(place, database)}
    database.close()
    result["load"]["bytes_per_record"] = round(file.stat().st_size / result["load"]["records"])
    database = duckdb.connect(str(file), read_only=True)
    found = {}
    for name, who, within in (
        ("everything", ask.WIDE, "true"), ("one team, four sections", ask.NARROW, NARROW)
    ):  # fmt: skip
        known = ask.sessions(place, who, times)
        asked = questions(place, database, known, within)
        found[name] = ask.every(f"duckdb, {name}", asked, times)
    database.close()
    file.unlink()
    return result | {"questions": found}
