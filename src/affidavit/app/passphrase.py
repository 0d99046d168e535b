"""Where the passphrase of a key-encryption key comes from, and how it reaches the processes.

Rules: a descriptor (``AFFIDAVIT_PASSPHRASE_FD``), a file (``AFFIDAVIT_PASSPHRASE_FILE``), the
environment (``AFFIDAVIT_PASSPHRASE``), else a question on the terminal, in this order; never an
argument, never printed, never on disk. ``up`` asks once and hands it to the sequencer and the
console, which read, in a file that is in memory alone; gateways get nothing of it. It is kept by
the processes that have the key, because a renewal wraps the new key under it.
"""

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from affidavit.durable import check_private
from affidavit.errors import UnavailableError, UsageError

VARIABLE = "AFFIDAVIT_PASSPHRASE"
FILE = "AFFIDAVIT_PASSPHRASE_FILE"
DESCRIPTOR = "AFFIDAVIT_PASSPHRASE_FD"
VARIABLES = (DESCRIPTOR, FILE, VARIABLE)
MAX_BYTES = 4096


class Passphrases:
    """The passphrase of this process, found once; ``twice``: whoever types it types it twice."""

    def __init__(self, *, twice: bool = False) -> None:
        self._twice = twice
        self._found: bytes | None = None

    def __repr__(self) -> str:
        return "<Passphrases>"

    def __call__(self) -> bytes:
        """Its bytes; ``UnavailableError`` if there is none."""
        if self._found is None:
            found = given(os.environ)
            self._found = _asked(twice=self._twice) if found is None else found
        return self._found


def given(environ: Mapping[str, str]) -> bytes | None:
    """What descriptor, file or environment hold, less one line end; ``None`` if none is named."""
    if DESCRIPTOR in environ:
        return _whole(_of_descriptor(environ[DESCRIPTOR]))
    if FILE in environ:
        return _whole(_of_file(environ[FILE]))
    if VARIABLE in environ:
        return _whole(os.fsencode(environ[VARIABLE]))
    return None


def in_memory(passphrase: bytes) -> int:
    """A descriptor of a file in memory that children may inherit, to be named ``DESCRIPTOR``."""
    fd = os.memfd_create("passphrase", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(passphrase)
    return fd


def _of_descriptor(text: str) -> bytes:
    try:
        fd = int(text)
        try:
            return os.pread(fd, MAX_BYTES + 1, 0)  # the same for each process that inherits it
        except OSError:
            with os.fdopen(os.dup(fd), "rb") as pipe:
                return pipe.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"{DESCRIPTOR} names no descriptor that can be read.",
            hint=f"Give it by redirection: {DESCRIPTOR}=3 affidavit up 3</path/to/file",
        ) from error


def _of_file(name: str) -> bytes:
    try:
        path = Path(name)
        if path.is_file():  # a pipe has no mode that says anything
            _check_private(path)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnavailableError(
            f"The file of {FILE} cannot be read: {error.strerror}.",
            hint="It holds the passphrase and has mode 0600.",
        ) from error


def _check_private(path: Path) -> None:
    try:
        check_private(path)
    except UnavailableError as error:
        raise UnavailableError(
            f"The file of {FILE} is not a secret: {error.message}", hint=f"chmod 600 {path}"
        ) from error


def _whole(data: bytes) -> bytes:
    text = data.removesuffix(b"\n").removesuffix(b"\r")
    if not text or len(text) > MAX_BYTES:
        raise UnavailableError("The passphrase that was given is empty, or far too long.")
    return text


def _asked(*, twice: bool) -> bytes:
    """Ask on the terminal; ``UnavailableError`` if nobody is there."""
    hint = f"Set {FILE}, {VARIABLE} or {DESCRIPTOR}, or start it on a terminal."
    if not sys.stdin.isatty():
        raise UnavailableError("The key-encryption key needs its passphrase.", hint=hint)
    first = getpass.getpass("Passphrase of the key-encryption key: ")
    if twice and getpass.getpass("Once more: ") != first:
        raise UsageError("The two passphrases differ.", hint="Start again.")
    return _whole(first.encode())
