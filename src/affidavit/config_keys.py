"""``keys`` of the configuration: how the key-encryption key is kept.

Rules: it says how a first start keeps the key; the file ``keys/kek`` says by itself how it is kept
now, and ``affidavit keys rotate --to KIND`` changes that. No secret is in it. Not here: passphrases
(``app.passphrase``), and what opens a key (``record.kek``).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

KINDS = ("file", "passphrase")


class Keys(BaseModel):
    """``kind``: ``file`` (mode 0600), or ``passphrase`` (wrapped under it by scrypt)."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    kind: Literal["file", "passphrase"] = "file"
