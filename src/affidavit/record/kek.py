"""The files of a key-encryption key, also while it is being renewed, and keys under a passphrase.

Rules: ``kek`` is in force until ``keys.db`` has been put in place under the key in ``kek.next``;
from then on that one is, and takes the name when the old one has been overwritten. So of the two,
the one in force is the one that opens ``keys.db``, and nobody needs to know how far a renewal came.
What was unwrapped once is remembered as long as its file is there, so that a file which is read
again asks for nothing. Not here: who renews (``vault.renewal``), where a passphrase comes from.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from affidavit import ids
from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CheckFailedError, CorruptError, UsageError
from affidavit.record.keys import (
    MAX_FILE,
    KeyEncryptionKey,
    PlainFile,
    Source,
    destroy_key_file,
    fields,
    no_key,
    read_key_file,
    unwrap_key,
    wrap_key,
)

SALT_BYTES = 16
LOG_N, R, P = 17, 8, 1
"""Cost of a new file: 128 MiB and some tenths of a second (RFC 7914 §2: N is a power of two)."""
MAX_LOG_N, MAX_R, MAX_P = 20, 16, 4
"""No file is opened that asks for more: memory is 128 × r × N bytes."""
MIN_CHARACTERS = 12
"""Of a passphrase under which a key is put."""
_REMEMBERED = 8


class Passphrase:
    """The key, wrapped under scrypt (RFC 7914) of a passphrase; ``ask`` gives its bytes.

    A file is one line: mark, log2 of N, r, p, salt, wrapped key (RFC 3394). A changed parameter or
    salt gives another wrapping key, which does not open it.
    """

    kind = "passphrase"
    mark = b"affidavit-kek-passphrase-1 "

    def __init__(self, ask: Callable[[], bytes], log_n: int | None = None) -> None:
        self._ask = ask
        self._log_n = LOG_N if log_n is None else log_n

    def __repr__(self) -> str:
        return "<Passphrase>"

    def words(self) -> bytes:
        """The passphrase, fit for a new file; ``UsageError`` if it is short; errors as ``ask``."""
        passphrase = self._ask()
        if len(passphrase.decode("utf-8", "replace")) < MIN_CHARACTERS:
            raise UsageError(
                f"The passphrase is too short: it takes at least {MIN_CHARACTERS} characters.",
                hint="Take some words that nobody has put together before.",
            )
        return passphrase

    def seal(self, secret: bytes) -> bytes:
        """Wrap ``secret`` under a new salt; errors as ``words``."""
        passphrase = self.words()
        salt = ids.salt()
        wrapped = wrap_key(_stretched(passphrase, salt, self._log_n, R, P), secret)
        words = f"{self._log_n} {R} {P} {ids.b64u(salt)} {ids.b64u(wrapped)}\n"
        return self.mark + words.encode()

    def open(self, data: bytes) -> bytes:
        """Unwrap; ``CheckFailedError`` if the passphrase is another one; errors as ``ask``."""
        *numbers, salt_text, wrapped_text = fields(data, self.mark, 5)
        log_n, r, p = (_number(word) for word in numbers)
        salt, wrapped = ids.from_b64u(salt_text), ids.from_b64u(wrapped_text)
        if len(salt) != SALT_BYTES or len(wrapped) != ids.KEY_BYTES + 8:
            raise ValueError("not a salt and a wrapped key")
        if not (0 < log_n <= MAX_LOG_N and 0 < r <= MAX_R and 0 < p <= MAX_P):
            raise ValueError("parameters out of bounds")
        try:
            return unwrap_key(_stretched(self._ask(), salt, log_n, r, p), wrapped)
        except CorruptError as error:
            raise CheckFailedError(
                "The passphrase does not open the key-encryption key.",
                hint="Give the passphrase that it was made with. If it is lost, so is everything "
                "sealed: sections, content, state, index. The log and its proofs remain.",
            ) from error


class KeyFile:
    """``kek`` and ``kek.next`` of one directory. Calls from several threads take turns."""

    def __init__(self, path: Path, sources: Sequence[Source] = (PlainFile(),)) -> None:
        self.path = path
        self.next = path.with_name(path.name + ".next")
        self.sources = {source.kind: source for source in sources}
        self._known: dict[bytes, KeyEncryptionKey] = {}
        self._lock = threading.Lock()

    @property
    def kind(self) -> str:
        """The kind of source that wrote ``kek``; ``UnavailableError`` if none of ours did."""
        data = read_key_file(self.path)
        for kind, source in self.sources.items():
            if data.startswith(source.mark):
                return kind
        raise no_key(self.path.name)

    def contents(self) -> tuple[bytes, ...]:
        """What is in both files now, to see whether it changes; empty for none."""
        found = []
        for path in (self.path, self.next):
            try:
                found.append(path.read_bytes()[:MAX_FILE])
            except OSError:
                found.append(b"")
        return tuple(found)

    def candidates(self) -> Iterator[KeyEncryptionKey]:
        """The keys that may be in force, the likelier one first; each is opened when asked for.

        If none opens, the error of ``kek``.
        """
        found = False
        first: AffidavitError | None = None
        for path in (self.path, self.next):
            if path is self.next and not path.exists():
                continue
            try:
                one = self._load(path)
            except AffidavitError as error:
                first = first or error
            else:
                found = True
                yield one
        if first is not None and not found:
            raise first

    def create(self, disk: Disk, kind: str) -> KeyEncryptionKey:
        """Make the first key, in the form of ``kind``; errors as ``KeyEncryptionKey.create``."""
        made = KeyEncryptionKey.create(disk, self.path, self.sources[kind])
        with self._lock:
            self._remember(read_key_file(self.path), made)
        return made

    def make_next(self, disk: Disk, kind: str) -> KeyEncryptionKey:
        """A new key in ``kek.next``, durable, in the form of ``kind``; errors of its source."""
        secret = ids.key()
        data = self.sources[kind].seal(secret)
        disk.write_file(self.next, data)
        made = KeyEncryptionKey(secret)
        with self._lock:
            self._remember(data, made)
        return made

    def is_next(self, key: KeyEncryptionKey) -> bool:
        """Whether ``key`` is the one in ``kek.next``."""
        try:
            return self._load(self.next).derive("keys.db") == key.derive("keys.db")
        except AffidavitError:
            return False

    def drop_next(self, disk: Disk) -> None:
        """Destroy ``kek.next``, under which nothing is, and what its making left behind."""
        for path in (self.next, self.next.with_name(self.next.name + ".tmp")):
            if path.exists():
                destroy_key_file(disk, path)

    def advance(self, disk: Disk) -> None:
        """Destroy ``kek`` and put ``kek.next``, under which everything is, in its place."""
        if self.path.exists():
            disk.overwrite(self.path, 0, bytes(self.path.stat().st_size))
        disk.effects.rename(str(self.next), str(self.path))
        disk.effects.fsync_dir(str(self.path.parent))
        self.forget_old()

    def forget_old(self) -> None:
        """Forget keys that are in no file any more: in memory, too, an old one is of use."""
        there = self.contents()
        with self._lock:
            self._known = {data: key for data, key in self._known.items() if data in there}

    def _load(self, path: Path) -> KeyEncryptionKey:
        data = read_key_file(path)
        with self._lock:
            known = self._known.get(data)
            if known is None:
                sources = list(self.sources.values())
                known = KeyEncryptionKey.parse(path.name, data, sources)
                self._remember(data, known)
            return known

    def _remember(self, data: bytes, key: KeyEncryptionKey) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[data] = key


def _number(word: str) -> int:
    if not word.isdigit() or len(word) > 2 or word != str(int(word)):
        raise ValueError("not a number as it is written here")
    return int(word)


def _stretched(passphrase: bytes, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=ids.KEY_BYTES, n=1 << log_n, r=r, p=p).derive(passphrase)
