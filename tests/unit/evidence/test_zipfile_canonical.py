"""The writer of canonical zips."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import UsageError
from affidavit.evidence import verify, zipfile_canonical
from affidavit.evidence.zipfile_canonical import encode

NAMES = st.sampled_from(
    ["manifest.json", "checkpoint", "leaves.jsonl", "heads/1-2.json", "content/7-0", "README.txt"]
)


@given(st.dictionaries(NAMES, st.binary(max_size=200), min_size=1))
def test_what_is_written_is_read_back_by_both_readers(members: dict[str, bytes]) -> None:
    """The verifier and the ordinary library find the same members in what was written."""
    members.setdefault("manifest.json", b"{}")
    data = encode(members)
    assert {name: bytes(body) for name, body in verify.read_zip(data).items()} == members
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members


def test_order_of_the_mapping_makes_no_difference() -> None:
    """The same members give the same bytes, in whatever order they come."""
    one = {"manifest.json": b"1", "checkpoint": b"2", "README.txt": b"3"}
    assert encode(one) == encode(dict(reversed(one.items())))


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """More members or bytes than a plain zip holds are refused with a hint, not written wrongly."""
    with pytest.raises(UsageError) as found:
        encode({f"content/{n}-0": b"" for n in range(65_536)})
    assert "Narrow" in found.value.hint
    monkeypatch.setattr(zipfile_canonical, "MAX_BYTES", 100)
    with pytest.raises(UsageError):
        encode({"manifest.json": bytes(100)})
