"""A ledger whose every name and text tries to spoil the page that tells of it."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from affidavit.evidence import attestation, bundle, period, report, verify
from affidavit.evidence.bundle import Bundle, Choice, Sample, Shown
from affidavit.query.question import Question
from affidavit.record.model import Chain
from tests.attacks.world import TENANT, World

MODEL = "gpt-nasty"
HOSTILE = "<script>alert(1)</script>\u202e\x1b[2J\"'><img src=x onerror=alert(1)>&amp;"
WORD = "x" * 10_000
ARABIC = "مرحبا بالعالم، هذا نص طويل من اليمين إلى اليسار مع رقم 12345 وكلمة english في الوسط."
HEBREW = "שלום עולם, זהו טקסט מימין לשמאל (עם סוגריים) ועוד 678."
CJK = "你好，世界。これは日本語の文章です。한국어 문장도 있습니다。" * 12
EMOJI = (
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽 e\u0301 Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324"
)
INVISIBLE = "pay\u200bpal \u2066isolate\u2069 \u200f\u200e\ufeff soft\u00adhyphen \u3164 \U000e0041"
TEXTS = [HOSTILE, WORD, ARABIC, HEBREW, CJK, EMOJI, INVISIBLE, "/very/long/path" * 200]
NAMES = [
    "act_" + "a" * 26,
    HOSTILE,
    "n" * 400,
    ARABIC,
    "用户" * 60,
    "user@" + "long." * 60 + "example",
]


def chat(*texts: str) -> bytes:
    """A request body in which somebody says these things."""
    messages = [{"role": "user", "content": text} for text in texts]
    return json.dumps({"model": MODEL, "messages": messages}).encode()


def nasty_world(root: Path, rounds: int = 1, many: int = 0) -> World:
    """Exchanges of every nasty text and name; ``many`` plain ones beside them."""
    made = World(root)
    for number in range(rounds):
        for place, text in enumerate(TEXTS):
            name = NAMES[(place + number) % len(NAMES)]
            made.exchange(
                model=MODEL,
                actor=name,
                body=chat(text, *TEXTS) if place == 0 else chat(text),
                who={"tenant": TENANT, "actor": name, "team": name, "role": "caller",
                     "session": name, "purpose": text[:200], "assurance": "key"},
                person={"name": text[:300]},
                what={"gen_ai.request.model": MODEL, "dialect": "openai",
                      "api": "chat.completions", "parsed": "yes",
                      "http.request.method": "POST", "url.path": "/v1/chat/completions"},
                control={"decision": "deny" if place % 2 else "allow", "reasons": [text[:100]]},
            )  # fmt: skip
    values = {f"value_{number}": f"{number} {WORD[:40]}" for number in range(30)}
    made.add(
        "change.config", model=MODEL, body=None, also=[Chain(TENANT, "type", "change.config")],
        what={"before": dict.fromkeys(values, "old"), "after": values, "reason": HOSTILE},
    )  # fmt: skip
    made.add("ledger.gap", model=None, actor=None, tenant="", body=None, who=None,
             what={"count": 3, "reason": HOSTILE})  # fmt: skip
    for _ in range(many):
        made.exchange(model=MODEL)
    made.add(model=MODEL)
    return made


def asked() -> Question:
    """All records of the model, in words that are none."""
    return Question(f"model:{MODEL} {HOSTILE} {WORD[:300]}", (Chain(TENANT, "model", MODEL),))


RETENTION: dict[str, Any] = {
    "classes": [
        {"class": HOSTILE, "records": 9, "minimum_days": 180, "maximum_days": 3650,
         "expires": "content", "regimes": ["eu-ai-act-19", "hipaa"], "first_day": "2026-11-23",
         "last_day": "2026-11-23"},
        {"class": "w" * 300, "records": 4, "minimum_days": 0, "maximum_days": None,
         "expires": "sections", "regimes": [], "first_day": "2026-11-23",
         "last_day": "2026-11-24"},
    ],
    "holds": [{"matter": ARABIC, "records": [1, 2, 3]}],
    "erased": [{"certificate": "0199" * 30, "records": [4], "sections": ["who", HOSTILE]}],
    "due": [5, 6],
}  # fmt: skip


def custody(number: int) -> list[dict[str, Any]]:
    """So many reads by people with nasty names."""
    return [
        {"leaf": 100 + place, "id": "0199", "time": "2026-11-23T12:00:00.000000Z",
         "type": "access.reveal" if place % 3 else "access.query",
         "actor": NAMES[place % len(NAMES)], "purpose": TEXTS[place % len(TEXTS)][:300],
         "said": TEXTS[(place + 1) % len(TEXTS)][:300],
         "records": list(range(place)) if place % 3 else None}
        for place in range(number)
    ]  # fmt: skip


def nasty_bundle(
    world: World,
    *,
    sample: Sample | None = None,
    reads: int = 12,
    withheld: bool = False,
    render: Callable[..., str] = report.render,
    question: Question | None = None,
) -> Bundle:
    """The bundle of all that, with content; ``withheld``: to a reader who sees two sections."""

    def show(index: int) -> Shown:
        texts = world.show(index).disclosures
        return Shown((texts[0], None, texts[2], *[None] * 4))

    return bundle.make(
        world.answer(question or asked()),
        show if withheld else world.show,
        choice=Choice(content="full", sample=sample),
        boundary={"role": HOSTILE, "sections": ["who", "what"], "rows": WORD},
        made=world.clock.now(),
        policy=verify.read_keys([world.vkey]),
        retention=RETENTION,
        custody=custody(reads),
        render=render,
    )


def nasty_period(world: World) -> Bundle:
    """The page of a period, told of witnesses with nasty names."""
    pairs = zip(NAMES, TEXTS[:6], strict=True)
    witnesses = [{"name": name, "size": 5, "error": text} for name, text in pairs]
    beside = period.Beside({HOSTILE: 3, WORD: 4, "interrupted": 1}, True, witnesses)
    return nasty_bundle(world, render=functools.partial(period.render, beside=beside))


def nasty_attestation(world: World) -> Bundle:
    """An attestation for a tenant, with nasty models and classes."""
    terms = [attestation.Terms(text[:300], 1, None, "content", [text[:200]]) for text in TEXTS]
    chains = {Chain(TENANT, "model", MODEL), Chain(TENANT, "type", "exchange.request")}
    chains |= {Chain(TENANT, "model", name[:200]) for name in NAMES}
    question = Question(asked().expression, tuple(sorted(chains)), count=True)
    render = functools.partial(
        attestation.render, tenant=HOSTILE + WORD[:200], terms=terms, models=999
    )
    return nasty_bundle(world, render=render, question=question)
