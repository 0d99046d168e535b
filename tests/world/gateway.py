"""A whole gateway worker in a thread: real sockets, real uvicorn, a real journal in a directory.

The test keeps the day's private key, so it reads the journal as the sequencer would.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import uvloop

from affidavit import ids
from affidavit.capture import worker
from affidavit.capture.current import Current
from affidavit.capture.endpoint import endpoints
from affidavit.capture.gateway import Gateway
from affidavit.clock import SystemClock
from affidavit.config import Config, Provider
from affidavit.control.identity import Identity, Snapshot, hash_key
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.record.disclose import check_part, open_disclosure
from affidavit.record.journal import JournalWriter
from affidavit.record.journal_reader import START, JournalReader, Position
from affidavit.record.model import SECTIONS, Frame, Piece, Record, Written
from affidavit.record.seal import RecipientKey
from tests.world.rawclient import PATIENCE, Answer, RawClient, request
from tests.world.upstream import Step, Upstream

KEY = "ak_" + "a" * 40
OTHER_KEY = "ak_" + "b" * 40
MONITOR_KEY = "aff_key_of_a_monitor"
SECRET = "sk-the-providers-own-secret"


class Entry(NamedTuple):
    """One record read back: sections opened, content by part name, checked against its digest."""

    record: Record
    sections: dict[str, Any]
    parts: dict[str, bytes]

    @property
    def outcome(self) -> str:
        """The outcome, if the record has one."""
        return str(self.sections.get("outcome", {}).get("outcome", ""))


def identity(
    number: int = 1, *, token: str = KEY, tenant: str = "acme", role: str = "caller"
) -> Identity:
    """A caller, or whoever has that role."""
    return Identity(
        id=f"key_{number}",
        tenant=tenant,
        actor=f"act_{number}",
        kind="service",
        role=role,
        team="team",
        groups=("g1",),
        name=f"Caller {number}",
        email="",
        key_hash=hash_key(token),
        created="2026-11-23T12:00:00.000000Z",
    )


def snapshot(day_key: RecipientKey, identities: Iterable[Identity]) -> Snapshot:
    """What the sequencer would hand out."""
    people = tuple(identities)
    return Snapshot(
        version=1,
        origin="test.example/log",
        identities=people,
        recipient_day=day_key.day,
        recipient_public=day_key.recipient.public,
        receipt_seed=bytes(range(32)),
        receipt_vkey="receipts+00000000+key",
        log_vkey="log+00000000+key",
        pseudonym_keys={f"{one.tenant}\0{one.team}": bytes(32) for one in people},
        config_hash="00" * 32,
    )


class World:
    """Starts in ``with``; afterwards ``entries`` are all records of its journal."""

    def __init__(
        self,
        directory: Path,
        base_url: str = "http://127.0.0.1:9",
        *,
        dialect: Any = "openai",
        provider: dict[str, Any] | None = None,
        gateway: dict[str, Any] | None = None,
        routes: dict[str, Any] | None = None,
        more: dict[str, Provider] | None = None,
        disk: Disk | None = None,
        link: Any = None,
        day_key: RecipientKey | None = None,
        prepare: Callable[["World"], None] | None = None,
    ) -> None:
        settings = {"secret": SECRET, **(provider or {})}
        named = {"openai": Provider(dialect=dialect, base_url=base_url, **settings)}
        named.update(more or {})
        limits = {"drain_seconds": 1.0, **(gateway or {})}
        self.config = Config.model_validate(
            {"providers": named, "gateway": limits, "routes": routes or {}}
        )
        self.directory = directory / "journal"
        self.day_key = day_key or RecipientKey.generate("2026-11-23")
        self.identities = (
            identity(),
            identity(2, token=OTHER_KEY),
            identity(3, token=MONITOR_KEY, role="monitor"),
        )
        self.port = 0
        self.exit_code: int | None = None
        self.journal: JournalWriter
        self.gateway: Gateway
        self.loop: asyncio.AbstractEventLoop
        self._disk = disk or Disk()
        self._link: ControlLink | None = link
        self._prepare = prepare
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None
        self._positions: dict[str, Position] = {}
        self._frames: list[Frame] = []
        self._seen = 0
        self._pieces: dict[str, list[bytes]] = {}
        self._entries: list[Entry] = []

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE), "the gateway did not start"
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Drain as SIGTERM would, and wait for the end."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the gateway did not stop"
        if self._failure is not None:
            raise self._failure

    def wait_stopped(self, within: float) -> bool:
        """Whether it stops by itself."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def do(self, work: Callable[[], Any]) -> Any:
        """Run something on the gateway's loop and wait for it."""

        async def call() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE)

    def wait_idle(self, within: float = PATIENCE) -> None:
        """Wait until no call is running."""
        end = time.monotonic() + within
        while self.gateway.health()[1]["running"] and time.monotonic() < end:
            time.sleep(0.005)

    def serve(self, ready: Callable[[], None]) -> int:
        """Serve on this thread until a signal or the journal ends it; the exit code."""
        return uvloop.run(self._serve(ready))

    def _run(self) -> None:
        try:
            self.exit_code = self.serve(self._ready.set)
        except BaseException as error:  # noqa: BLE001 - given to the test's thread
            self._failure = error
            self._ready.set()

    async def _serve(self, ready: Callable[[], None]) -> int:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        clock = SystemClock()
        current = Current(snapshot(self.day_key, self.identities))
        self.journal = JournalWriter.open(
            self._disk, self.directory, "gateway-1", current.recipient, clock,
            segment_bytes=1 << 20, serves=self.config.serves_unrecorded,
        )  # fmt: skip
        self.gateway = Gateway(
            endpoints=endpoints(self.config),
            off={name: p.off for name, p in self.config.providers.items() if p.off},
            journal=self.journal,
            current=current,
            link=self._link,
            clock=clock,
            config=self.config,
            worker="gateway-1",
        )
        if self._prepare is not None:
            self._prepare(self)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        return await worker.serve(
            self.gateway, self.journal, listener, config=self.config, clock=clock,
            ready=ready, stop=self._stop,
        )  # fmt: skip

    # --- reading back -----------------------------------------------------------------------------

    def frames(self) -> list[Frame]:
        """Every frame of the journal so far; what was read once is not read again."""
        for path in sorted(self.directory.iterdir()):
            reader = JournalReader(
                path,
                lambda _day, wrapped: self.day_key.open(wrapped),
                self._positions.get(path.name, START),
            )
            while batch := reader.poll():
                self._frames += [frame for _, frame in batch]
                self._positions[path.name] = batch[-1][0]
            reader.close()
        return self._frames

    def entries(self) -> list[Entry]:
        """Every record with its content; fails if a part is not what it is committed to."""
        for frame in self.frames()[self._seen :]:
            self._seen += 1
            if isinstance(frame, Piece):
                self._pieces.setdefault(frame.request, []).append(frame.data)
            elif isinstance(frame, Written):
                self._entries.append(_entry(frame, self._pieces))
        return self._entries

    def exchanges(self) -> list[tuple[Entry, Entry]]:
        """Requests with their responses; fails unless each request has exactly one."""
        entries = self.entries()
        answers: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.record.parent is not None:
                answers.setdefault(entry.record.parent, []).append(entry)
        pairs = []
        for entry in entries:
            if entry.record.type == "exchange.request":
                found = answers.get(entry.record.id, [])
                assert len(found) == 1, f"{len(found)} outcomes for one request"
                pairs.append((entry, found[0]))
        return pairs

    def exchange(self, after: int = 0) -> tuple[Entry, Entry]:
        """The only exchange behind the first ``after`` ones."""
        self.wait_idle()
        pairs = self.exchanges()[after:]
        assert len(pairs) == 1
        return pairs[0]


class Lab:
    """A world that many cases share, one after another, with a provider that can be told anew."""

    def __init__(self, world: World, provider: Upstream) -> None:
        self.world = world
        self.provider = provider

    @classmethod
    @contextlib.contextmanager
    def open(cls, directory: Path, **settings: Any) -> Iterator[Self]:
        """Start both; calls stall after 1.5 seconds unless ``settings`` say otherwise."""
        limits = {"connect_timeout": 1.5, "first_byte_timeout": 1.5, "idle_timeout": 1.5}
        settings["provider"] = {**limits, **settings.get("provider", {})}
        with Upstream() as provider, World(directory, provider.url, **settings) as world:
            yield cls(world, provider)

    def run(
        self, script: Sequence[Step], message: bytes = b"", *, head: bool = False
    ) -> tuple[Answer, Entry, Entry]:
        """One request to a provider that answers by ``script``: answer and both records."""
        before = len(self.world.exchanges())
        self.provider.play(script)
        message = message or request("/openai/v1/chat/completions", chat(), key=KEY)
        with RawClient(self.world.port) as client:
            client.send(message)
            answer = client.answer(head_request=head)
        return (answer, *self.world.exchange(before))


def _entry(frame: Written, pieces: dict[str, list[bytes]]) -> Entry:
    record = frame.record
    sections = {
        name: open_disclosure(text, name)
        for name, text in zip(SECTIONS, record.sections, strict=True)
        if text is not None
    }
    parts = {}
    for part, body in zip(record.parts, frame.bodies, strict=True):
        data = b"".join(pieces.get(record.parent or "", [])) if body is None else body
        assert check_part(part, data), f"{part.name} is not what was committed to"
        parts[part.name] = data
    return Entry(record, sections, parts)


def chat(model: str = "gpt-4o", **more: Any) -> bytes:
    """A small chat request."""
    return msgspec.json.encode(
        {"model": model, "messages": [{"role": "user", "content": "Hi"}]} | more
    )


def chat_answer(model: str = "gpt-4o-2024-08-06", text: str = "Hello") -> bytes:
    """A small whole answer."""
    return msgspec.json.encode(
        {
            "id": "chatcmpl-" + ids.b64u(b"123456"),
            "object": "chat.completion",
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
    )


def chat_event(text: str) -> bytes:
    """One event of a streamed answer."""
    delta = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + msgspec.json.encode(delta) + b"\n\n"


DONE = b"data: [DONE]\n\n"
