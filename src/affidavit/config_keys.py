"""``keys`` of the configuration: how the key-encryption key is kept.

Rules: it says how a first start keeps the key; the file ``keys/kek`` says by itself how it is kept
now, and ``affidavit keys rotate --to KIND`` changes that. No secret is in it. Not here: passphrases
(``app.passphrase``), credentials for AWS (``app.aws_kms``), and what opens a key (``record.kek``).
"""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

_KEY = re.compile(
    r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]{1,256}"
    r"|alias/[A-Za-z0-9/_-]{1,250}"
    r"|(mrk-)?[0-9a-f-]{32,36}"
)


class Keys(BaseModel):
    """``kind``: ``file`` (mode 0600), ``passphrase`` (wrapped under it by scrypt), ``aws-kms``.

    ``aws_kms_key``: ARN, id or alias of a symmetric key of AWS KMS.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    kind: Literal["file", "passphrase", "aws-kms"] = "file"
    aws_kms_key: str = ""

    @field_validator("aws_kms_key")
    @classmethod
    def _is_one(cls, value: str) -> str:
        if value and not _KEY.fullmatch(value):
            raise ValueError("must be the ARN, the id or the alias/… of a KMS key")
        return value

    @model_validator(mode="after")
    def _has_its_key(self) -> Self:
        if self.kind == "aws-kms" and not self.aws_kms_key:
            raise ValueError("kind aws-kms needs aws_kms_key")
        return self
