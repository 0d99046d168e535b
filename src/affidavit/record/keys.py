"""The key-encryption key, and the few things that are derived from it or wrapped by it.

Rules: the key-encryption key is 32 random bytes and is never used itself; each purpose has its own
key from it by HKDF-SHA-256 (RFC 5869). A file of mode 0600 holds it in the form that its ``Source``
gives it: as it is, or wrapped (``kek``); in the clear it is in memory alone. Keys are wrapped by
AES Key Wrap (RFC 3394) under 256 bits. Whoever destroys a key overwrites it before removing it, for
what that is worth on a disk that remaps. Not here: the keys of the day that seal the journal
(``seal``), and the keys of content, which the vault keeps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from affidavit import ids
from affidavit.durable import Disk, check_private
from affidavit.errors import CorruptError, UnavailableError, UsageError

LOST = (
    "Restore the file from where its copy is kept. Without it sections, content, state and index "
    "stay shut for good; the log and its proofs remain."
)
MAX_FILE = 16_384
"""A file of a key-encryption key has so many bytes at most."""


def hkdf(secret: bytes, info: str, length: int = ids.KEY_BYTES) -> bytes:
    """HKDF-SHA-256 (RFC 5869) of ``secret`` without salt; ``info`` names the purpose."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info.encode()).derive(secret)


def wrap_key(wrapping: bytes, key: bytes) -> bytes:
    """AES Key Wrap (RFC 3394 §2.2.1): 8 bytes longer than ``key``, a multiple of 8 from 16 on."""
    return keywrap.aes_key_wrap(wrapping, key)


def unwrap_key(wrapping: bytes, wrapped: bytes) -> bytes:
    """Undo ``wrap_key``; ``CorruptError`` if it is damaged or wrapped under another key."""
    try:
        return keywrap.aes_key_unwrap(wrapping, wrapped)
    except (keywrap.InvalidUnwrap, ValueError) as error:
        raise CorruptError("A wrapped key does not open.") from error


class KeyEncryptionKey:
    """The key that opens all other keys of a data directory; made by ``create`` or ``load``."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._wrapping = self.derive("wrap")

    def __repr__(self) -> str:
        return "<KeyEncryptionKey>"

    @classmethod
    def create(cls, disk: Disk, path: Path, source: "Source | None" = None) -> "KeyEncryptionKey":
        """Make a new key and write it to ``path``, mode 0600; ``UsageError`` if one is there.

        ``source`` (default ``PlainFile``) may refuse or fail with errors of its own.
        """
        if path.exists():
            raise UsageError(
                f"{path.name} is there already.",
                hint="A second key would make everything under the first one unreadable.",
            )
        secret = ids.key()
        disk.write_file(path, (source or PlainFile()).seal(secret))
        return cls(secret)

    @classmethod
    def load(cls, path: Path, sources: "Sequence[Source] | None" = None) -> "KeyEncryptionKey":
        """Read the key from ``path``, which one of ``sources`` wrote (default ``PlainFile``).

        ``UnavailableError`` if the file is missing, not a key, or readable by others; what the
        source raises.
        """
        return cls.parse(path.name, read_key_file(path), sources)

    @classmethod
    def parse(
        cls, name: str, data: bytes, sources: "Sequence[Source] | None" = None
    ) -> "KeyEncryptionKey":
        """The key in the bytes of the file ``name``; errors as ``load``."""
        for source in sources or (PlainFile(),):
            if data.startswith(source.mark):
                try:
                    return cls(source.open(data))
                except ValueError as error:
                    raise no_key(name) from error
        raise no_key(name)

    @property
    def id(self) -> str:
        """Names the key where it is spoken of, and tells nothing of it."""
        return f"kek_{self.derive('id')[:6].hex()}"

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (``state.db``, ``index.db`` …), always the same for it."""
        return hkdf(self._secret, f"affidavit/kek/v1/{purpose}")

    def wrap(self, key: bytes) -> bytes:
        """Wrap ``key`` (RFC 3394) under the key derived for wrapping."""
        return wrap_key(self._wrapping, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Undo ``wrap``; ``CorruptError`` if it is damaged or wrapped under another key."""
        return unwrap_key(self._wrapping, wrapped)


def destroy_key_file(disk: Disk, path: Path) -> None:
    """Overwrite the file at ``path``, durably, and remove it; no error if it is not there."""
    if path.exists():
        disk.overwrite(path, 0, bytes(path.stat().st_size))
    disk.remove(path)


class Source(Protocol):
    """A way to keep the 32 bytes of a key-encryption key in a file."""

    kind: str
    """Its name in the configuration and on the command line."""
    mark: bytes
    """What its files begin with, and no other source's."""

    def seal(self, secret: bytes) -> bytes:
        """The bytes of a file for ``secret``; an ``AffidavitError`` says why not."""
        ...

    def open(self, data: bytes) -> bytes:
        """The secret in a file that begins with ``mark``.

        ``ValueError`` if it is not such a file, byte for byte; an ``AffidavitError`` if it is and
        does not open.
        """
        ...


class PlainFile:
    """The key as it is; who may read the file has it."""

    kind = "file"
    mark = b"affidavit-kek-1 "

    def seal(self, secret: bytes) -> bytes:
        """One line: mark and key (base64url)."""
        return self.mark + ids.b64u(secret).encode() + b"\n"

    def open(self, data: bytes) -> bytes:
        """Undo ``seal``."""
        secret = ids.from_b64u(fields(data, self.mark, 1)[0])
        if len(secret) != ids.KEY_BYTES:
            raise ValueError("not a key")
        return secret


def fields(data: bytes, mark: bytes, count: int) -> list[str]:
    """The ``count`` words of a one-line file behind ``mark``; ``ValueError`` if it differs."""
    words = data.decode("ascii").removeprefix(mark.decode()).split(" ")
    if len(words) != count or not words[-1].endswith("\n"):
        raise ValueError("not a line of that many words")
    words[-1] = words[-1][:-1]
    if not all(word and word.isprintable() for word in words):
        raise ValueError("an empty word")
    return words


def read_key_file(path: Path) -> bytes:
    """The bytes of a file of mode 0600; ``UnavailableError`` if there is none to be read."""
    try:
        check_private(path)
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        raise no_key(path.name) from error


def no_key(name: str) -> UnavailableError:
    """The error for a file that holds no key of any source."""
    return UnavailableError(f"{name} holds no readable key-encryption key.", hint=LOST)
