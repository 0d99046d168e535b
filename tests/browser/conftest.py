"""One process for all bundles of a run."""

from collections.abc import Iterator

import pytest

from tests.browser.node import UNITS, Node, Process


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """``verify.html`` in Node."""
    made = Node(tmp_path_factory.mktemp("node"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def units() -> Iterator[Process]:
    """Its parts by themselves."""
    made = Process(UNITS)
    yield made
    made.close()
