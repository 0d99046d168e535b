"""A running installation whose disk a test takes away: what callers see, what the provider got.

``Site`` is ``affidavit up`` with one worker before a scripted provider, called with the official
SDKs. It keeps the id of every request that was answered, so that in the end each of them can be
looked for in the ledger.
"""

import json
import shutil
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai

from tests.e2e.machine import Machine
from tests.world.audit import Audited, audit
from tests.world.disks import Mounts
from tests.world.gateway import chat, chat_answer
from tests.world.rawclient import Answer, RawClient, request
from tests.world.upstream import Step, Upstream, whole

MESSAGE = json.dumps(
    {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1",
        "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1},
    }
).encode()  # fmt: skip
SECRET = "upstream-canary-credential"
REFUSAL_SECONDS = 5.0
"""A refusal waits for no disk and no queue. How long it does take is printed by scripts/faults, not
judged here: beside other work on two cores a second passes in which nothing was wrong."""
Errors = (openai.APIError, anthropic.APIError)


class Health(NamedTuple):
    """What a health page said: ``status`` 0 if nobody answered in time."""

    status: int
    facts: dict[str, Any]

    @property
    def worker(self) -> str:
        """The process that answered."""
        return str(self.facts.get("worker", ""))


class Site:
    """One installation; ``recorded`` are the ids of the requests that were answered with 200."""

    def __init__(
        self, directory: Path, data: Path, upstream: Upstream, mounts: Mounts, routes: str = "{}"
    ) -> None:
        config = directory / "site.yaml"
        config.write_text(
            "providers:\n"
            f"  openai: {{dialect: openai, base_url: '{upstream.url}', secret: {SECRET}}}\n"
            f"  anthropic: {{dialect: anthropic, base_url: '{upstream.url}', secret: {SECRET}}}\n"
            f"routes: {routes}\n"
        )
        self.upstream = upstream
        self.mounts = mounts
        self.machine = Machine(data, config=config, prefix=mounts.prefix)
        self.recorded: list[str] = []
        self.figures: dict[str, float] = {}

    # --- callers ----------------------------------------------------------------------------------

    def openai(self, prompt: str = "Hi") -> str:
        """Ask with OpenAI's SDK; the id of the record."""
        base, key = f"{self.machine.gateway}/openai/v1", self.machine.key
        with openai.OpenAI(base_url=base, api_key=key, max_retries=0, timeout=30) as client:
            raw = client.chat.completions.with_raw_response.create(
                model="gpt-4o", messages=[{"role": "user", "content": prompt}]
            )
        return self._note(raw.headers["affidavit-record"])

    def anthropic(self, prompt: str = "Hi") -> str:
        """Ask with Anthropic's SDK; the id of the record."""
        base, key = f"{self.machine.gateway}/anthropic", self.machine.key
        with anthropic.Anthropic(base_url=base, api_key=key, max_retries=0, timeout=30) as client:
            raw = client.messages.with_raw_response.create(
                model="claude-1", max_tokens=9, messages=[{"role": "user", "content": prompt}]
            )
        return self._note(raw.headers["affidavit-record"])

    def openai_strict(self) -> None:
        """Ask with OpenAI's SDK on the route that refuses."""
        base, key = f"{self.machine.gateway}/openai/v1/strict", self.machine.key
        with openai.OpenAI(base_url=base, api_key=key, max_retries=0, timeout=30) as client:
            client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
            )

    def unrecorded(self, prompt: str = "Hi") -> None:
        """Ask with OpenAI's SDK where nothing can be recorded: answered, and points to nothing."""
        base, key = f"{self.machine.gateway}/openai/v1", self.machine.key
        with openai.OpenAI(base_url=base, api_key=key, max_retries=0, timeout=30) as client:
            raw = client.chat.completions.with_raw_response.create(
                model="gpt-4o", messages=[{"role": "user", "content": prompt}]
            )
        assert "affidavit-record" not in raw.headers
        assert "affidavit-digest" not in raw.headers

    def both(self) -> None:
        """Ask with both SDKs; both must answer."""
        self.upstream.play([whole(chat_answer())])
        self.openai()
        self.upstream.play([whole(MESSAGE)])
        self.anthropic()

    def refused(self, prompt: str = "Hi") -> None:
        """Both SDKs raise their own 503, soon, and the provider gets not one byte."""
        before = bytes(self.upstream.got)
        calls: Sequence[Callable[[str], str]] = (self.openai, self.anthropic)
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda call: self._fail(call, prompt), calls))
        for (error, seconds), kind in zip(
            results, (openai.InternalServerError, anthropic.InternalServerError), strict=True
        ):
            assert isinstance(error, openai.InternalServerError | anthropic.InternalServerError)
            assert isinstance(error, kind)
            assert error.status_code == 503
            assert "unavailable" in str(error.body)
            assert seconds < REFUSAL_SECONDS, f"503 after {seconds:.2f} s"
            self._slowest("503", seconds)
        assert bytes(self.upstream.got) == before, "bytes went upstream without a record"

    def fill_segment(self) -> None:
        """Use up what the worker has allocated, with ever smaller calls until none fits."""
        self.upstream.play([whole(chat_answer())])
        for size in (2 << 20, 128 << 10, 8 << 10):
            for _ in range(40):
                if self.call("x" * size) != 200:
                    break
            else:
                raise AssertionError(f"calls of {size} bytes are never refused")

    def keep_asking(self, within: float = 60.0) -> None:
        """Call until one call is answered; each one waits for its refusal as little as it can."""
        self.upstream.play([whole(chat_answer())])
        until = time.monotonic() + within
        status = 0
        while status != 200:
            began = time.monotonic()
            assert began < until, self.machine.messages()
            status = self.call("Hi")
            self._slowest("slowest call while replaced", time.monotonic() - began)

    def stream(self, session: str, *script: Step, until: bytes) -> RawClient:
        """Begin a streamed answer and read up to ``until``."""
        self.upstream.play(script)
        client = RawClient(int(self.machine.gateway.rpartition(":")[2]))
        headers = (("affidavit-session", session),)
        path = "/openai/v1/chat/completions"
        client.send(request(path, chat(stream=True), key=self.machine.key, headers=headers))
        assert client.wait_for(until)
        return client

    def call(self, prompt: str, path: str = "/openai/v1/chat/completions") -> int:
        """Ask with a plain client; the status."""
        with RawClient(int(self.machine.gateway.rpartition(":")[2])) as client:
            body = chat(messages=[{"role": "user", "content": prompt}])
            client.send(request(path, body, key=self.machine.key))
            answer: Answer = client.answer(within=30)
        if answer.status == 200:
            self._note(answer.header("affidavit-record") or "")
        return answer.status

    def _fail(self, call: Callable[[str], str], prompt: str) -> tuple[Exception | None, float]:
        began = time.monotonic()
        try:
            call(prompt)
        except Errors as error:
            return error, time.monotonic() - began
        return None, time.monotonic() - began

    def _note(self, record: str) -> str:
        self.recorded.append(record)
        return record

    def _slowest(self, what: str, seconds: float) -> None:
        self.figures[what] = max(self.figures.get(what, 0.0), seconds)

    # --- health -----------------------------------------------------------------------------------

    def health(self, page: str = "healthz", within: float = 10.0) -> Health:
        """Ask a health page of the gateway."""
        try:
            with urllib.request.urlopen(f"{self.machine.gateway}/{page}", timeout=within) as got:
                return Health(got.status, json.load(got))
        except urllib.error.HTTPError as error:
            with error:
                return Health(error.code, json.load(error))
        except OSError:
            return Health(0, {})

    def red(self, why: str) -> None:
        """Both pages are red and say why."""
        for page in ("healthz", "readyz"):
            health = self.health(page)
            assert health.status == 503, health
            assert why in str(health.facts), health

    def green(self, began: float, within: float = 60.0) -> Health:
        """Wait until both pages are green; notes how long after ``began`` that was."""
        while (health := self.health()).status != 200 or self.health("readyz").status != 200:
            assert time.monotonic() < began + within, f"{health} {self.machine.messages()[-2000:]}"
            time.sleep(0.02)
        self.figures["green again"] = time.monotonic() - began
        return health

    # --- the end ----------------------------------------------------------------------------------

    def pids(self, name: str = "gateway") -> list[int]:
        """The processes of that name."""
        return [pid for pid, what in self.machine.children().items() if what == name]

    def audit(self, beside: Path, unrecorded: int = 0) -> Audited:
        """Check what is on disk after a stop: nothing answered is missing, nothing went astray.

        ``unrecorded``: so many calls were served without a record.
        """
        copy = beside / "copy"
        shutil.copytree(self.mounts.inside(self.machine.data), copy, ignore=_sockets)
        found = audit(
            copy, canaries=[self.machine.key, SECRET], beside=beside / "rebuilt",
            logs=[self.machine.log],
        )  # fmt: skip
        for record in self.recorded:
            outcome = found.outcomes[record].sections["outcome"]["outcome"]
            assert outcome == "complete", f"{record}: {outcome}"
        asked = Counter(one.partition(b"\r\n\r\n")[2] for one in self.upstream.requests)
        asked -= Counter(view.parts["request.body"] for view in found.requests.values())
        assert asked.total() == unrecorded, f"{asked.total()} went upstream without a record"
        assert "Traceback" not in self.machine.messages(), self.machine.messages()
        print(", ".join(f"{what} {seconds:.3f} s" for what, seconds in self.figures.items()))
        return found


def _sockets(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".sock") or name == "ballast"]
