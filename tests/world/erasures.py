"""Traffic and requests for tests of erasure: a gateway's journal beside a running sequencer."""

import asyncio
import json
from pathlib import Path
from typing import Any, Self

import msgspec

from affidavit.app import opening, snapshots
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.durable import Disk, open_database
from affidavit.ids import b64u, record_id
from affidavit.ledger.log_reader import LogReader
from affidavit.query import language
from affidavit.query.tree import Match
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.model import SECTIONS, Chain, Record
from affidavit.record.seal import Recipient

NOW = "2026-11-23T12:00:00.000000Z"


class Recorder:
    """Writes whole exchanges to a journal of its own, as a gateway worker does."""

    def __init__(self, root: Path, link: ControlLink) -> None:
        self.journal: JournalWriter
        self._log = Paths(root).log
        self._begun = 0
        self._link = link
        self._recipient: Recipient
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, root: Path, link: ControlLink) -> Self:
        """Begin a journal below ``root`` and follow the snapshots, as a gateway does."""
        made = cls(root, link)
        first = await snapshots.first(link)
        made._recipient = Recipient(first.recipient_day, first.recipient_public)

        def update(snapshot: Any) -> None:
            made._recipient = Recipient(snapshot.recipient_day, snapshot.recipient_public)

        async def follow() -> None:
            following = asyncio.create_task(snapshots.follow(link, first, update))
            try:
                while True:
                    await asyncio.sleep(0.02)
                    made.journal.retry()
            finally:
                following.cancel()

        made.journal = JournalWriter.open(
            Disk(), Paths(root).journal, "gateway", lambda: made._recipient, SystemClock()
        )
        made._following = asyncio.create_task(follow())
        return made

    async def exchange(
        self, caller: dict[str, Any], prompt: str, *, session: str = "", kind: str = "service",
        retention_class: str = "default", answer_at: asyncio.Event | None = None,
        answer_class: str = "", **person: str,
    ) -> str:  # fmt: skip
        """One exchange of a key; ``session`` is already a pseudonym's end. The request's id.

        ``answer_at``: the answer comes when it is set; ``answer_class``: in another class.
        """
        tenant, actor = caller["tenant"], caller["actor"]
        who = {"tenant": tenant, "actor": actor, "kind": kind, "credential": caller["id"],
               "session": f"ses_{session}"}  # fmt: skip
        chains = [Chain(tenant, "model", "m"), Chain(tenant, "actor", actor),
                  Chain(tenant, "key", caller["id"])]  # fmt: skip
        if session:
            chains.append(Chain(tenant, "session", f"ses_{session}"))
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        asks = {"provider": "openai", "dialect": "openai", "api": "chat.completions",
                "gen_ai.request.model": "m", "parsed": "yes"}  # fmt: skip
        sections = {"who": who, "what": asks}
        if person:
            sections["person"] = person
        subjects = (actor,) if kind == "person" else ()
        more = (tenant, retention_class, subjects, tuple(chains))
        request = await self._write("exchange.request", sections, "request.body", body, None, more)
        if answer_at is not None:
            await answer_at.wait()
        choice = {"index": 0, "finish_reason": "stop",
                  "message": {"role": "assistant", "content": f"answer to {prompt}"}}  # fmt: skip
        answer = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
        served = {"gen_ai.response.model": "m", "http.response.headers": []}
        outcome = {"outcome": "complete", "http.response.status_code": 200}
        sections = {"who": who, "what": served, "outcome": outcome}
        more = (tenant, answer_class or retention_class, subjects, tuple(chains))
        await self._write("exchange.response", sections, "response.body", answer, request, more)
        return request

    async def _write(
        self, kind: str, sections: dict[str, Any], name: str, body: dict[str, Any],
        parent: str | None, more: tuple[str, str, tuple[str, ...], tuple[Chain, ...]],
    ) -> str:  # fmt: skip
        data = json.dumps(body).encode()
        part = commit_part(name, "application/json", data)
        listed = {"name": name, "media_type": part.media_type, "size": part.size,
                  "digest": b64u(part.digest)}  # fmt: skip
        every = {**sections, "content": {"parts": [listed]}}
        tenant, retention_class, subjects, chains = more
        record = Record(
            id=record_id(), type=kind, at=SystemClock().now(), tier="observed", tenant=tenant,
            retention_class=retention_class,
            sections=tuple(disclose(n, every[n]) if n in every else None for n in SECTIONS),
            chains=chains, parts=(part,), parent=parent, subjects=subjects,
        )  # fmt: skip
        self._begun += 1
        await self.journal.commit(record, (data,))
        return record.id

    async def indexed(self) -> None:
        """Wait until everything written so far is in the index."""
        before = -1
        for _ in range(150):
            await asyncio.sleep(0.2)
            status = await self._link.call("status", {})
            if status["indexed"] == status["size"] == before and self._all_sequenced():
                return
            before = status["size"]
        raise AssertionError(status)

    def _all_sequenced(self) -> bool:
        """Whether the ledger has every record of this journal: quiet it is also while it rests."""
        reader = LogReader(self._log)
        for index in reversed(range(reader.checkpoint().size)):
            name, number = reader.decoded(index).src
            if name == self.journal.incarnation:
                return number + 1 >= self._begun
        return not self._begun

    async def close(self) -> None:
        """End the journal without a word, as a worker that was killed does."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self.journal.abandon()


def asked(
    kind: str, target: str, identity: dict[str, Any], *, dry: bool = False, when_due: bool = False,
    what: str = "sections", recorded: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The parameters of ``erasures.ask``, as the console sends them."""
    fields = {"session": "session", "record": "id", "tenant": "tenant", "subject": "actor"}
    tree = Match(fields[kind], target) if kind in fields else language.parse(target, NOW)
    who = {"tenant": identity["tenant"], "actor": identity["actor"], "role": identity["role"]}
    return {
        "identity": identity["id"], "by": who, "kind": kind, "target": target,
        "recorded": target if recorded is None else recorded,
        "tree": msgspec.json.encode(tree).decode(), "what": what, "basis": "Art. 17(1)(b)",
        "dry": dry, "when_due": when_due,
    }  # fmt: skip


async def erased(
    link: ControlLink, erasure: str, state: str = "done", within: float = 30.0
) -> dict[str, Any]:
    """Wait until a request has come so far; what it is then."""
    for _ in range(int(within / 0.05)):
        found: dict[str, Any] = await link.call("erasures.show", {"id": erasure}, within=30.0)
        if found["state"] == state:
            return found
        await asyncio.sleep(0.05)
    status = await link.call("status", {})
    raise AssertionError((found, status["erasing_problem"]))


def holds_none(root: Path, words: list[str]) -> bool:
    """Whether no page, free page or log of any database holds a word, opened with its key."""
    paths = Paths(root)
    keyring = opening.keyring(paths, SystemClock())
    files = {paths.state: "state.db", root / "index.db": "index.db", root / "text.db": "index.db"}
    try:
        for path, name in files.items():
            database = open_database(path, keyring.database_key(name), read_only=True)
            pages = database.serialize("main").lower()
            database.close()
            found = [word for word in words if word.lower().encode() in pages]
            assert not found, (path.name, found)
        with keyring.alone() as (database, _):
            pages = database.serialize("main").lower()
        found = [word for word in words if word.lower().encode() in pages]
        assert not found, ("keys.db", found)
    finally:
        keyring.close()
    return True
