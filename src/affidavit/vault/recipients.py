"""Which key of the day writers seal their journals to, and the next one before its day.

Rules: a day has one key and no second one, so where an erasure asks for another key within a day,
it is that of the day after the newest there is. The newest is in use, unless it was made on a day
before today. So the names of these keys may run ahead of the calendar; their order is that in which
they were used. A destroyed key is off the disk on return, free pages and write-ahead log
included. Not here: making and opening them (``keyring``), and whether a journal still needs one.
"""

from collections.abc import Collection
from datetime import date, timedelta

from affidavit.record.seal import RecipientKey
from affidavit.vault.keyring import Keyring

_NEWEST = "SELECT day, created FROM recipients ORDER BY day DESC LIMIT 1"


def in_use(keyring: Keyring, today: str) -> RecipientKey:
    """The key to which writers seal now; ``today`` is ``YYYY-MM-DD``."""
    for day, created in keyring.read(_NEWEST):
        if day > today and created[:10] < today:
            return keyring.recipient_key(renewed(keyring, today))
        return keyring.recipient_key(max(day, today))
    return keyring.recipient_key(today)


def renewed(keyring: Keyring, today: str) -> str:
    """Make another key to seal to from now on, durable on return; the day it is called after."""
    for day, _ in keyring.read(_NEWEST):
        after = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        return keyring.recipient_key(max(after, today)).day
    return keyring.recipient_key(today).day


def days(keyring: Keyring) -> list[str]:
    """Days whose key still exists, oldest first."""
    rows = keyring.read("SELECT day FROM recipients WHERE wrapped IS NOT NULL ORDER BY day")
    return [str(day) for (day,) in rows]


def after(keyring: Keyring, day: str) -> str:
    """The first key that was made after a day of the calendar; ``""`` if none was.

    Whatever was sealed on that day or before is under an earlier one.
    """
    rows = keyring.read("SELECT day, created FROM recipients ORDER BY day")
    return next((str(name) for name, created in rows if created[:10] > day), "")


def destroy(keyring: Keyring, before: str, spare: Collection[str] = ()) -> list[str]:
    """Destroy the keys of all days before ``before`` but those to ``spare``; returns those days.

    Only when no journal segment of such a day is to be taken in and no writer may still begin one:
    a journal whose key is gone is unreadable.
    """
    gone = [day for day in days(keyring) if day < before and day not in spare]
    if gone:
        with keyring.changing() as change:
            change.database.executemany(
                "UPDATE recipients SET wrapped = NULL, destroyed = ? WHERE day = ?",
                [(change.now, day) for day in gone],
            )
        keyring.leave_nothing()
    return gone
