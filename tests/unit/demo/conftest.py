"""A demo provider on a loopback port of its own, shared by the tests of this folder."""

from collections.abc import Iterator

import pytest
import uvicorn

from affidavit.demo.provider import create_app
from tests.unit.demo.serving import served


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The base address of a running demo provider with hardly a pause between pieces."""
    app = create_app(pace=0.0005)
    with served(uvicorn.Config(app, log_level="error", lifespan="off")) as address:
        yield address
