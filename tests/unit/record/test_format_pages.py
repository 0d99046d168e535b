"""The examples on the pages of the formats are true, byte by byte."""

import hashlib
import re
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from affidavit import ids
from affidavit.record import disclose
from affidavit.record import journal_format as form
from affidavit.record.journal_reader import JournalReader
from affidavit.record.model import Opened, Part, Piece, Record
from tests.paths import REPOSITORY
from tests.world.journals import MONDAY, open_key

PAGES = REPOSITORY / "docs" / "format"


def _blocks(page: str) -> list[str]:
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)


def _fields(page: str) -> dict[str, str]:
    lines = "\n".join(_blocks(page)).splitlines()
    return dict(reversed([line.split(maxsplit=1) for line in lines if line]))


def test_the_disclosure_on_the_page_opens_and_has_that_digest() -> None:
    """docs/format/record.md: disclosure, digest, sections array and header belong together."""
    fields = _fields("record.md")
    text = fields["disclosure"]
    assert disclose.open_disclosure(text, "what") == {"gen_ai.request.model": "demo-1"}
    assert ids.b64u(disclose.digest(text)) == fields["digest"]
    record = Record("id", "custom", "at", "observed", "", "", (text, *[None] * 6), ())
    assert disclose.sections_json(record).decode() == fields["sections"]
    assert disclose.sections_digest(record) == fields["header"]


def test_the_part_on_the_page_has_that_digest() -> None:
    """docs/format/record.md: SHA-256 over salt and bytes."""
    block = dict(line.split(maxsplit=1) for line in _blocks("record.md")[-1].splitlines())
    salt, data = bytes.fromhex(block["salt"]), block["bytes"].encode()
    assert ids.b64u(hashlib.sha256(salt + data).digest()) == block["digest"]
    part = Part("request.body", "text/plain", 5, salt, ids.from_b64u(block["digest"]))
    assert disclose.check_part(part, data)


def test_the_segment_on_the_page_reads_as_it_says(tmp_path: Path) -> None:
    """docs/format/journal.md: key, header, frames and payloads, by hand and by the reader."""
    example, payloads = _blocks("journal.md")
    raw = [bytes.fromhex("".join(part.split())) for part in example.split("\n\n")]
    header = form.Header.unpack(raw[0])
    assert header is not None
    key = MONDAY.open(header.wrapped)
    assert (MONDAY.private_bytes(), key) == (bytes(range(32)), bytes(range(32, 64)))
    for number, (frame, payload) in enumerate(zip(raw[1:], payloads.split("\n\n"), strict=True)):
        nonce = number.to_bytes(12, "big")
        assert AESGCM(key).decrypt(nonce, frame[8:], None) == bytes.fromhex(payload)
        assert form.seal_frame(AESGCM(key), 0, number, bytes.fromhex(payload)) == frame
    directory = tmp_path / header.incarnation
    directory.mkdir()
    (directory / form.segment_name(0)).write_bytes(b"".join(raw) + bytes(99))
    reader = JournalReader(directory, open_key)
    assert [frame for _, frame in reader.poll()] == [
        Opened(header.incarnation, 0, "w1", "2026-11-23T12:00:00.000000Z"),
        Piece("0199a3c1-5b7e-7c1d-8f3a-2b6d4e8f9a10", b"data: hi\n\n"),
    ]
    assert reader.tail_state == "clean"
    reader.close()
