"""What all tests of the parts put together share."""

import pytest

from affidavit.app import purging


@pytest.fixture(autouse=True)
def _nobody_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Erasures need not wait for who starts just then, but where a test says so."""
    monkeypatch.setattr(purging, "START_SECONDS", 0.1)
