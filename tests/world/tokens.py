"""TimeStampResp by hand (RFC 3161, DER): built right, and signed by nobody.

For those who read a token without checking its signature, and for those who forge one.
"""

import hashlib

SHA_256 = bytes.fromhex("0609608648016503040201")
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")
POLICY = bytes.fromhex("06042a030401")
VERSION_1, VERSION_3 = b"\x02\x01\x01", b"\x02\x01\x03"


def der(tag: int, *parts: bytes) -> bytes:
    """A value with this tag, its length in the shortest form."""
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(length)]) + length + body


def generalized(time: str) -> bytes:
    """A stored time as DER writes it: no zeros at the end of the fraction."""
    digits = "".join(c for c in time[:19] if c.isdigit())
    fraction = time[20:26].rstrip("0")
    return f"{digits}{'.' + fraction if fraction else ''}Z".encode()


def response(note: bytes, time: str, *, status: int = 0, digest: bytes = SHA_256) -> bytes:
    """The answer of an authority that saw ``note`` at ``time`` (a stored time)."""
    imprint = der(0x30, der(0x30, digest, b"\x05\x00"), der(0x04, hashlib.sha256(note).digest()))
    moment = der(0x18, generalized(time))
    info = der(0x30, VERSION_1, POLICY, imprint, b"\x02\x01\x07", moment)
    content = der(0x30, TST_INFO, der(0xA0, der(0x04, info)))
    signed = der(0x30, VERSION_3, der(0x31, der(0x30, SHA_256)), content, der(0x31))
    token = der(0x30, SIGNED_DATA, der(0xA0, signed))
    return der(0x30, der(0x30, bytes([0x02, 0x01, status])), token)
