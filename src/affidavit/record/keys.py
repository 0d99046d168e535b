"""The key-encryption key, and the few things that are derived from it or wrapped by it.

Rules: one key-encryption key of 32 random bytes lives in a file of mode 0600 and is never used
itself; each purpose has its own key from it by HKDF-SHA-256 (RFC 5869). Keys are wrapped by AES
Key Wrap (RFC 3394) under 256 bits. Whoever destroys a key overwrites it before removing it, for
what that is worth on a disk that remaps. Not here: the keys of the day that seal the journal
(``seal``), and the keys of content, which the vault keeps.
"""

from pathlib import Path

from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from affidavit import ids
from affidavit.durable import Disk, check_private
from affidavit.errors import CorruptError, UnavailableError, UsageError

_MARK = "affidavit-kek-1 "
_FILE_BYTES = len(_MARK) + 43 + 1


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
    def create(cls, disk: Disk, path: Path) -> "KeyEncryptionKey":
        """Make a new key and write it to ``path``, mode 0600; ``UsageError`` if one is there."""
        if path.exists():
            raise UsageError(
                f"{path.name} is there already.",
                hint="A second key would make everything under the first one unreadable.",
            )
        secret = ids.key()
        disk.write_file(path, f"{_MARK}{ids.b64u(secret)}\n".encode())
        return cls(secret)

    @classmethod
    def load(cls, path: Path) -> "KeyEncryptionKey":
        """Read the key from ``path``.

        ``UnavailableError`` if the file is missing, not a key, or readable by others.
        """
        try:
            check_private(path)
            text = path.read_text("ascii")
            secret = ids.from_b64u(text.removeprefix(_MARK).removesuffix("\n"))
        except (OSError, ValueError) as error:
            raise _no_key(path) from error
        if len(text) != _FILE_BYTES or len(secret) != ids.KEY_BYTES:
            raise _no_key(path)
        return cls(secret)

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


def _no_key(path: Path) -> UnavailableError:
    return UnavailableError(
        f"{path.name} holds no readable key-encryption key.",
        hint="Restore the file from where its copy is kept; without it nothing sealed opens.",
    )
