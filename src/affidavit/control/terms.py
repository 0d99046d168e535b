"""A word that may name a person, as records have it: its digest under a key of the tenant.

Rules: the same word has the same digest as long as the key is there, so a search can be repeated
and compared; without the key nobody tells what it was. Not here: which words these are
(``console.access``).
"""

import hashlib
import hmac

from affidavit import ids
from affidavit.record.keys import hkdf

_PURPOSE = "affidavit/search-term/v1"
_MARK = "hmac:"


def is_digest(word: str) -> bool:
    """Whether this stands in a word's place."""
    return word.startswith(_MARK)


def digest(key: bytes, term: str) -> str:
    """``hmac:`` and 26 characters: the keyed digest of a word (128 bits).

    In base32, so that an expression with digests in place of words is an expression again.
    """
    # A key of its own: under the team's key itself, sessions of a caller's choosing get names.
    own = hkdf(key, _PURPOSE)
    made = hmac.digest(own, term.encode("utf-8", "replace"), hashlib.sha256)
    return _MARK + ids.b32(made[:16])
