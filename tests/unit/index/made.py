"""Records made for the tests of index and query: real commitments, an invented world."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from affidavit.clock import from_unix_us
from affidavit.ids import b64u, record_id
from affidavit.index.project import viewed
from affidavit.ledger import merkle
from affidavit.ledger.note import Checkpoint
from affidavit.ledger.pruned import Pruned
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.model import SECTIONS, Placed, Record, View
from affidavit.vault.reader import NOT_THERE

KEY = bytes(range(32))
START = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z


def placed(
    index: int,
    kind: str,
    sections: Mapping[str, Any],
    bodies: Mapping[str, bytes] | None = None,
    *,
    re: int | None = None,
    at: int | None = None,
    tier: str = "observed",
    seconds: float | None = None,
) -> Placed:
    """A placed record; ``seconds`` after ``START`` is its ledger time (default: its index)."""
    when = START + round((index if seconds is None else seconds) * 1_000_000)
    parts = tuple(
        commit_part(name, "application/json", data) for name, data in (bodies or {}).items()
    )
    every = dict(sections)
    if parts:
        listed = [
            {"name": part.name, "size": part.size, "digest": b64u(part.digest)} for part in parts
        ]
        every["content"] = {"parts": listed}
    record = Record(
        id=record_id(), type=kind, at=from_unix_us(when if at is None else at), tier=tier,
        tenant="acme", retention_class="default",
        sections=tuple(
            disclose(name, every[name]) if name in every else None for name in SECTIONS
        ),
        chains=(), parts=parts,
    )  # fmt: skip
    time = from_unix_us(when)
    leaf = msgspec.json.encode(
        {"v": 1, "index": index, "time": time, "id": record.id, "type": kind,
         "sections": record.section_digests()}
    )  # fmt: skip
    return Placed(
        index=index, time=time, re=re, src=("w" * 22, index), record=record,
        bodies=tuple((bodies or {}).values()), leaf=leaf, links=(),
    )  # fmt: skip


def chat(messages: Sequence[tuple[str, str]], model: str = "gpt-4o") -> bytes:
    """The body of a chat completions request."""
    said = [{"role": role, "content": text} for role, text in messages]
    return msgspec.json.encode({"model": model, "messages": said})


def answer(text: str, model: str = "gpt-4o-2024-08-06") -> bytes:
    """The body of a chat completions response."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text},
              "finish_reason": "stop"}  # fmt: skip
    return msgspec.json.encode(
        {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
         "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
    )  # fmt: skip


WHO: dict[str, Any] = {
    "tenant": "acme", "actor": "act_alice", "kind": "person", "role": "caller",
    "team": "support", "groups": ["oncall"], "credential": "key_1", "assurance": "key",
    "session": "ses_1", "purpose": "unknown",
}  # fmt: skip
PERSON = {"email": "Alice@example.com", "name": "Alice Doe", "subject": "sub-1"}
WHAT: dict[str, Any] = {
    "provider": "openai", "dialect": "openai", "api": "chat.completions",
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
    "http.request.method": "POST", "url.path": "/v1/chat/completions",
    "http.request.headers": [["content-type", "application/json"]], "parsed": "yes",
}  # fmt: skip
SERVED = {
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "http.response.headers": [["content-type", "application/json"]],
}
OUTCOME = {
    "outcome": "complete", "http.response.status_code": 200,
    "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 5,
    "gen_ai.usage.output_tokens": 7, "duration": 1.5, "bytes_received": 300,
}  # fmt: skip


def request(index: int, text: str = "hello", **more: Any) -> Placed:
    """A request of Alice's; ``who``, ``what``, ``person`` may be replaced in part."""
    return placed(
        index, "exchange.request",
        {"who": WHO | more.get("who", {}), "person": PERSON | more.get("person", {}),
         "what": WHAT | more.get("what", {}), "control": {"decision": "allow", "reasons": []}},
        {"request.body": chat([("user", text)])},
    )  # fmt: skip


def response(index: int, re: int, text: str = "good day", **more: Any) -> Placed:
    """The response to leaf ``re``."""
    return placed(
        index, "exchange.response",
        {"what": SERVED | more.get("what", {}), "outcome": OUTCOME | more.get("outcome", {})},
        {"response.body": answer(text)}, re=re,
    )  # fmt: skip


class World:
    """A ledger and a vault in memory, as far as the index needs them."""

    def __init__(self, records: Sequence[Placed]) -> None:
        self.records = list(records)
        self.erased: dict[int, set[str]] = {}
        self.lost: dict[int, set[str]] = {}

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self.records)

    def root(self, size: int) -> bytes:
        """The Merkle root of the first ``size`` leaves."""
        return merkle.root([merkle.leaf_hash(item.leaf) for item in self.records[:size]])

    def checkpoint(self) -> Checkpoint:
        """What is published: everything."""
        return Checkpoint("test", self.size, self.root(self.size))

    def pruned(self) -> Pruned:
        """Nothing was."""
        return Pruned(0, "", False, (), {}, (), array("Q"))

    def erase(self, index: int, *names: str) -> None:
        """Make sections and parts of a record unreadable."""
        self.erased.setdefault(index, set()).update(names)

    def view(self, index: int, tenant: str | None = None) -> View:
        """The record without what was erased."""
        view = viewed(self.records[index])
        gone = self.erased.get(index, set()) | self.lost.get(index, set())
        return msgspec.structs.replace(
            view,
            sections={name: v for name, v in view.sections.items() if name not in gone},
            parts={name: data for name, data in view.parts.items() if name not in gone},
        )

    def missing(self, index: int, tenant: str | None = None) -> dict[str, str]:
        """Why: erased, or lost."""
        lost = dict.fromkeys(self.lost.get(index, ()), NOT_THERE)
        return lost | dict.fromkeys(self.erased.get(index, ()), "It was erased at some time.")

    def lose(self, index: int, *names: str) -> None:
        """Have sections and parts of a record in the vault no more, and nobody erased them."""
        self.lost.setdefault(index, set()).update(names)
