"""How keys of the day end, to which journals are sealed.

Rules: a destroyed key is off the disk when the call returns, free pages and write-ahead log
included. Not here: making and opening them (``keyring``), and whether a journal still needs one.
"""

from affidavit.vault.keyring import Keyring


def days(keyring: Keyring) -> list[str]:
    """Days whose key still exists, oldest first."""
    rows = keyring.read("SELECT day FROM recipients WHERE wrapped IS NOT NULL ORDER BY day")
    return [str(day) for (day,) in rows]


def destroy(keyring: Keyring, before: str) -> list[str]:
    """Destroy the keys of all days before ``before``; returns those days.

    Only when no journal segment of such a day is left and no writer may still begin one: a journal
    whose key is gone is unreadable.
    """
    gone = [day for day in days(keyring) if day < before]
    if gone:
        with keyring.changing() as change:
            change.database.execute(
                "UPDATE recipients SET wrapped = NULL, destroyed = ? "
                "WHERE day < ? AND wrapped IS NOT NULL",
                (change.now, before),
            )
        keyring.leave_nothing()
    return gone
