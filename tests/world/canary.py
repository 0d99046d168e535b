"""Looking for a secret in every form in which it may have reached a disk or a log.

Forms: plain, hex (both cases), base64 and base64url at each of the three alignments, percent
encoding, JSON escapes. A canary should be 12 bytes or longer, or a hit may be chance.
"""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote


def forms(canary: str) -> dict[str, bytes]:
    """Every form to look for, by name."""
    data = canary.encode()
    found = {
        "plain": data,
        "hex": data.hex().encode(),
        "HEX": data.hex().upper().encode(),
        "url": quote(canary, safe="").encode(),
        "url all": "".join(f"%{byte:02X}" for byte in data).encode(),
        "json": json.dumps(canary)[1:-1].encode(),
        "json \\u": "".join(f"\\u{ord(c):04x}" for c in canary).encode(),
        "utf-16": canary.encode("utf-16-le"),
    }
    for alphabet, name in ((None, "base64"), (b"-_", "base64url")):
        for shift in range(3):
            # the characters that do not depend on what stands before or behind
            text = base64.b64encode(b"\0" * shift + data, altchars=alphabet)
            begin = -(-shift * 8 // 6)
            end = (shift + len(data)) * 8 // 6
            found[f"{name}+{shift}"] = text[begin:end]
    return found


def find(canaries: Iterable[str], roots: Iterable[Path]) -> list[str]:
    """``"path: form of canary"`` for each hit in any file below ``roots`` (or the file itself)."""
    wanted = [
        (f"{name} of {canary[:6]}…", data)
        for canary in canaries
        for data, name in {data: name for name, data in reversed(forms(canary).items())}.items()
    ]
    hits = []
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if not path.is_file() or path.is_socket():
                continue
            try:
                # what a segment has reserved and not yet written takes no time
                data = path.read_bytes().rstrip(b"\0") + b"\0"
            except FileNotFoundError:
                continue  # gone since it was listed; the next search sees what it became
            hits += [f"{path}: {name}" for name, needle in wanted if needle in data]
    return hits
