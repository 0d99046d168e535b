"""What ``keys.db`` remembers of erasures: whoever restores an old backup has the keys of now.

Rules: a body is bytes that mean nothing here, one for each name. One that changes is taken away and
put at the end anew (``key_tables``). SQLite overwrites what it takes away, but where it had moved a
row from page to page before, a copy may be left: ``leave_none`` sees to these. Not here: what is in
it, and when (``app.remembering``); the write-ahead log (``keyring.leave_nothing``).
"""

from collections.abc import Mapping

from affidavit.vault.keyring import Keyring


def put(keyring: Keyring, bodies: Mapping[str, bytes], *, wiped: bool = False) -> None:
    """Remember a body under each name, in the place of what was there: all or none, durable.

    With ``wiped`` nothing of what was there stays on any page, as of ``leave_none``.
    """
    with keyring.changing() as change:
        for name, body in bodies.items():
            change.database.execute("DELETE FROM erasures_known WHERE name = ?", (name,))
            change.database.execute(
                "INSERT INTO erasures_known (name, body) VALUES (?, ?)", (name, body)
            )
        if wiped:
            leave_none(keyring)


def one(keyring: Keyring, name: str) -> bytes | None:
    """What is remembered under a name; ``None`` if there is no such name."""
    rows = keyring.read("SELECT body FROM erasures_known WHERE name = ?", (name,))
    return bytes(rows[0][0]) if rows else None


def leave_none(keyring: Keyring) -> None:
    """Write all of it anew, so that nothing that was taken away stays on any page; durable."""
    with keyring.changing() as change:
        rows = change.database.execute("SELECT id, name, body FROM erasures_known").fetchall()
        change.database.execute("DELETE FROM erasures_known WHERE id > 0")  # a renewal sees each
        change.database.execute("DELETE FROM erasures_known")  # frees all pages, overwritten
        change.database.executemany(
            "INSERT INTO erasures_known (id, name, body) VALUES (?, ?, ?)", rows
        )


def every(keyring: Keyring) -> dict[str, bytes]:
    """All that is remembered, by name, in order."""
    rows = keyring.read("SELECT name, body FROM erasures_known ORDER BY name")
    return {str(name): bytes(body) for name, body in rows}
