"""What the standalone verifier cannot do with the standard library alone, done with libraries.

Rules: this decides nothing; it answers the questions that ``verify`` hands out: whether an ML-DSA
signature is good, whether a timestamp leads to a certificate, what a receipt is worth. Not here:
which keys and certificates count (the policy), what follows from an answer (``verify``).
"""

from functools import partial

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from affidavit.errors import CheckFailedError, ParseError
from affidavit.evidence import receipt
from affidavit.evidence.verify import Tools
from affidavit.ledger import timestamp


def tools() -> Tools:
    """What this program can check beyond the standard library."""
    checks = Tools(ml_dsa=ml_dsa, token=token)
    return checks._replace(receipt=partial(receipt.check, tools=checks))


def ml_dsa(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an ML-DSA-44 signature (FIPS 204, pure, empty context) is by ``public``."""
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def token(response: bytes, note: bytes, certificate: bytes) -> str:
    """Whether a TimeStampResp over ``note`` leads to ``certificate`` (DER); "" or why not.

    "authority" where it leads elsewhere.
    """
    try:
        timestamp.verify(response, note, [certificate])
    except CheckFailedError as error:
        return str(error.detail["reason"])
    except ParseError:
        return "malformed"
    return ""
