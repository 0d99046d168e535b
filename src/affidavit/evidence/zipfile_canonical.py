"""Writing the one zip file that its members allow.

Rules (docs/format/evidence.md, "The zip"): members are stored one after another from offset 0,
``manifest.json`` first and the others by name, dated 1980-01-01 00:00, mode 0644; no flags, extra
fields, comments, data descriptors or gaps. The same members give the same bytes. Names are ASCII,
as ``verify`` knows them. Not here: reading (``verify``, which shares no code with this).
"""

import struct
import zlib
from collections.abc import Mapping

from affidavit.errors import UsageError

FIRST = "manifest.json"
MAX_MEMBERS = 65_535
MAX_BYTES = 2**31
"""A bundle is smaller than this; zip64 is not used."""

_DATE = 33  # 1980-01-01 in the format of MS-DOS; the time is 0
_VERSION = 20
_UNIX_FILE = 0o100644 << 16


def encode(members: Mapping[str, bytes]) -> bytes:
    """The zip of ``members``; ``UsageError`` if they are too many or too large for one."""
    total = sum(len(body) + 2 * len(name) + 76 for name, body in members.items())
    if len(members) > MAX_MEMBERS or total >= MAX_BYTES:
        raise UsageError(
            "The evidence is too large for one bundle.",
            hint="Narrow the window, or take content as digests.",
        )
    output: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name in sorted(members, key=lambda name: (name != FIRST, name)):
        body, raw = members[name], name.encode("ascii")
        fixed = struct.pack(
            "<HHHHHIIIHH", _VERSION, 0, 0, 0, _DATE, zlib.crc32(body), len(body), len(body),
            len(raw), 0,
        )  # fmt: skip
        output += [b"PK\x03\x04", fixed, raw, body]
        directory += [
            b"PK\x01\x02\x14\x03", fixed, struct.pack("<HHHII", 0, 0, 0, _UNIX_FILE, offset), raw,
        ]  # fmt: skip
        offset += 30 + len(raw) + len(body)
    listing = b"".join(directory)
    counts = (0, 0, len(members), len(members), len(listing), offset, 0)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", *counts)
    return b"".join([*output, listing, end])
