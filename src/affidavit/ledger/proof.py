"""The text form of an inclusion proof (C2SP tlog-proof v1, file suffix ``.tlog-proof``).

Rules: header line, ``index``, the audit path with the leaf's sibling first, an empty line, the
checkpoint note as published. Leaf bytes travel beside it. Not here: making the path
(``log_reader``) and checking it (``merkle``, ``note``).
"""

import base64
from collections.abc import Sequence

HEADER = "c2sp.org/tlog-proof@v1"


def encode_proof(index: int, path: Sequence[bytes], note: bytes) -> str:
    """Text of the proof that leaf ``index`` is in the tree of ``note``; hashes are 32 bytes."""
    lines = [HEADER, f"index {index}", *(base64.b64encode(item).decode() for item in path), ""]
    return "\n".join(lines) + "\n" + note.decode()
