"""Following a tail for as long as somebody wants it, whatever happens to the connection.

Rules: a connection that breaks is made again, from the leaf behind the last row on, so no row is
lost and none comes twice; it is said on stderr each time. What is refused, not understood or takes
too long ends it, and so does a console that cannot be reached at the first time. Not here: how rows
are shown.
"""

import time
from collections.abc import Iterator
from typing import Any

from affidavit.cli import output
from affidavit.cli.client import Client
from affidavit.errors import LimitedError, UnavailableError

FIRST_SECONDS, MOST_SECONDS = 0.5, 15.0
"""The pause before a connection is made again; it doubles while that fails."""


def follow(client: Client, after: int, **asked: object) -> Iterator[dict[str, Any]]:
    """The rows from leaf ``after`` on, without end; asked for the first time on return."""
    rows = client.events("/api/tail", after=after, **asked)
    return _follow(client, rows, after, asked)


def _follow(
    client: Client, rows: Iterator[dict[str, Any]], after: int, asked: dict[str, object]
) -> Iterator[dict[str, Any]]:
    pause = FIRST_SECONDS
    while True:
        why = "The console ended the tail."
        try:
            for row in rows:
                after, pause = row["index"] + 1, FIRST_SECONDS
                yield row
        except UnavailableError as error:
            why = error.message
        while True:
            output.say(f"{why} Connecting again in {pause:g} s, to go on from leaf {after}.")
            time.sleep(pause)
            pause = min(2 * pause, MOST_SECONDS)
            try:
                rows = client.events("/api/tail", after=after, **asked)
            except (UnavailableError, LimitedError) as error:
                why = error.message
                continue
            output.say(f"Connected again; going on from leaf {after}.")
            break
