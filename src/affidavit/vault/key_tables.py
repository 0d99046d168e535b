"""The tables of ``keys.db``, and how a file of the first release gets those of this one.

Rules: a key that is *retired* still opens what it wraps and is used for nothing new; of each name
one key at most is neither retired nor destroyed. A destroyed key is a row without the key. Rows
with keys are added at the end, and become shorter only: SQLite, told to overwrite what it deletes,
does so; but where longer rows make it divide a page, it leaves copies. So what comes later stands
in tables of its own. ``segments_emptied``: segments under the bucket key that were removed, as
nothing of them was left, with their first and last leaf; ``segments_emptied_leaves``: all leaves of
those that this release removed (``key_ends``). ``erasures_known``: requests, as bytes
that mean nothing here (``remembered``). ``holds_known``: of each hold whose it is, and a digest of
its words.
"""

import apsw

_TABLES = """
CREATE TABLE IF NOT EXISTS bucket_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL, class TEXT NOT NULL, day TEXT NOT NULL,
    wrapped BLOB, created TEXT NOT NULL, destroyed TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS bucket_keys_by_name ON bucket_keys (tenant, class, day);
CREATE INDEX IF NOT EXISTS bucket_keys_by_day ON bucket_keys (day);
DROP INDEX IF EXISTS bucket_keys_in_use;
CREATE TABLE IF NOT EXISTS bucket_keys_retired (id INTEGER PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS segments_emptied (
    id INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    records INTEGER NOT NULL, at TEXT NOT NULL, PRIMARY KEY (id, first)
) STRICT;
CREATE TABLE IF NOT EXISTS segments_emptied_leaves (
    id INTEGER NOT NULL, first INTEGER NOT NULL, steps BLOB NOT NULL, PRIMARY KEY (id, first)
) STRICT;
CREATE TABLE IF NOT EXISTS erasures_known (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS subject_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL, subject TEXT NOT NULL, class TEXT NOT NULL,
    wrapped BLOB, created TEXT NOT NULL, destroyed TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS subject_keys_by_name ON subject_keys (tenant, subject, class);
DROP INDEX IF EXISTS subject_keys_in_use;
CREATE TABLE IF NOT EXISTS subject_keys_retired (id INTEGER PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS hold_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hold TEXT NOT NULL UNIQUE,
    wrapped BLOB, created TEXT NOT NULL, destroyed TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS holds_known (
    id INTEGER PRIMARY KEY AUTOINCREMENT, hold TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL, wide INTEGER NOT NULL, words BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS recipients (
    day TEXT PRIMARY KEY,
    wrapped BLOB, created TEXT NOT NULL, destroyed TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS secrets (
    name TEXT PRIMARY KEY,
    wrapped BLOB NOT NULL, created TEXT NOT NULL
) STRICT;
"""


def prepare(database: apsw.Connection) -> None:
    """Make the tables that are missing; all of them or none."""
    with database:
        database.execute(_TABLES)
