"""One small ledger for all attacks that do not change it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.evidence import verify
from affidavit.evidence.bundle import Bundle, Choice
from tests.attacks.world import World, by_model, staged_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Exchanges of two models, one that nobody could attribute, a gap, an open request."""
    made = staged_world(tmp_path_factory.mktemp("world") / "log")
    yield made
    made.close()


@pytest.fixture(scope="session")
def good(world: World) -> Bundle:
    """All that is known of one model, with content."""
    return world.bundle(by_model(), Choice(content="full"))


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """A ledger of one's own."""
    made = World(tmp_path / "log")
    yield made
    made.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check each signature once: the same bytes give the same answer."""
    known: dict[tuple[bytes, bytes, bytes], bool] = {}
    real = verify.ed25519

    def remembered(public: bytes, message: bytes, signature: bytes) -> bool:
        key = (public, message, signature)
        if key not in known:
            known[key] = real(*key)
        return known[key]

    monkeypatch.setattr(verify, "ed25519", remembered)
