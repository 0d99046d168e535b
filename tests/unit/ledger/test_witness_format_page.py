"""The examples on the page of the witness's format are true, byte by byte."""

import re
from pathlib import Path

from affidavit.app.witness_keys import load_or_make
from affidavit.durable import Disk
from affidavit.ledger import note, witness
from affidavit.ledger.witness import Request
from tests.paths import REPOSITORY
from tests.world.witnessing import COSIGNER, LOGS, ORIGIN

_PAGE = (REPOSITORY / "docs" / "format" / "witness.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```\n(.*?)^```$", _PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_request_on_the_page_has_the_answer_on_the_page() -> None:
    """Body in, cosignature out."""
    asked, answer, path, _ = _BLOCKS
    request = witness.read(asked.encode(), LOGS)
    assert isinstance(request, Request)
    assert witness.check(request, None) is None
    assert witness.cosign(request, [COSIGNER], 1767225600)[0].body.decode() == answer
    assert path == f"/{witness.path_name(ORIGIN)}/checkpoint\n"


def test_the_key_on_the_page_is_the_witness_of_the_page(tmp_path: Path) -> None:
    """The line of the file, read by the program."""
    (tmp_path / "ed25519").write_text(_BLOCKS[3], encoding="utf-8")
    (tmp_path / "ed25519").chmod(0o600)
    keys = load_or_make(Disk(), tmp_path, name="", monitor=False, post_quantum=False)
    assert [cosigner.vkey for cosigner in keys.cosigners] == [COSIGNER.vkey]


def test_the_limits_on_the_page_are_the_programs() -> None:
    """Proof lines and bytes of a body."""
    assert f"at most {witness.MAX_PROOF} hashes" in _PAGE
    assert f"longer than {witness.MAX_BODY:,} bytes" in _PAGE
    assert witness.MAX_BODY == note.MAX_NOTE + 4096
