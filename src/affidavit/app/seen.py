"""Whether what somebody outside says of the time fits the log, before it is kept or published.

Rules: a verifier refuses a leaf that is dated five minutes after somebody else had seen it, and
names the log as the one that is wrong. So a witness or an authority whose clock is behind, or that
wants harm, would make every answer under its word be refused: its word is left out, and whoever
runs the log is told. It is left out a minute before verifiers refuse, since they compare the time
of the log's ML-DSA-44 signature, too, which is a little after that of the newest leaf. A clock that
is ahead proves less and harms nobody. Not here: which of the two clocks is wrong.
"""

from affidavit.clock import add_seconds
from affidavit.errors import CheckFailedError
from affidavit.ledger.log_reader import LogReader

BEHIND_SECONDS = 240.0
"""So far the time of somebody outside may be before that of the newest leaf."""


def check(reader: LogReader, size: int, time: str, who: str) -> None:
    """``CheckFailedError`` if ``who`` saw ``size`` leaves at ``time``, long before the newest was.

    Its detail has ``reason`` ``clock``. Reads the disk.
    """
    leaf = reader.decoded(size - 1)
    if leaf.time > add_seconds(time, BEHIND_SECONDS):
        raise CheckFailedError(
            f"{who} is more than {BEHIND_SECONDS / 60:g} minutes behind the newest leaf: one of the"
            " two clocks is wrong.",
            hint="Set this machine's clock, or tell whoever runs the other one.",
            reason="clock",
            leaf=leaf.index,
            time=time,
        )
