"""A small office: two people, two teams, a change and a gap, indexed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.query.search import Searcher
from tests.unit.index.made import KEY, WHO, World, placed, request, response

BOB_HIMSELF = {"email": "bob@example.com", "name": "Bob Roe", "subject": "sub-2"}
BOB = {"actor": "act_bob", "team": "research", "session": "ses_2", "credential": "key_2"}


@pytest.fixture
def office() -> World:
    """0/2 Alice asks twice in one session, 4 Bob; 1, 3 answers; 5 change; 6 gap; 7 Bob's answer."""
    return World([
        request(0, "how tall is the tower", what={"trace_id": "t1"}),
        response(1, 0, "three hundred metres"),
        request(2, "and how old"),
        response(3, 2, "built in 1889", outcome={"outcome": "client_gone"}),
        request(4, "tell me a secret", who=BOB, person=BOB_HIMSELF),
        placed(5, "change.model", {
            "who": WHO, "what": {"target": {"kind": "model", "name": "gpt-4o"}},
        }),
        placed(6, "ledger.gap", {"what": {"count": 3}}),
        response(7, 4, "no", what={"tools_called": ["search"]}),
    ])  # fmt: skip


@pytest.fixture
def searcher(tmp_path: Path, office: World) -> Iterator[Searcher]:
    """The office, indexed, with its vault."""
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(office.records, office.size, office.root(office.size))
    indexer.settle()
    reader = Reader(tmp_path, KEY)
    yield Searcher(reader, office)
    reader.close()
    indexer.close()
