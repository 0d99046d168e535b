"""Tricks with the zip: what two programs could unpack differently is refused."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest

from affidavit.evidence.bundle import Bundle
from affidavit.evidence.zipfile_canonical import encode
from tests.attacks.world import World, members, refused


def rezipped(data: bytes, write: Callable[[zipfile.ZipFile, dict[str, bytes]], None]) -> bytes:
    """The same members, written by the ordinary library."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        write(archive, members(data))
    return target.getvalue()


def test_ordinary_tools_read_it(good: Bundle) -> None:
    """The canonical zip is a zip: the ordinary library reads and tests it."""
    with zipfile.ZipFile(io.BytesIO(good.data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members(good.data)
        assert archive.namelist()[0] == "manifest.json"


def test_a_zip_by_another_program(world: World, good: Bundle) -> None:
    """The same members in another form of zip are refused, however harmless."""

    def plain(archive: zipfile.ZipFile, files: dict[str, bytes]) -> None:
        for name, body in files.items():
            archive.writestr(name, body)

    assert refused(rezipped(good.data, plain), world.vkey) == "not-canonical"


def test_compressed_members(world: World, good: Bundle) -> None:
    """A compressed member is refused."""

    def deflated(archive: zipfile.ZipFile, files: dict[str, bytes]) -> None:
        for name, body in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, body)

    assert refused(rezipped(good.data, deflated), world.vkey) == "not-canonical"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\0",
        lambda data: b"\0" + data,
        lambda data: data[:-1],
        lambda data: data[:-2] + b"\x04\x00note",
        lambda data: data + data,
        lambda data: b"",
        lambda data: b"PK\x03\x04",
        lambda data: data[:40],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"README.txt", b"readme.txt"),
        lambda data: data.replace(b"links.jsonl", b"leave.jsonl"),
    ],
    ids=["byte behind", "byte before", "cut", "comment", "twice", "empty", "header only",
         "in a header", "half", "renamed", "renamed member"],
)  # fmt: skip
def test_bytes_around_the_members(
    world: World, good: Bundle, change: Callable[[bytes], bytes]
) -> None:
    """Nothing stands before, behind or between the members."""
    assert refused(change(good.data), world.vkey) == "not-canonical"


def test_a_name_twice(world: World, good: Bundle) -> None:
    """Two members of one name are refused."""
    files = members(good.data)
    body = files["checkpoint"]
    fixed = struct.pack(
        "<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(body), len(body), len(body), 10, 0
    )
    member = b"PK\x03\x04" + fixed + b"checkpoint" + body
    at = good.data.index(b"PK\x03\x04", good.data.index(member) + 1)
    assert refused(good.data[:at] + member + good.data[at:], world.vkey) == "not-canonical"


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "content/../x", "content/1-0/", "C:\\x", "heads/1-1.json ",
     "verify.pyc", "sitecustomize.py", "json.py", ""],
)  # fmt: skip
def test_names_outside_the_format(world: World, good: Bundle, name: str) -> None:
    """A member whose name is not of the format is refused: nothing is unpacked over anything."""
    assert refused(encode({**members(good.data), name: b"x"}), world.vkey) == "not-canonical"


def test_a_data_descriptor(world: World, good: Bundle) -> None:
    """Sizes behind a member instead of before it are refused."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.taken = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.taken += bytes(data)  # type: ignore[call-overload]  # any buffer
            return len(bytes(data))  # type: ignore[call-overload]  # likewise

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, body in members(good.data).items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), body)
    assert refused(pipe.taken, world.vkey) == "not-canonical"
