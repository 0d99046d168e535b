"""A key-encryption key that stands on this machine as a ciphertext of AWS KMS alone.

Rules: the 32 random bytes are made here and encrypted by a symmetric KMS key, with an encryption
context that names the ledger; without both KMS does not decrypt them. KMS is asked at a start and
at a renewal, never for a record: an outage stops neither capture nor reading. Each call ends within
bounded time and attempts, and each way to fail has its own sentence. Credentials and endpoint are
found as AWS's own programs find them (environment, profile, role); none is in our configuration.
boto3 is asked for when it is needed: ``pip install 'affidavit[aws]'``.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from affidavit import ids
from affidavit.errors import (
    AffidavitError,
    BusyError,
    CheckFailedError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from affidavit.record.keys import LOST, fields

CONNECT_SECONDS = 3
READ_SECONDS = 5
ATTEMPTS = 3
"""At most; between them under two seconds, so an unanswered call ends within half a minute."""
CONTEXT = "affidavit:ledger"
CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
)  # fmt: skip
"""Variables by which AWS is asked; who does not read gets none that the configuration leaves."""
_MAX_CIPHERTEXT = 6144
_DENIED = frozenset(
    {
        "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId",
        "ExpiredTokenException", "IncompleteSignature", "InvalidSignatureException",
        "MissingAuthenticationToken", "NotAuthorized", "OptInRequired",
    }
)  # fmt: skip
_THROTTLED = frozenset({"ThrottlingException", "Throttling", "LimitExceededException"})
_WRONG = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_STATES = frozenset(
    {"DisabledException", "KMSInvalidStateException", "InvalidStateException", "KeyUnavailable"}
)


class AwsKms:
    """A ``record.keys.Source``. ``key``: ARN, id or alias of the KMS key for new files.

    ``origin`` gives the ledger's name. A file is one line: mark, the key's ARN, the ledger's name
    (base64url), the ciphertext.
    """

    kind = "aws-kms"
    mark = b"affidavit-kek-aws-kms-1 "

    def __init__(self, key: str, origin: Callable[[], str]) -> None:
        self._key = key
        self._origin = origin

    def seal(self, secret: bytes) -> bytes:
        """Have KMS encrypt ``secret``; ``UsageError`` without a key; errors of ``_failure``."""
        if not self._key:
            raise UsageError(
                "No KMS key is configured.", hint="Set keys.aws_kms_key, and start again."
            )
        origin = self._origin()
        answer = _ask(
            self._key, "encrypt", KeyId=self._key, Plaintext=secret, EncryptionContext=_of(origin)
        )
        arn, sealed = str(answer["KeyId"]), bytes(answer["CiphertextBlob"])
        line = f"{arn} {ids.b64u(origin.encode())} {ids.b64u(sealed)}\n"
        return self.mark + line.encode("ascii")

    def open(self, data: bytes) -> bytes:
        """Have KMS decrypt it; ``CheckFailedError`` if it is of another ledger, or as ``seal``."""
        arn, named, text = fields(data, self.mark, 3)
        origin, sealed = ids.from_b64u(named).decode(), ids.from_b64u(text)
        if not arn.startswith("arn:") or not 0 < len(sealed) <= _MAX_CIPHERTEXT:
            raise ValueError("not an ARN and a ciphertext")
        own = self._origin()
        if own not in ("", origin):
            raise CheckFailedError(
                f"The key-encryption key is of the ledger {origin}, and this is {own}.",
                hint="Put back keys/kek of this ledger.",
            )
        answer = _ask(
            arn, "decrypt", KeyId=arn, CiphertextBlob=sealed, EncryptionContext=_of(origin)
        )
        secret = bytes(answer["Plaintext"])
        if len(secret) != ids.KEY_BYTES:
            raise ValueError("not a key")
        return secret


def require() -> None:
    """``UnavailableError`` unless what asks KMS is installed."""
    _library()


def _of(origin: str) -> dict[str, str]:
    return {CONTEXT: origin}


def _ask(key: str, operation: str, **parameters: Any) -> dict[str, Any]:
    """One operation of KMS, in the region that the key's ARN names, if it is one."""
    boto3, config, exceptions = _library()
    region = key.split(":")[3] if key.startswith("arn:") and key.count(":") >= 5 else None
    limits = config.Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    try:
        client = _session(boto3).client("kms", region_name=region, config=limits)
        answer: dict[str, Any] = getattr(client, operation)(**parameters)
    except exceptions.ClientError as error:
        raise _failure(key, str(error.response.get("Error", {}).get("Code", ""))) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise RefusedError(
            "There are no AWS credentials to ask KMS with.",
            hint="Give them as to any AWS program: environment, profile, or a role of the machine.",
        ) from error
    except exceptions.NoRegionError as error:
        raise UnavailableError(
            "It is not known in which region the KMS key is.",
            hint="Name the key by its ARN, or set AWS_DEFAULT_REGION.",
        ) from error
    except exceptions.BotoCoreError as error:
        raise UnavailableError(
            f"AWS KMS does not answer ({type(error).__name__}).",
            hint="A start and a renewal need it; what runs goes on. Try again.",
        ) from error
    return answer


def _failure(key: str, code: str) -> AffidavitError:
    """The sentence for an error code of KMS."""
    if code in _DENIED:
        return RefusedError(
            f"AWS KMS does not let this process use {key} ({code}).",
            hint="It needs kms:Encrypt and kms:Decrypt on the key, and valid credentials.",
        )
    if code in _THROTTLED:
        return BusyError(f"AWS KMS answers no more just now ({code}).", hint="Try again.")
    if code in _WRONG:
        return CheckFailedError(
            f"The key-encryption key does not open under {key} for this ledger.", hint=LOST
        )
    if code in _STATES:
        return UnavailableError(
            f"The KMS key {key} is disabled or to be deleted ({code}).",
            hint="Enable it, or cancel its deletion. Once it is deleted, all that is sealed is "
            "lost: sections, content, state and index; the log and its proofs remain.",
        )
    if code == "NotFoundException":
        return NotFoundError(f"AWS KMS knows no key {key}.", hint=LOST)
    return UnavailableError(
        f"AWS KMS failed ({code or 'no code'}).",
        hint="A start and a renewal need it; what runs goes on. Try again.",
    )


@functools.cache
def _session(boto3: Any) -> Any:
    """One for the process: it reads what describes AWS's services, and keeps credentials fresh."""
    return boto3.session.Session()


def _library() -> tuple[Any, Any, Any]:
    try:
        names = ("boto3", "botocore.config", "botocore.exceptions")
        boto3, config, exceptions = map(importlib.import_module, names)
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "A key-encryption key in AWS KMS needs boto3, which is not installed.",
            hint="pip install 'affidavit[aws]'; in a checkout: .venv/bin/pip install"
            " --require-hashes --no-deps -r requirements/aws.txt",
        ) from error
    return boto3, config, exceptions
