"""Claims about the snapshot a worker acts by."""

import msgspec
import pytest

from affidavit.capture.current import Current
from affidavit.errors import UnauthenticatedError
from affidavit.record.seal import RecipientKey
from tests.world.gateway import KEY, OTHER_KEY, identity, snapshot


def test_a_newer_snapshot_replaces_everything_at_once() -> None:
    """Keys, the recipient of the day and the receipt key are all the new ones."""
    monday, tuesday = RecipientKey.generate("2026-11-23"), RecipientKey.generate("2026-11-24")
    current = Current(snapshot(monday, [identity()]))
    assert current.directory.find(KEY).id == "key_1"
    assert current.recipient() == monday.recipient
    before = current.signer
    newer = snapshot(tuesday, [identity(2, token=OTHER_KEY)])
    current.update(msgspec.structs.replace(newer, version=2, receipt_seed=bytes(32)))
    assert current.directory.find(OTHER_KEY).id == "key_2"
    with pytest.raises(UnauthenticatedError):
        current.directory.find(KEY)
    assert current.recipient() == tuesday.recipient
    assert current.signer is not before
    assert current.snapshot.version == 2


def test_a_revoked_key_is_unknown_from_the_next_snapshot_on() -> None:
    """Revocation takes effect with the snapshot that says so."""
    day = RecipientKey.generate("2026-11-23")
    current = Current(snapshot(day, [identity()]))
    gone = msgspec.structs.replace(identity(), revoked="2026-11-23T12:00:00.000000Z")
    current.update(snapshot(day, [gone]))
    with pytest.raises(UnauthenticatedError):
        current.directory.find(KEY)
