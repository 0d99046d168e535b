"""A table of ``state.db`` written anew, so that nothing that was taken from it stays on any page.

Rules: SQLite, told to overwrite what it deletes, does so, but not copies that it left on pages
where it moved rows: where all rows go, all pages of the table do, and these are overwritten. Not
here: the write-ahead log (``app.purging``).
"""

import apsw


def written_anew(connection: apsw.Connection, table: str, columns: str) -> None:
    """Take out all rows of a table and put them back, within the caller's transaction or its own.

    ``columns``: all of its columns, and ``rowid`` where rows are told apart by their order.
    """
    with connection:
        rows = connection.execute(f"select {columns} from {table}").fetchall()  # noqa: S608 - names of a store
        connection.execute(f"delete from {table}")  # noqa: S608 - frees all pages, overwritten
        marks = ", ".join("?" * (columns.count(",") + 1))
        connection.executemany(f"insert into {table} ({columns}) values ({marks})", rows)  # noqa: S608 - as above
