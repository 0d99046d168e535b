"""The keys of a witness: made on its first start, and the same ever after.

Rules: each is a file of its own (mode 0600) with a seed of its own, so that no key signs in two
ways; the file says the type, what the key is for, and the name under which it signs. A key made
for a monitor is never used by a plain witness, nor the other way round, because who verifies
believes a monitor to have replayed what it signs. A name does not change: it is part of the key.
"""

import platform
from pathlib import Path
from typing import NamedTuple

from affidavit import ids
from affidavit.durable import Disk, check_private
from affidavit.errors import ParseError, UnavailableError, UsageError
from affidavit.ledger import note

_MARK = "affidavit-witness-key-1"
_FILES = {"04": "ed25519", "06": "ml-dsa-44", "db": "replay"}


class Keys(NamedTuple):
    """Cosigners, that of type 04 first, under one name; ``replay`` opens the monitor's progress."""

    name: str
    cosigners: tuple[note.Cosigner, ...]
    replay: bytes


def load_or_make(
    disk: Disk, directory: Path, *, name: str, monitor: bool, post_quantum: bool
) -> Keys:
    """The keys in ``directory``; those that are missing are made.

    ``name`` is for the first start (``""``: this machine's name and what the key is for).
    ``UsageError`` if the keys have another name or are for something else; ``UnavailableError`` if
    a file is not a key or may be read by others.
    """
    use = "monitor" if monitor else "witness"
    disk.make_dir(directory)
    first = directory / _FILES["04"]
    known = _read(first, "04", use)[0] if first.exists() else ""
    if known and name not in {"", known}:
        raise UsageError(
            f"The keys here are those of {known}, not of {name}.",
            hint="A witness keeps its name; a new one has its own directory.",
        )
    name = known or note.check_name(name or f"{platform.node()}/{use}")
    wanted = ["04", *(["06"] if post_quantum else []), *(["db"] if monitor else [])]
    new = [kind for kind in wanted if not (directory / _FILES[kind]).exists()]
    if new:
        lines = {kind: f"{_MARK} {kind} {use} {name} {ids.b64u(ids.key())}\n" for kind in new}
        disk.write_files([(directory / _FILES[kind], lines[kind].encode()) for kind in new])
    seeds = {}
    for kind in wanted:
        found, seeds[kind] = _read(directory / _FILES[kind], kind, use)
        if found != name:
            raise UsageError(f"keys/{_FILES[kind]} is the key of {found}, not of {name}.")
    kinds = [(note.COSIGNATURE, "04"), (note.ML_DSA_44, "06")]
    cosigners = [note.Cosigner(name, kind, seeds[key]) for kind, key in kinds if key in seeds]
    return Keys(name, tuple(cosigners), seeds.get("db", b""))


def _read(path: Path, kind: str, use: str) -> tuple[str, bytes]:
    """Name and seed of a key file."""
    check_private(path)
    try:
        mark, found, made_for, name, seed = path.read_text("utf-8").split()
        key = ids.from_b64u(seed)
        note.check_name(name)
    except (OSError, ValueError, ParseError) as error:
        raise _no_key(path) from error
    if (mark, found) != (_MARK, kind) or len(key) != ids.KEY_BYTES:
        raise _no_key(path)
    if made_for != use:
        raise UsageError(
            f"The keys here are those of a {made_for}, and this was started as a {use}.",
            hint="A monitor and a plain witness have a directory and keys each.",
        )
    return name, key


def _no_key(path: Path) -> UnavailableError:
    return UnavailableError(
        f"keys/{path.name} is not a key of a witness.",
        hint="Restore it; without it the witness is another one.",
    )
