"""The last steps of a start: settle down, then tell the supervisor that the process serves."""

import contextlib
import gc
import os

VARIABLE = "AFFIDAVIT_READY_FD"


def settle() -> None:
    """Take what was loaded out of the collector's sight, and let it look less often.

    A busy process makes few cycles and many short-lived objects; with the defaults the collector
    walks all modules and chains again and again (a quarter of the ledger's time at worst).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def awaited() -> bool:
    """Whether somebody waits for that byte: not for a process that replaces another."""
    return VARIABLE in os.environ


def tell_ready() -> None:
    """Write the byte and close the pipe; nothing to do where no supervisor waits (any more)."""
    number = os.environ.pop(VARIABLE, "")
    if number.isdigit():
        with contextlib.suppress(BrokenPipeError), os.fdopen(int(number), "wb", 0) as pipe:
            pipe.write(b"1")
