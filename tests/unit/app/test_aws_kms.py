"""A key-encryption key in AWS KMS: wrapped, unwrapped, rotated; and each way to fail."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.app import aws_kms, first_start, opening, origin
from affidavit.app.aws_kms import AwsKms
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.config import Config, parse
from affidavit.durable import Disk
from affidavit.errors import (
    AffidavitError,
    BusyError,
    CheckFailedError,
    ConfigError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from affidavit.ids import b64u
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.renewal import Renewal
from tests.world.kms import ARN, Kms

SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def server() -> Iterator[Kms]:
    """One KMS for all."""
    with Kms() as kms:
        yield kms


@pytest.fixture
def kms(server: Kms, monkeypatch: pytest.MonkeyPatch) -> Kms:
    """In a good mood, and found; asked once where it is in none."""
    server.mood, server.moods, server.asked = "", 1_000, []
    server.disabled.clear()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws_kms, "ATTEMPTS", 1)
    return server


def _source(kms: Kms, name: str = "test.example/log", number: int = 0) -> AwsKms:
    return AwsKms(kms.arns[number], lambda: name)


def test_what_kms_wrapped_it_unwraps(kms: Kms) -> None:
    """The file has the ARN and the ledger's name, and nothing of the key."""
    sealed = _source(kms).seal(SECRET)
    assert sealed.startswith(f"affidavit-kek-aws-kms-1 {kms.arns[0]} ".encode())
    assert sealed.count(b"\n") == 1
    assert (SECRET in sealed, b64u(SECRET).encode() in sealed) == (False, False)
    assert AwsKms("", lambda: "").open(sealed) == SECRET
    assert _source(kms, number=1).open(sealed) == SECRET, "the file says which key"
    assert kms.asked == ["encrypt", "decrypt", "decrypt"]


def test_the_key_of_another_ledger_is_not_taken(kms: Kms) -> None:
    """Neither as it is, which is seen without asking, nor renamed, which KMS sees."""
    sealed = _source(kms).seal(SECRET)
    with pytest.raises(CheckFailedError, match=r"of the ledger test\.example/log"):
        _source(kms, "other.example/log").open(sealed)
    assert kms.asked == ["encrypt"]
    words = sealed.split(b" ")
    words[2] = b64u(b"other.example/log").encode()
    with pytest.raises(CheckFailedError, match="does not open under") as caught:
        _source(kms, "other.example/log").open(b" ".join(words))
    assert "proofs remain" in caught.value.hint


def test_the_ciphertext_of_another_key_does_not_open(kms: Kms) -> None:
    """Somebody else's ARN in the file: KMS refuses."""
    sealed = _source(kms).seal(SECRET).replace(kms.arns[0].encode(), kms.arns[1].encode())
    with pytest.raises(CheckFailedError, match="does not open under"):
        _source(kms).open(sealed)


def test_no_byte_of_the_file_may_be_another_one(kms: Kms) -> None:
    """Mark, ARN, name, ciphertext, line end."""
    sealed = _source(kms).seal(SECRET)
    wrong = [
        sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        for place in range(0, len(sealed), 17)
    ]
    for data in (*wrong, sealed + b"\n", sealed[:-1], sealed.replace(b"\n", b" x\n")):
        with pytest.raises(AffidavitError):
            KeyEncryptionKey.parse("kek", data, (_source(kms),))


FAILURES: list[tuple[str, type[AffidavitError], str]] = [
    ("close", UnavailableError, "does not answer"),
    ("silent", UnavailableError, "does not answer"),
    ("500", UnavailableError, "failed"),
    ("KMSInternalException", UnavailableError, "failed"),
    ("ThrottlingException", BusyError, "no more just now"),
    ("DisabledException", UnavailableError, "disabled"),
    ("KMSInvalidStateException", UnavailableError, "to be deleted"),
    ("AccessDeniedException", RefusedError, "does not let this process"),
    ("ExpiredTokenException", RefusedError, "does not let this process"),
    ("NotFoundException", NotFoundError, "knows no key"),
    ("IncorrectKeyException", CheckFailedError, "does not open"),
]


@pytest.mark.parametrize(("mood", "kind", "sentence"), FAILURES, ids=[one[0] for one in FAILURES])
def test_each_way_to_fail_has_its_sentence(
    kms: Kms, monkeypatch: pytest.MonkeyPatch, mood: str, kind: type[AffidavitError], sentence: str
) -> None:
    """Wrapping and unwrapping; with a hint, and without the key."""
    sealed = _source(kms).seal(SECRET)
    kms.mood = mood
    if mood == "silent":
        monkeypatch.setattr(aws_kms, "READ_SECONDS", 0.2)
    source = _source(kms)
    with pytest.raises(kind, match=sentence) as wrapping:
        source.seal(SECRET)
    with pytest.raises(kind, match=sentence) as unwrapping:
        source.open(sealed)
    for caught in (wrapping.value, unwrapping.value):
        assert type(caught) is kind
        assert caught.hint
    kms.mood = ""
    monkeypatch.setattr(aws_kms, "READ_SECONDS", 20)
    assert source.open(sealed) == SECRET


def test_what_passes_is_tried_again(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    """One failure in between costs a moment and no start."""
    monkeypatch.setattr(aws_kms, "ATTEMPTS", 2)
    kms.mood, kms.moods = "500", 1
    assert _source(kms).open(_source(kms).seal(SECRET)) == SECRET
    assert kms.asked == ["encrypt", "encrypt", "decrypt"]


def test_what_is_missing_is_told(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, credentials, the library, a KMS."""
    with pytest.raises(UsageError, match="No KMS key"):
        AwsKms("", lambda: "x").seal(SECRET)
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        aws_kms._session.cache_clear()
        with pytest.raises(RefusedError, match="no AWS credentials"):
            _source(kms).seal(SECRET)
    aws_kms._session.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
        with pytest.raises(UnavailableError, match="EndpointConnectionError"):
            _source(kms).seal(SECRET)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UnavailableError, match="boto3") as caught:
        _source(kms).seal(SECRET)
    assert "affidavit[aws]" in caught.value.hint


def test_a_directory_begins_and_is_renewed_under_kms(kms: Kms, tmp_path: Path) -> None:
    """KMS is asked at the start and at a renewal; an outage in between leaves the old key."""
    paths, disk, clock = Paths(tmp_path / "d"), Disk(), SystemClock()
    config = Config.model_validate({"keys": {"kind": "aws-kms", "aws_kms_key": kms.arns[0]}})
    file = opening.key_file(paths, config=config)
    first_start.prepare(
        paths, disk, clock, demo=False, configured=True, file=file, kind=config.keys.kind
    )
    assert kms.asked == ["encrypt"]
    name = origin.settled(paths, disk, "", paths.config)
    assert b64u(name.encode()).encode() in paths.key_encryption_key.read_bytes()
    keyring = opening.owner(paths, disk, clock, file)
    secret = keyring.secret("log/seed")
    reader = opening.keyring(paths, clock)
    assert reader.secret("log/seed") == secret
    assert kms.asked == ["encrypt", "decrypt"], "the process that made the key remembers it"
    kms.mood = "close"
    before = paths.key_encryption_key.read_bytes()
    with pytest.raises(UnavailableError, match="does not answer"):
        Renewal(disk, paths.key_database, file, keyring).run()
    assert paths.key_encryption_key.read_bytes() == before
    assert keyring.secret("log/seed") == reader.secret("log/seed") == secret
    kms.mood = ""
    Renewal(disk, paths.key_database, file, keyring).run()
    assert paths.key_encryption_key.read_bytes() != before
    assert reader.secret("log/seed") == secret
    Renewal(disk, paths.key_database, file, keyring).run("file")
    kms.disabled.update(kms.arns)
    assert reader.secret("log/seed") == secret
    with pytest.raises(UnavailableError, match="disabled"):
        Renewal(disk, paths.key_database, file, keyring).run("aws-kms")
    reader.close()
    keyring.close()


def test_the_configuration_names_a_key_of_kms() -> None:
    """By ARN, id or alias; nothing else, and not without one."""
    for key in (ARN.format(1), "alias/affidavit", "1234abcd-12ab-34cd-56ef-1234567890ab"):
        config = parse(f"keys: {{kind: aws-kms, aws_kms_key: '{key}'}}", {}, "a test")
        assert config.keys.aws_kms_key == key
    for text in ("{kind: aws-kms}", "{aws_kms_key: 'key with words'}", "{kind: gcp}", "{key: x}"):
        with pytest.raises(ConfigError, match="keys"):
            parse(f"keys: {text}", {}, "a test")
