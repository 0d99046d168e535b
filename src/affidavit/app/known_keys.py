"""The log's keys as the files beside the log name them, for who has them from nowhere else.

Rules: what is not there or says something else is damage, named by file. Whoever can change the log
can change these files: they are for checks of one's own disk. Not here: keys known from outside.
"""

from pathlib import Path

from affidavit.errors import ParseError
from affidavit.ledger.findings import damaged
from affidavit.ledger.note import Verifier, read_vkeys
from affidavit.ledger.policy import LogKey, parse_policy


def in_force(log: Path) -> list[Verifier]:
    """The keys in force; ``CorruptError`` if the file does not say."""
    try:
        return read_vkeys((log / "log.vkey").read_text("ascii"))
    except FileNotFoundError:
        raise damaged("log.vkey", "log.vkey is not there.") from None
    except (UnicodeDecodeError, ParseError) as error:
        raise damaged("log.vkey", "log.vkey holds no verifier key.") from error


def ever(log: Path) -> list[LogKey]:
    """Every key that the log ever had, and for which sizes; ``CorruptError`` as ``in_force``."""
    try:
        text = (log / "log.policy").read_text("utf-8")
        return list(parse_policy(text).logs)
    except FileNotFoundError:
        raise damaged("log.policy", "log.policy is not there.") from None
    except (UnicodeDecodeError, ParseError) as error:
        raise damaged("log.policy", "log.policy is not a policy.") from error
