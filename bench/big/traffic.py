"""Invented traffic, as a gateway records it: the sections, chains and parts of real exchanges.

40 models and a rare one, 5,000 callers with keys in 20 teams of 4 tenants, four of five a person;
64 sessions at a time of 4 to 12 turns each; a prompt of 20 words and an output of 40; a tool named
in two of ten answers, called and answered on record in half of those; a data source in one of ten
requests; denials, errors of providers, callers that go away, and a change on record in a thousand.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from affidavit.ids import b64u, record_id
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.model import SECTIONS, Chain, Part, Record

MODELS, ACTORS, TEAMS, TENANTS, TOOLS, SOURCES = 40, 5_000, 20, 4, 12, 8
LANES = 64
RARE = "rare-model"
RARE_RECORDS = 100
"""So many records of the rare model, in a whole run, all of one tenant."""
PHRASE = "quokka manifesto"
PHRASE_EVERY = 50_000
"""One text in so many holds the rare phrase."""
WORDS = [f"word{number}" for number in range(5_000)]

_CUMULATED = list(itertools.accumulate(0.998**number for number in range(len(WORDS))))
"""Common words more often: each a little less often than the one before."""
_CONTEXT = msgspec.Raw(
    msgspec.json.encode(
        {"gateway": {"version": "bench", "config_hash": "0" * 64, "policy_hash": "none",
                     "host": "bench", "worker": "bench"}, "workload": "unknown"}
    )
)  # fmt: skip
_ALLOW = {"decision": "allow", "reasons": [], "policy": "none"}
_DENY = {"decision": "deny", "reasons": ["model not allowed"], "policy": "bench"}
_ASKED = [["content-type", "application/json"], ["accept", "application/json"]]
_SERVED = [["content-type", "application/json"], ["server", "bench"]]
_JSON = "application/json"
_encode = msgspec.json.encode


class Made(NamedTuple):
    """A record with its bodies, and the words in it."""

    record: Record
    bodies: tuple[bytes, ...]
    text: str


class _Lane:
    """A session that is going on."""

    def __init__(self, draw: random.Random, actor: Mapping[str, str]) -> None:
        number = draw.randrange(ACTORS)
        self.tenant = actor.get("tenant", f"tenant-{number % TENANTS}")
        self.actor = actor.get("actor", f"act_{number:05d}")
        self.key = actor.get("key", f"key_{number:05d}")
        self.model = f"model-{draw.randrange(MODELS)}"
        self.session = f"ses_{draw.getrandbits(80):020x}"
        self.turns = draw.randint(4, 12)
        self.subjects = () if number % 5 == 4 and "actor" not in actor else (self.actor,)
        kind = "person" if self.subjects else "agent"
        self.who = msgspec.Raw(
            _encode({
                "tenant": self.tenant, "actor": self.actor, "kind": kind, "role": "caller",
                "groups": [], "team": f"team-{number % TEAMS}", "credential": self.key,
                "authenticated_by": "key", "assurance": "key", "session_source": "header",
                "session": self.session,
            })
        )  # fmt: skip
        self.person = {
            "email": f"person{number}@example.com", "name": f"Person {number}",
            "session": f"chat-{self.session[-8:]}", "address": "192.0.2.7", "user_agent": "bench",
        }  # fmt: skip


class Traffic:
    """Makes records from number ``first`` on; ``at`` gives the source time of a number.

    ``records``: how many a whole run has, over which those of the rare model are spread.
    ``actor``: whose all of it is (``tenant``, ``actor``, ``key``), as far as it says.
    """

    def __init__(
        self, first: int, records: int, at: Callable[[int], str], *,
        retention_class: str = "default", actor: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.n = first
        self._at = at
        self._draw = random.Random(first)
        self._class = retention_class
        self._actor = actor or {}
        self._lanes = [_Lane(self._draw, self._actor) for _ in range(LANES)]
        self._rare_every = max(1, 2 * records // RARE_RECORDS)
        self._rare_at = -(-first // self._rare_every) * self._rare_every

    def groups(self) -> Iterator[list[Made]]:
        """Groups without end: what so many sessions ask, then what they are answered."""
        while True:
            asked: list[Made] = []
            answers: list[list[Made]] = []
            for place, lane in enumerate(self._lanes):
                request, rest = self._exchange(lane)
                asked.append(request)
                answers.append(rest)
                lane.turns -= 1
                if lane.turns == 0:
                    self._lanes[place] = _Lane(self._draw, self._actor)
            if self._draw.random() < 0.13:
                asked.append(self._change())
            yield asked
            yield [made for rest in answers for made in rest]

    def _exchange(self, lane: _Lane) -> tuple[Made, list[Made]]:
        draw = self._draw
        luck = draw.random()
        model = lane.model
        if self.n >= self._rare_at and lane.tenant == "tenant-0":
            model, luck = RARE, 0.5
            self._rare_at += self._rare_every
        chains = (
            Chain(lane.tenant, "model", model),
            Chain(lane.tenant, "actor", lane.actor),
            Chain(lane.tenant, "key", lane.key),
            Chain(lane.tenant, "session", lane.session),
        )
        prompt = self._words(20)
        what: dict[str, Any] = {
            "dialect": "openai", "api": "chat.completions", "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model, "parsed": "yes", "provider": "openai",
            "http.request.method": "POST", "url.path": "/v1/chat/completions",
            "http.request.headers": _ASKED,
        }  # fmt: skip
        if draw.random() < 0.1:
            source = f"source-{draw.randrange(SOURCES)}"
            what["sources"] = [source]
            chains = (*chains, Chain(lane.tenant, "source", source))
        body = _encode({"model": model, "messages": [{"role": "user", "content": prompt}]})
        denied = luck < 0.01
        request = self._record(
            "exchange.request", lane, chains,
            {"who": lane.who, "person": lane.person, "what": what, "context": _CONTEXT,
             "control": _DENY if denied else _ALLOW},
            ("request.body", body), None, prompt,
        )  # fmt: skip
        return request, self._answers(lane, chains, model, luck, request.record.id)

    def _answers(
        self, lane: _Lane, chains: tuple[Chain, ...], model: str, luck: float, asked: str
    ) -> list[Made]:
        draw = self._draw
        outcome: dict[str, Any] = {"outcome": "complete", "http.response.status_code": 200}
        what: dict[str, Any] = {
            "dialect": "openai", "provider": "openai", "parent": asked,
            "response_made_by": "provider", "http.response.headers": _SERVED,
        }  # fmt: skip
        said, tool = "", ""
        if luck < 0.01:
            outcome.update({"outcome": "denied", "http.response.status_code": 403})
            what["response_made_by"] = "gateway"
        elif luck < 0.015:
            outcome.update({"outcome": "upstream_error", "http.response.status_code": 502})
            outcome["error"] = {"code": "upstream", "message": "no answer", "type": "gateway"}
            what["response_made_by"] = "gateway"
        elif luck < 0.03:
            status = draw.choice((400, 429, 429, 500, 503))
            outcome["http.response.status_code"] = status
            outcome["error"] = {"code": str(status), "message": "not now", "type": "provider"}
        else:
            gone = luck < 0.045
            said = self._words(15 if gone else 40)
            served = f"{model}-2026-08"
            what.update({"gen_ai.response.model": served, "parsed": "yes"})
            chains = (*chains, Chain(lane.tenant, "model", served))
            outcome["gen_ai.usage.input_tokens"] = draw.randrange(9_000)
            outcome["gen_ai.usage.output_tokens"] = draw.randrange(900)
            outcome["gen_ai.response.finish_reasons"] = ["stop"]
            if gone:
                outcome["outcome"] = "client_gone"
            elif draw.random() < 0.2 / 0.955:
                tool = f"tool-{draw.randrange(TOOLS)}"
                what["tools_called"] = [tool]
                outcome["gen_ai.response.finish_reasons"] = ["tool_calls"]
                chains = (*chains, Chain(lane.tenant, "tool", tool))
        body = _encode({
            "id": "c", "object": "chat.completion", "model": model,
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": said}}],
        } if said else {"error": {"message": "not now"}})  # fmt: skip
        outcome.update({
            "bytes_received": len(body), "bytes_delivered": len(body),
            "time_to_first_byte": round(draw.random(), 6), "duration": round(draw.random() * 9, 6),
        })  # fmt: skip
        sections = {"who": lane.who, "what": what, "outcome": outcome}
        made = [
            self._record("exchange.response", lane, chains, sections, ("response.body", body),
                         asked, said)
        ]  # fmt: skip
        if tool and draw.random() < 0.5:
            made += self._tool(lane, tool)
        return made

    def _tool(self, lane: _Lane, tool: str) -> list[Made]:
        chains = (
            Chain(lane.tenant, "tool", tool),
            Chain(lane.tenant, "actor", lane.actor),
            Chain(lane.tenant, "session", lane.session),
        )
        what = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
        words = self._words(6)
        sections = {"who": lane.who, "what": what, "context": _CONTEXT, "control": _ALLOW}
        call = self._record(
            "tool.call", lane, chains, sections,
            ("tool.arguments", _encode({"q": words})), None, words,
        )  # fmt: skip
        found = self._words(12)
        result = self._record(
            "tool.result", lane, chains,
            {"who": lane.who, "what": what, "outcome": {"outcome": "complete", "duration": 0.1}},
            ("tool.result", _encode({"found": found})), call.record.id, found,
        )  # fmt: skip
        return [call, result]

    def _change(self) -> Made:
        draw = self._draw
        lane = self._lanes[draw.randrange(LANES)]
        kind = draw.choice(("model", "prompt", "policy"))
        model = f"model-{draw.randrange(MODELS)}"
        name = model if kind == "model" else f"{kind}-{draw.randrange(9)}"
        chains = [Chain(lane.tenant, "model", model), Chain(lane.tenant, "actor", lane.actor)]
        if kind != "model":
            chains.append(Chain(lane.tenant, kind, name))
        what = {
            "target": {"kind": kind, "name": name}, "models": [model],
            "before": f"v{draw.randrange(9)}", "after": f"v{draw.randrange(9)}",
            "reason": "a release",
        }  # fmt: skip
        sections = {"who": lane.who, "what": what, "context": _CONTEXT}
        return self._record(f"change.{kind}", lane, tuple(chains), sections, None, None, "")

    def _record(
        self, kind: str, lane: _Lane, chains: tuple[Chain, ...], sections: dict[str, Any],
        body: tuple[str, bytes] | None, parent: str | None, text: str,
    ) -> Made:  # fmt: skip
        parts: tuple[Part, ...] = ()
        if body is not None:
            part = commit_part(body[0], _JSON, body[1])
            parts = (part,)
            listed = {"name": part.name, "media_type": _JSON, "size": part.size}
            sections["content"] = {"parts": [listed | {"digest": b64u(part.digest)}]}
        record = Record(
            id=record_id(), type=kind, at=self._at(self.n), tier="observed", tenant=lane.tenant,
            retention_class=self._class,
            sections=tuple(
                [disclose(n, sections[n]) if n in sections else None for n in SECTIONS]
            ),
            chains=chains, parts=parts, parent=parent, subjects=lane.subjects,
        )  # fmt: skip
        self.n += 1
        return Made(record, () if body is None else (body[1],), text)

    def _words(self, count: int) -> str:
        words = self._draw.choices(WORDS, cum_weights=_CUMULATED, k=count)
        if self._draw.random() < 1 / PHRASE_EVERY:
            words[2:2] = [PHRASE]
        return " ".join(words)
