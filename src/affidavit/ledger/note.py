"""C2SP signed notes and checkpoints.

Rules: a note is text that ends in a newline, an empty line, and signature lines; the last empty
line divides them. A signature line by an unknown name and key id is ignored; one by a known key
that does not verify makes the whole note worthless; so does having none that verifies. The key id
is the first 4 bytes of SHA-256(name ‖ LF ‖ type ‖ public key). Types here: 01 Ed25519 over the
text, 04 Ed25519 with a timestamp as witnesses give it, 06 ML-DSA-44 with a timestamp over origin,
size and root (both tlog-cosignature). The log's keys sign checkpoints and nothing else. Not here:
which witnesses suffice (``policy``), where a checkpoint is kept (``publish``).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from affidavit.errors import CheckFailedError, ParseError

ED25519 = 1
COSIGNATURE = 4
ML_DSA_44 = 6
MAX_NOTE = 1_000_000
MAX_SIGNATURES = 100
TIME_LIMIT = 1 << 37
"""A cosignature's time is before so many seconds since 1970 (the year 6325), as verifiers ask."""

_PUBLIC_BYTES = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """First 4 bytes of SHA-256(name ‖ LF ‖ type ‖ public key)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def check_name(name: str) -> str:
    """Return ``name`` if it may name a key (no space, no ``+``, not empty), else ``ParseError``."""
    if not _NAME.fullmatch(name):
        raise ParseError("The name of a key has no spaces and no plus sign and is not empty.")
    return name


def _b64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ParseError("This is not base64.") from error
    if base64.b64encode(data).decode() != text:
        raise ParseError("This is not base64 as it is written.")
    return data


def _vkey(name: str, kind: int, public: bytes) -> str:
    encoded = base64.b64encode(bytes([kind]) + public).decode()
    return f"{name}+{key_id(name, kind, public).hex()}+{encoded}"


def _line(name: str, kind: int, public: bytes, signature: bytes) -> str:
    encoded = base64.b64encode(key_id(name, kind, public) + signature).decode()
    return f"— {name} {encoded}\n"


class NoteSigner(Protocol):
    """What puts a signature line under the text of a note; ``vkey`` is its public half."""

    vkey: str

    def sign(self, text: str) -> str:
        """The signature line, newline included, over ``text`` (which ends in a newline)."""


class Signer:
    """An Ed25519 key (type 01) under a name; ``seed`` is the 32 bytes of RFC 8032."""

    def __init__(self, name: str, seed: bytes) -> None:
        self.name = check_name(name)
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key().public_bytes_raw()
        self.vkey = _vkey(name, ED25519, self._public)

    def sign(self, text: str) -> str:
        """The signature line over ``text``."""
        return _line(self.name, ED25519, self._public, self._private.sign(text.encode()))

    def verifier(self) -> "Verifier":
        """The public half."""
        return Verifier.from_vkey(self.vkey)


class Cosigner:
    """A key that says when it signed: ``kind`` 04 (Ed25519) or 06 (ML-DSA-44, FIPS 204).

    ``seed`` is 32 bytes; each kind needs a seed of its own. Of a checkpoint, type 04 signs the
    whole text, type 06 origin, size and root (tlog-cosignature).
    """

    def __init__(self, name: str, kind: int, seed: bytes) -> None:
        self.name = check_name(name)
        self.kind = kind
        self._private: Ed25519PrivateKey | MLDSA44PrivateKey
        if kind == COSIGNATURE:
            self._private = Ed25519PrivateKey.from_private_bytes(seed)
        elif kind == ML_DSA_44:
            self._private = MLDSA44PrivateKey.from_seed_bytes(seed)
        else:
            raise ParseError("A cosignature is of type 04 or 06.")
        self._public = self._private.public_key().public_bytes_raw()
        self.vkey = _vkey(name, kind, self._public)

    def cosign(self, text: str, moment: int) -> str:
        """The signature line over the text of a checkpoint; ``moment`` is seconds since 1970."""
        if moment <= 0:
            raise ValueError("a cosignature has a time")
        signature = self._private.sign(_timed(self.kind, self.name, text, moment))
        return _line(self.name, self.kind, self._public, moment.to_bytes(8, "big") + signature)

    def verifier(self) -> "Verifier":
        """The public half."""
        return Verifier.from_vkey(self.vkey)


def _timed(kind: int, name: str, text: str, moment: int) -> bytes:
    """What a cosignature signs; ``ParseError`` if type 06 is to sign what is no checkpoint."""
    if kind == COSIGNATURE:
        return f"cosignature/v1\ntime {moment}\n".encode() + text.encode()
    checkpoint = parse_checkpoint(text)
    message = b"subtree/v1\n\0"
    for label, number in ((name, moment), (checkpoint.origin, 0)):
        encoded = label.encode()
        if len(encoded) > 255:
            raise ParseError("A name under an ML-DSA signature has at most 255 bytes.")
        message += bytes([len(encoded)]) + encoded + number.to_bytes(8, "big")
    return message + checkpoint.size.to_bytes(8, "big") + checkpoint.root


class Verifier:
    """A public key that may stand behind a note: type 01, 04 or 06."""

    def __init__(self, name: str, kind: int, public: bytes) -> None:
        if _PUBLIC_BYTES.get(kind) != len(public):
            raise ParseError("Only keys of types 01 and 04 (Ed25519) and 06 (ML-DSA-44) are known.")
        self.name = check_name(name)
        self.kind = kind
        self.public = public
        self.key_id = key_id(name, kind, public)
        self.vkey = _vkey(name, kind, public)
        self._public: Ed25519PublicKey | MLDSA44PublicKey
        if kind == ML_DSA_44:
            self._public = MLDSA44PublicKey.from_public_bytes(public)
        else:
            self._public = Ed25519PublicKey.from_public_bytes(public)

    @classmethod
    def from_vkey(cls, vkey: str) -> Self:
        """From ``name+hex8(key id)+base64(type ‖ key)``; ``ParseError`` if it is not one."""
        match = _VKEY.fullmatch(vkey)
        if match is None:
            raise ParseError("This is not a verifier key.")
        data = _b64(match[3])
        made = cls(match[1], data[0], data[1:])
        if made.key_id.hex() != match[2]:
            raise ParseError("The id of the verifier key does not belong to its name and key.")
        return made

    def check(self, text: str, signature: bytes) -> int:
        """Verify; return the time of a cosignature in seconds since 1970, 0 for type 01.

        ``CheckFailedError`` if the signature is not by this key over this text.
        """
        message, moment = text.encode(), 0
        if self.kind != ED25519:
            moment, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            if not 0 < moment < TIME_LIMIT:
                raise CheckFailedError(f"The cosignature by {self.name} has no time.")
            message = _timed(self.kind, self.name, text, moment)
        try:
            self._public.verify(signature, message)
        except InvalidSignature as error:
            raise CheckFailedError(f"The signature by {self.name} does not verify.") from error
        return moment


class Note(NamedTuple):
    """An opened note: its text, and who signed it.

    ``signers``: verifier key → the time it gave in seconds since 1970, 0 without one.
    """

    text: str
    signers: dict[str, int]


def open_note(data: bytes, verifiers: Sequence[Verifier]) -> Note:
    """Check a note against the keys that are known.

    ``ParseError`` if it is not a note; ``CheckFailedError`` if a known key's signature is wrong or
    no known key has signed.
    """
    text, lines = _split(data)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signers: dict[str, int] = {}
    for line in lines:
        mark, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        check_name(name)
        signature = _b64(encoded)
        if mark != "—" or len(signature) < 5:
            raise ParseError("A signature line of the note is malformed.")
        verifier = known.get((name, signature[:4]))
        if verifier is not None:
            signers[verifier.vkey] = verifier.check(text, signature[4:])
    if not signers:
        raise CheckFailedError("The note is not signed by a known key.")
    return Note(text, signers)


def _split(data: bytes) -> tuple[str, list[str]]:
    if len(data) > MAX_NOTE:
        raise ParseError("The note is larger than a note may be.")
    try:
        note = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError("The note is not UTF-8.") from error
    if any(character < " " and character != "\n" for character in note):
        raise ParseError("The note contains control characters.")
    at = note.rfind("\n\n")
    if at < 0 or not note.endswith("\n") or at + 2 == len(note):
        raise ParseError("The note has no signatures.")
    lines = note[at + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise ParseError("The note has more signatures than a note may have.")
    return note[: at + 1], lines


class Checkpoint(NamedTuple):
    """A tree head as tlog-checkpoint writes it; ``root`` is 32 bytes."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The signed text, final newline included."""
        head = [self.origin, str(self.size), base64.b64encode(self.root).decode()]
        return "\n".join([*head, *self.extensions]) + "\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in the text of a note; ``ParseError`` if it is not exactly one."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise ParseError("A checkpoint has at least three lines, none of them empty.")
    if not _NAME.fullmatch(lines[0]) or not _SIZE.fullmatch(lines[1]):
        raise ParseError("The origin or the size of the checkpoint is malformed.")
    root = _b64(lines[2])
    if len(root) != 32:
        raise ParseError("The root of the checkpoint is not 32 bytes long.")
    return Checkpoint(lines[0], int(lines[1]), root, tuple(lines[3:-1]))


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[NoteSigner]) -> bytes:
    """The signed note of a checkpoint."""
    text = checkpoint.text()
    return (text + "\n" + "".join(signer.sign(text) for signer in signers)).encode()


def signature_lines(data: bytes) -> list[str]:
    """The signature lines of a note, each with its newline; ``ParseError`` if it is no note."""
    return [line + "\n" for line in _split(data)[1]]


def open_checkpoint(data: bytes, verifiers: Verifier | Sequence[Verifier] | None) -> Checkpoint:
    """The checkpoint in a note, signed by one of the log's keys, and under their name.

    With ``None`` only the shape is checked. ``ParseError``, ``CheckFailedError``.
    """
    if verifiers is None:
        return parse_checkpoint(_split(data)[0])
    known = [verifiers] if isinstance(verifiers, Verifier) else verifiers
    opened = open_note(data, known)
    checkpoint = parse_checkpoint(opened.text)
    names = {verifier.name for verifier in known if verifier.vkey in opened.signers}
    if names != {checkpoint.origin}:
        raise CheckFailedError("The checkpoint is of another log than its key.")
    return checkpoint


def read_vkeys(text: str) -> list[Verifier]:
    """The keys of a file like ``log.vkey``, one a line; ``ParseError`` if there is none."""
    lines = text.replace("\r\n", "\n").split("\n")  # nothing else ends a line
    found = [Verifier.from_vkey(line) for line in lines if line]
    if not found:
        raise ParseError("There is no verifier key here.")
    return found
