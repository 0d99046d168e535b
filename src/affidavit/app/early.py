"""A SIGTERM that comes while a process is still starting is remembered instead of killing it.

The sequencer needs this: told to stop the moment it was started again, it still has to sequence
what the gateways acknowledged before they ended.
"""

import signal

_seen: list[int] = []


def remember() -> None:
    """From now on note SIGTERM and SIGINT until the process handles them itself."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: _seen.append(received))


def asked_to_stop() -> bool:
    """Whether one has come since ``remember``."""
    return bool(_seen)
