"""An incident in a whole installation, and the page that tells of it: docs/incident.md.

``python -m tests.e2e.incident > docs/incident.md`` writes the page again. The providers' answers
are recordings, which are read and never copied: in the page stands only that there was one.
Ids, times and places in the ledger differ with every run, so they are numbered as they come.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.e2e.machine import Machine
from tests.vectors.recordings import Exchange, exchanges
from tests.world.upstream import LAST_CHUNK, SSE_HEAD, Do, Step, Upstream, chunk, whole

TEXT = """# An incident, told by its records

This is what `affidavit show` says of one session of an agent, to a responder with a reason. The
scenario is played by `tests/e2e/incident.py` in a whole installation, with recorded answers of a
real provider (left out here), and a test compares what the command prints with this page. Ids,
times and places in the ledger are numbered in the order in which they appear.

What happened: an agent of the support team asks `prod-chat` on behalf of a user, has a tool called,
and asks twice side by side. A pipeline then points `prod-chat` at a model that does not exist; the
agent fails, tries again and fails again, until the alias is corrected. A document that is too large
is turned away; an answer is abandoned in the middle and asked for again, and the narrative shows
that it did not come from the model that the alias names. Later, somebody reads one of the prompts.

```
$ affidavit show case-4711 --reason 'incident 4711'
{shown}```

How to read it: [Stories](query.md#stories).
"""

AGENT = {
    "affidavit-session": "case-4711",
    "affidavit-user": "alice@example.com",
    "affidavit-purpose": "support case 4711",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
TOOLS = [{"type": "function", "function": {"name": "get_current_weather", "parameters": {}}}]
PATH = "/openai/v1/chat/completions"
REASON = "incident 4711"
LIMIT = 16_384


class Keys(NamedTuple):
    """The keys of those who take part."""

    owner: str
    agent: str
    pipeline: str
    responder: str


def ask(
    address: str, path: str, key: str, body: Any, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Post JSON and read all of the answer."""
    connection = _begun(address, path, key, body, headers or {})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


def _begun(
    address: str, path: str, key: str, body: Any, headers: Mapping[str, str]
) -> http.client.HTTPConnection:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    fields = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    connection.request("POST", path, json.dumps(body), fields)
    return connection


class Scene:
    """An installation with its provider, and what the people in it do."""

    def __init__(
        self, machine: Machine, upstream: Upstream, recordings: Sequence[Exchange]
    ) -> None:
        self._machine = machine
        self._upstream = upstream
        self._recorded = {one.id: one for one in recordings}
        self._records = 0
        owner = (machine.data / "keys" / "owner").read_text().strip()
        agent = {"name": "support agent", "kind": "agent", "team": "support"}
        rita = {"name": "Rita Responder", "kind": "person", "role": "responder"}
        made = [
            json.loads(ask(machine.console, "/api/keys", owner, body)[1])["token"]
            for body in (agent, {"name": "pipeline"}, rita)
        ]
        self.keys = Keys(owner, *made)
        self._until_known("agent")

    def _until_known(self, name: str) -> None:
        """Keys are known everywhere within a second."""
        key = getattr(self.keys, name)
        until = time.monotonic() + 10
        where = urlsplit(self._machine.gateway)
        while time.monotonic() < until:
            connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
            path = "/receipts/00000000-0000-7000-8000-000000000000"
            connection.request("GET", path, headers={"affidavit-key": key})
            status = connection.getresponse().status
            connection.close()
            if status != 401:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is not known at the gateway")

    def answers(self, *scripts: Sequence[Step]) -> None:
        """What the provider answers to the next requests."""
        self._upstream.play(*scripts)

    def recorded(self, name: str, *, status: str = "200 OK") -> list[Step]:
        """A recorded answer, whole."""
        body = self._recorded[name].response_body
        if self._recorded[name].streamed:
            return [SSE_HEAD, chunk(body), LAST_CHUNK]
        return [whole(body, status=status)]

    def abandoned(self, name: str) -> list[Step]:
        """The first half of a recorded stream, and then nothing until the caller leaves."""
        body = self._recorded[name].response_body
        return [SSE_HEAD, chunk(body[: len(body) // 2]), Do.HOLD]

    def begin(self, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """The agent asks; the answer is still to be read."""
        fields = AGENT | dict(headers or {})
        return _begun(self._machine.gateway, PATH, self.keys.agent, body, fields)

    def agent(self, body: Any, headers: Mapping[str, str] | None = None) -> int:
        """The agent asks and reads the answer; returns the status."""
        connection = self.begin(body, headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        status: int = response.status
        return status

    def change(self, kind: str, **body: Any) -> None:
        """The pipeline reports a change, by the command line's own route."""
        asked = {"type": kind, "by": "Dora Deploy", **body}
        status, answer = ask(self._machine.console, "/api/records", self.keys.pipeline, asked)
        assert status == 201, answer

    def reveal(self, expression: str) -> None:
        """The responder reads a prompt."""
        asked = {"expression": expression, "view": "records", "limit": 1}
        _, answer = ask(self._machine.console, "/api/query", self.keys.owner, asked)
        wanted = {"id": json.loads(answer)["rows"][0]["id"], "reason": REASON}
        status, answer = ask(self._machine.console, "/api/reveal", self.keys.responder, wanted)
        assert status == 200, answer

    def settled(self, expression: str, count: int) -> None:
        """Wait until so many records match: what comes next stands behind them."""
        asked = {"expression": expression, "view": "records", "limit": 200}
        until = time.monotonic() + 20
        while time.monotonic() < until:
            _, answer = ask(self._machine.console, "/api/query", self.keys.owner, asked)
            found = len(json.loads(answer)["rows"])
            if found >= count:
                assert found == count, f"{found} for {expression}"
                return
            time.sleep(0.05)
        raise AssertionError(f"not {count} for {expression}")

    def show(self) -> str:
        """What the command prints to the responder."""
        words = [sys.executable, "-m", "affidavit", "show", "case-4711", "--reason", REASON]
        environ = {
            **os.environ, "AFFIDAVIT_URL": self._machine.console,
            "AFFIDAVIT_KEY": self.keys.responder,
        }  # fmt: skip
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, env=environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def play(scene: Scene) -> None:
    """The incident, step by step."""
    mini, full = "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"
    wrong = "this-model-does-not-exist"
    scene.change("change.alias", target="prod-chat", after=mini, reason="first release")
    scene.settled("type:change.alias", 1)

    asked = [{"role": "user", "content": "What is the weather in Seattle and in San Francisco?"}]
    scene.answers(scene.recorded(CALLS_TOOLS))
    body = {"model": "prod-chat", "messages": asked, "tools": TOOLS, "stream": True}
    assert scene.agent(body) == 200

    said = [*asked, {"role": "user", "content": "The tool says: 50 and rain; 70 and sun."}]
    scene.answers([0.3, *scene.recorded(TWO_CITIES)], scene.recorded(PARIS))
    slow = scene.begin({"model": "prod-chat", "messages": said})
    time.sleep(0.1)
    paris = [{"role": "user", "content": "And in Paris?"}]
    assert scene.agent({"model": "prod-chat", "messages": paris}) == 200
    assert slow.getresponse().read()
    slow.close()
    scene.settled("type:exchange.*", 6)

    scene.change("change.model", target=mini, before="available", after="retired",
                 reason="the provider's notice")  # fmt: skip
    scene.change("change.alias", target="prod-chat", before=mini, after=wrong, reason="CHG-1042")
    scene.settled("type:change.alias OR type:change.model", 3)

    last = {"model": "prod-chat", "messages": [{"role": "user", "content": "Which city is it?"}]}
    again = {"idempotency-key": "agent-retry-8c1f"}
    scene.answers(scene.recorded(NO_MODEL, status="404 Not Found"))
    assert scene.agent(last, again) == 404
    assert scene.agent(last, again) == 404
    scene.settled("type:exchange.*", 10)

    scene.change("change.alias", target="prod-chat", before=wrong, after=full, reason="CHG-1043")
    scene.settled("type:change.alias", 3)
    scene.answers(scene.recorded(CITY))
    assert scene.agent(last, again) == 200
    scene.settled("type:exchange.*", 12)

    large = [{"role": "user", "content": "Read this: " + "x" * LIMIT}]
    assert scene.agent({"model": "prod-chat", "messages": large}) == 413
    scene.settled("type:access.denied", 1)

    story = {
        "model": "prod-chat", "stream": True,
        "messages": [{"role": "user", "content": "Write it up for the customer."}],
    }  # fmt: skip
    scene.answers(scene.abandoned(STORY))
    connection = scene.begin(story)
    response = connection.getresponse()
    assert response.read(200)
    response.close()
    connection.close()
    scene.settled("status:client_gone", 1)
    scene.answers(scene.recorded(STORY))
    assert scene.agent(story) == 200
    scene.settled("type:exchange.*", 16)

    scene.reveal('type:exchange.request "Which city is it"')
    scene.settled("type:access.reveal", 1)


CALLS_TOOLS = "openai-chat-completions-6e2b8963db6b"
TWO_CITIES = "openai-chat-completions-31ae739ef062"
PARIS = "openai-chat-completions-3e5e6c725c9c"
NO_MODEL = "openai-chat-completions-d0d23a986bc3"
CITY = "openai-chat-completions-af900d04696f"
STORY = "openai-chat-completions-03b561517883"


def shown(room: Path) -> str:
    """Play it all in ``room`` and return what the command printed."""
    config = room / "config.yaml"
    with Upstream() as upstream:
        config.write_text(
            "providers:\n  openai: {dialect: openai, credential: inject, "
            f'base_url: "{upstream.url}", secret: "${{INCIDENT_SECRET}}"}}\n'
            f"gateway: {{max_body_bytes: {LIMIT}}}\n"
        )
        environ = {"INCIDENT_SECRET": "sk-not-a-real-key-of-anybody"}
        machine = Machine(room / "data", config=config, environ=environ)
        try:
            scene = Scene(machine, upstream, list(exchanges("openai")))
            play(scene)
            return scene.show()
        finally:
            machine.kill()


_NAMED = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "record-{}"),
    (re.compile(r"act_[a-z2-7]{26}"), "act_{}"),
    (re.compile(r"ses_[a-z2-7]{26}"), "ses_{}"),
    (re.compile(r"#\d+"), "#{}"),
)


def normalised(text: str) -> str:
    """What a run printed with ids, times and places numbered, and recorded answers left out.

    Nothing in it happened at another time than the ledger's but for a machine that is slow.
    """
    text = "\n".join(_without_answers(text.split("\n")))
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "(time)".ljust(19), text)
    text = re.sub(r"    happened \(time\) UTC, as its source says\n", "", text)
    text = re.sub(r"cause: The model .*", "cause: (a recorded error)", text)
    text = re.sub(r"as of leaf \d+", "as of leaf N", text)
    for pattern, form in _NAMED:
        seen: dict[str, str] = {}
        for found in pattern.findall(text):
            seen.setdefault(found, form.format(len(seen) + 1))
        text = pattern.sub(lambda match, seen=seen: seen[match[0]], text)  # type: ignore[misc]  # bound now
    return text


_HEAD = re.compile(r"\d{4}-\d\d-\d\d |\d+ lines, as of")


def _without_answers(lines: Sequence[str]) -> Iterator[str]:
    """The lines, of each output only that there is one."""
    inside = False
    for line in lines:
        if line.startswith("    ‹ "):
            inside = True
            yield "    ‹ (a recorded answer)"
        elif not inside or _HEAD.match(line):
            inside = False
            yield line


def page(text: str) -> str:
    """The page for what the command printed."""
    return TEXT.format(shown=normalised(text))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(page(shown(Path(name))))
