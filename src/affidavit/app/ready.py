"""How a child tells its supervisor that it serves: one byte on an inherited pipe."""

import os

VARIABLE = "AFFIDAVIT_READY_FD"


def tell_ready() -> None:
    """Write the byte and close the pipe; nothing to do where no supervisor waits."""
    number = os.environ.pop(VARIABLE, "")
    if number.isdigit():
        with os.fdopen(int(number), "wb", closefd=True) as pipe:
            pipe.write(b"1")
