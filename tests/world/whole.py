"""A data directory with one of everything, stopped, and ways to damage a file of it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from affidavit.ledger import note, tiles
from tests.world.machine import Machine

WITNESS = note.Cosigner("witness.example/w1", note.COSIGNATURE, b"\x42" * 32)
_IMPRINT = bytes.fromhex("3031300d060960864801650304020105000420")


def make(root: Path, exchanges: int = 140) -> None:
    """Fill ``root``: two tenants' worth of days is not needed, two levels of tiles are."""
    root.mkdir()
    machine = Machine(root)
    for number in range(exchanges):
        machine.exchange(f"Question {number}?", f"Answer {number}.", session=f"s{number % 5}")
        if number in (1, exchanges // 2):
            machine.settle()
            _published(root, number)
    machine.settle()
    machine.clock.advance(86_400)
    machine.exchange("The next day?", "Another directory.")
    machine.settle()
    machine.index_reader.close()
    owner, token = machine.identities.draft(tenant="acme", name="root", role="owner")
    machine.identities.put(owner)
    (root / "keys" / "owner").write_text(token + "\n")
    machine.close()


def _published(root: Path, number: int) -> None:
    """A cosigned head, and a timestamp with the right imprint and no signature."""
    log = root / "log"
    data = (log / "checkpoint").read_bytes()
    text = data.decode().partition("\n\n")[0] + "\n"
    (log / "cosigned").write_bytes(data + WITNESS.cosign(text, 1_800_000_000).encode())
    size = note.parse_checkpoint(text).size
    (log / "timestamps").mkdir(exist_ok=True)
    (log / "timestamps" / f"{size}.checkpoint").write_bytes(data)
    token = b"\x30\x82" + _IMPRINT + hashlib.sha256(data).digest() + bytes(number % 7)
    (log / "timestamps" / f"{size}.tsr").write_bytes(token)


def claimed(root: Path) -> list[Path]:
    """Every file that says something which a deep check has to find wrong when it is changed.

    Left out: what is not published (staging, locks, ``run``), what is in flight (journals),
    partial tiles that the newest checkpoint does not need, of which nobody knows who needs them,
    the tokens of timestamps, of which the imprint alone is examined, and the owner's key file,
    which the owner may have taken away.
    """
    size = note.open_checkpoint((root / "log" / "checkpoint").read_bytes(), None).size
    needed = {root / "log" / path.text() for path in tiles.tiles_of(size)}
    found = []
    for path in sorted(root.rglob("*")):
        part = path.relative_to(root).parts
        if not path.is_file() or part[0] in ("run", "journal") or path.name in ("lock", "owner"):
            continue
        if (
            path.suffix == ".tsr"
            or part[:2] == ("log", "staging")
            or (".p" in str(path) and path not in needed)
        ):
            continue
        found.append(path)
    return found


@contextmanager
def damaged(path: Path, data: bytes | None) -> Iterator[None]:
    """Another content of a file (``None``: it is gone), and the old one back in the end."""
    before, mode = path.read_bytes(), path.stat().st_mode
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)
