"""Where tests find what is not in the repository, and how they say what they did not prove."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(
    os.environ.get("AFFIDAVIT_SHARED_DATA", REPOSITORY.parent / "shared" / "data")
).resolve()
"""Real provider traffic and test vectors, never copied here; may be absent."""


def not_proven(reason: str) -> NoReturn:
    """Skip the test and print what it would have shown: a skip is a gap in what we know."""
    print(f"not proven: {reason}")
    pytest.skip(f"not proven: {reason}")


def shared(*parts: str) -> Path:
    """A path below ``SHARED_DATA``; skips the test, saying so, when it is absent."""
    path = SHARED_DATA.joinpath(*parts)
    if not path.exists():
        not_proven(f"{path.name} is not there (set AFFIDAVIT_SHARED_DATA)")
    return path
