"""Where a page ends, handed to whoever asks: nobody can change it or take it elsewhere.

Rules: a cursor is b64u(payload ‖ HMAC-SHA-256[:16]); the key is of one question within one
boundary, so a cursor of another is no cursor. Not here: what stands in a payload.
"""

import hmac

from affidavit.errors import UsageError
from affidavit.ids import b64u, from_b64u

_MAC_BYTES = 16


def sealed(payload: bytes, key: bytes) -> str:
    """The cursor that carries ``payload``."""
    return b64u(payload + _mac(payload, key))


def opened(cursor: str, key: bytes) -> bytes:
    """The payload of a cursor; ``UsageError`` for one that was not sealed under ``key``."""
    try:
        raw = from_b64u(cursor)
    except ValueError:
        raw = b""
    payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(payload, key)):
        raise UsageError(
            "The cursor does not belong to this question.", hint="Ask again from the first page."
        )
    return payload


def _mac(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")[:_MAC_BYTES]
