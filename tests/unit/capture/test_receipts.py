"""Claims about what a caller holds to show that a record was left out."""

import asyncio
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit import ids
from affidavit.capture import receipts as module
from affidavit.capture.receipts import PromiseSigner, Receipts
from affidavit.clock import SystemClock
from affidavit.errors import NotFoundError, PrunedError, UnavailableError
from tests.world.gateway import KEY, OTHER_KEY, World, chat, chat_answer, identity
from tests.world.rawclient import Answer, RawClient, request
from tests.world.upstream import Upstream, whole

SEED = bytes(range(32))
SIGNER = PromiseSigner("test.example/log", SEED, "vkey")
ASK = request("/openai/v1/chat/completions", chat(), key=KEY)
LEAF = {"v": 1, "at": "2026-11-23T12:00:00.000000Z", "sections": ["a", None]}


class Sequencer:
    """Answers "receipt" as the sequencer would; ``answer`` None means not yet."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """One call over the control socket."""
        assert method == "receipt"
        self.asked.append(params)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def sequenced() -> dict[str, Any]:
    """What the sequencer has of a sequenced exchange."""
    half = {"index": 7, "leaf": json.dumps(LEAF), "proof": "p", "links": (b"\1\2",)}
    return {"id": "x", "halves": [half]}


def check(receipt: dict[str, Any]) -> dict[str, str]:
    """The promise, its signature checked with the receipt key."""
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    public.verify(ids.from_b64u(receipt["signature"]), receipt["promise"].encode())
    promise: dict[str, str] = json.loads(receipt["promise"])
    return promise


def find(link: Sequencer, record_id: str, *, held: bool = False, who: int = 1) -> Any:
    """Ask one worker that holds the record, or does not."""
    receipts = Receipts(link, SystemClock())  # type: ignore[arg-type]
    if held:
        receipts.hold(record_id, "digest", "2026-11-23T12:00:00.000000Z", identity())
    return asyncio.run(receipts.find(record_id, identity(who), SIGNER))


def test_the_worker_that_holds_the_record_promises_at_once() -> None:
    """Canonical JSON, signed by the receipt key, with a deadline."""
    record_id = ids.record_id()
    for link in (Sequencer(), Sequencer(UnavailableError("away"))):
        promise = check(find(link, record_id, held=True))
        assert promise == {
            "deadline": "2026-11-23T12:01:00.000000Z",
            "digest": "digest",
            "id": record_id,
            "origin": "test.example/log",
            "time": "2026-11-23T12:00:00.000000Z",
        }
        assert list(promise) == sorted(promise)


def test_others_say_not_yet_until_it_is_sequenced() -> None:
    """A recent id that nobody knows yet is asked for again; an old one is not there."""
    assert find(Sequencer(), ids.record_id()) is None
    with pytest.raises(NotFoundError):
        find(Sequencer(), "0199aaaa-0000-7000-8000-000000000000")
    with pytest.raises(UnavailableError):
        find(Sequencer(UnavailableError("away")), ids.record_id())


@pytest.mark.parametrize("held", [True, False])
def test_once_sequenced_every_worker_gives_proofs_and_promise(held: bool) -> None:
    """The promise then names the digest of the leaf's sections and its time."""
    record_id = ids.record_id()
    link = Sequencer(sequenced())
    receipt = find(link, record_id, held=held)
    assert receipt["halves"][0]["links"] == [ids.b64u(b"\1\2")]
    digest = hashlib.sha256(b'["a",null]').digest()
    assert check(receipt)["digest"] == ids.b64u(digest)
    assert link.asked == [{"id": record_id, "tenant": "acme", "actor": "act_1"}]


def test_records_of_others_are_not_there() -> None:
    """Another caller gets what it would get for nothing at all."""
    record_id = ids.record_id()
    with pytest.raises(NotFoundError):
        find(Sequencer(), record_id, held=True, who=2)
    with pytest.raises(NotFoundError):
        find(Sequencer(NotFoundError("no")), record_id)


def test_what_was_pruned_is_not_told_apart_from_what_never_was() -> None:
    """Else an id of somebody else's record would be known to have been one."""
    record_id = "01980000-0000-7000-8000-000000000000"
    pruned = PrunedError("tile/entries/000 was pruned: the log begins with leaf 256.", minimum=256)
    said = set()
    for answer in (pruned, NotFoundError("There is no record x of this caller."), None):
        with pytest.raises(NotFoundError) as caught:
            find(Sequencer(answer), record_id)
        said.add(str(caught.value.as_json()))
        assert caught.value.http_status == 404
    assert len(said) == 1


def test_a_refusal_does_not_repeat_what_was_asked_for() -> None:
    """Whoever puts a key where the id belongs does not find it in a record (G8)."""
    with pytest.raises(NotFoundError) as caught:
        find(Sequencer(), "aff_" + "K" * 43)
    assert "K" * 43 not in str(caught.value.as_json())


@pytest.mark.parametrize("text", ["", "x", "../../etc/passwd", "0199aaaa-0000-4000-8000-0" * 2])
def test_what_is_no_id_is_not_looked_for(text: str) -> None:
    """Only a UUIDv7 in canonical text is asked for."""
    link = Sequencer()
    with pytest.raises(NotFoundError):
        find(link, text)
    assert link.asked == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest promises are forgotten first."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    receipts = Receipts(None, SystemClock())
    names = [ids.record_id() for _ in range(3)]
    for name in names:
        receipts.hold(name, "d", "2026-11-23T12:00:00.000000Z", identity())
    assert list(receipts._held) == names[1:]


def test_over_http(tmp_path: Any) -> None:
    """The pointer headers lead to the receipt; reading what is sequenced is itself a record."""
    link = Sequencer()
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, link=link) as world,
    ):

        def get(record_id: str, key: str = KEY) -> Answer:
            with RawClient(world.port) as client:
                client.send(request(f"/receipts/{record_id}", method="GET", key=key))
                return client.answer()

        with RawClient(world.port) as client:
            client.send(ASK)
            answer = client.answer()
        record_id = answer.header("affidavit-record") or ""
        receipt = get(record_id)
        assert receipt.status == 200
        assert check(json.loads(receipt.body))["digest"] == answer.header("affidavit-digest")
        assert get(record_id, OTHER_KEY).status == 404
        assert get(record_id, "nobody").status == 401
        assert get(ids.record_id()).status == 202
        link.answer = sequenced()
        assert "halves" in json.loads(get(record_id).body)
    reads = [e for e in world.entries() if e.record.type == "access.query"]
    assert [e.sections["what"]["receipt"] for e in reads] == [record_id]
    asked, _ = world.exchange()
    sections = json.dumps(asked.record.section_digests(), separators=(",", ":")).encode()
    assert ids.b64u(hashlib.sha256(sections).digest()) == answer.header("affidavit-digest")
