"""Looking for words in what a data directory really holds, with the keys that open it.

Databases are read as they would be at each commit that their write-ahead log still has, the file
alone among them, free pages included; nothing is checkpointed, as copies are read. Vault and
journals are opened with whatever keyring is given. Words are looked for in all ``canary.forms``,
without regard to case.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from affidavit.app.paths import Paths
from affidavit.durable import open_database
from affidavit.errors import AffidavitError, UnavailableError
from affidavit.ledger.log_reader import LogReader
from affidavit.record.journal_reader import JournalReader
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from tests.world.canary import forms

_WAL_HEADER, _FRAME_HEADER = 32, 24


def states(path: Path, key: bytes) -> Iterator[bytes]:
    """All pages of an encrypted database, decrypted, as of each commit that is still on disk.

    Where a kill came in the middle of a checkpoint, the file is none of these without all of the
    log: it says so. The last of them opens always, or this raises.
    """
    wal = path.with_name(f"{path.name}-wal")
    log = wal.read_bytes() if wal.exists() else b""
    ends = [0]
    if len(log) > _WAL_HEADER:
        frame = int.from_bytes(log[8:12], "big") + _FRAME_HEADER
        starts = range(_WAL_HEADER, len(log) - frame + 1, frame)
        ends += [at + frame for at in starts if int.from_bytes(log[at + 4 : at + 8], "big")]
    for end in ends:
        with tempfile.TemporaryDirectory() as room:
            copy = Path(room) / path.name
            shutil.copyfile(path, copy)
            if end:
                copy.with_name(wal.name).write_bytes(log[:end])
            try:
                database = open_database(copy, key)
            except UnavailableError:
                if end == ends[-1]:
                    raise
                print(f"not looked at: {path.name} with {end} bytes of its log, half moved")
                continue
            pages = database.serialize("main")
            database.close()
        yield pages


def in_databases(data: Path, keyring: Keyring, words: Iterable[str]) -> list[str]:
    """``"file: form of word"`` for each hit in a database of ``data``."""
    names = {"state.db": "state.db", "index.db": "index.db", "text.db": "index.db"}
    wanted = _wanted(words)
    return [
        hit
        for file, name in names.items()
        for pages in states(data / file, keyring.database_key(name))
        for hit in _hits(file, pages, wanted)
    ]


def in_vault(data: Path, vault: Path, keyring: Keyring, words: Iterable[str]) -> list[str]:
    """The same in everything of a vault that opens with these keys."""
    wanted = _wanted(words)
    log = LogReader(Paths(data).log)
    reader = VaultReader(vault, keyring, log.decoded)
    found = []
    try:
        for index in range(log.checkpoint().size):
            with contextlib.suppress(AffidavitError):
                view = reader.salvaged(index)
                texts = [msgspec.json.encode(view.sections), *view.parts.values()]
                found += _hits(f"leaf {index}", b"\n".join(texts), wanted)
    finally:
        reader.close()
    return found


def in_journals(data: Path, keyring: Keyring, words: Iterable[str]) -> list[str]:
    """The same in every journal segment that opens with these keys."""
    wanted = _wanted(words)
    found = []
    for directory in sorted(Paths(data).journal.iterdir()):
        if not directory.is_dir():
            continue
        for segment in sorted(directory.glob("*.seg")):
            with tempfile.TemporaryDirectory() as room:  # a reader begins with the first segment
                alone = Path(room) / directory.name
                alone.mkdir()
                shutil.copyfile(segment, alone / segment.name)
                number = int(segment.stem)
                reader = JournalReader(alone, keyring.open_segment_key)
                reader.position = reader.position._replace(segment=number)
                while frames := reader.poll():
                    for _, frame in frames:
                        data_ = msgspec.msgpack.encode(frame)
                        found += _hits(str(segment), data_, wanted)
                reader.close()
    return found


def opens(database: Path, key: bytes) -> bool:
    """Whether a key opens a copy of a database."""
    with tempfile.TemporaryDirectory() as room:
        copy = Path(room) / database.name
        shutil.copyfile(database, copy)
        try:
            open_database(copy, key).close()
        except (AffidavitError, apsw.Error):
            return False
        return True


def _wanted(words: Iterable[str]) -> Sequence[tuple[str, bytes]]:
    return [
        (f"{name} of {word[:8]}…", form.lower())
        for word in words
        for form, name in {form: name for name, form in forms(word).items()}.items()
    ]


def _hits(where: str, data: bytes, wanted: Sequence[tuple[str, bytes]]) -> list[str]:
    lowered = data.lower()
    return [f"{where}: {name}" for name, form in wanted if form in lowered]
