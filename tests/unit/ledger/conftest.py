import pytest

from tests.world import ledger


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Salt trees once a run, small staging files."""
    ledger.quick(monkeypatch)
