"""A ledger with records in it, and bundles from it, for those who attack bundles."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from affidavit import ids
from affidavit.clock import add_seconds, to_unix_us
from affidavit.durable import Disk
from affidavit.evidence import bundle, verify, zipfile_canonical
from affidavit.evidence.bundle import Bundle, Choice, Shown
from affidavit.ledger import chains
from affidavit.ledger.log import Log
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Cosigner, Signer
from affidavit.ledger.plan import Submission
from affidavit.query.completeness import Answer, batch_proof, build
from affidavit.query.prover import LogProver, Proofs
from affidavit.query.question import Question
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.model import DIMENSIONS, SECTIONS, Chain, Part, Placed, Record
from tests.world import tokens
from tests.world.clock import FakeClock
from tests.world.ledger import salt_tree

chains.salt_tree = salt_tree  # each tree of salts is worked out once a test run
ORIGIN = "ledger.example/test"
SEED = bytes(range(32))
TENANT = "acme"


def secret(epoch: int) -> bytes:
    """The secret of an epoch, the first's or the others': each takes 65,536 salts to work out."""
    return min(epoch, 1).to_bytes(32, "big")


class World:
    """A ledger on a clock that the test moves, with what a vault would keep beside it."""

    def __init__(self, root: Path, seed: bytes = SEED, dimensions: Sequence[str] = ()) -> None:
        self.root = root
        self.clock = FakeClock()
        self.writer = ids.b64u(ids.salt())
        self.kept: dict[int, Shown] = {}
        self.pairs: list[tuple[int, int]] = []
        self.placed: list[Placed] = []
        self.witnesses: list[Cosigner] = []
        self.signer = Signer(ORIGIN, seed)
        self.connection = apsw.Connection(str(root.parent / f"{root.name}.state"))
        self.log = self._open(dimensions)
        self.reader = LogReader(root, self.signer.verifier())

    def _open(self, dimensions: Sequence[str]) -> Log:
        return Log.open(
            Disk(),
            self.root,
            self.connection,
            self.signer,
            secret,
            self.clock,
            dimensions=dimensions or DIMENSIONS,
        )

    def reopen(self, dimensions: Sequence[str]) -> None:
        """Stop and start with other dimensions: a new epoch."""
        self.log.close()
        self.connection.close()
        self.connection = apsw.Connection(str(self.root.parent / f"{self.root.name}.state"))
        self.log = self._open(dimensions)

    def close(self) -> None:
        """Let the ledger go."""
        self.log.close()
        self.connection.close()

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return self.log.vkey

    def add(
        self,
        kind: str = "exchange.request",
        *,
        model: str | None = "gpt-a",
        actor: str | None = "act_alice",
        parent: str | None = None,
        body: bytes | None = b'{"messages":[{"role":"user","content":"hello"}]}',
        at: str = "",
        seconds: float = 1.0,
        tenant: str = TENANT,
        also: Sequence[Chain] = (),
        **sections: Any,
    ) -> tuple[int, str]:
        """Record one thing ``seconds`` later, in these chains too; returns its index and id."""
        self.clock.advance(seconds)
        parts: tuple[Part, ...] = ()
        if body is not None:
            name = "response.body" if kind == "exchange.response" else "request.body"
            parts = (commit_part(name, "application/json", body),)
        values: dict[str, Any] = {
            "who": {"tenant": tenant, "actor": actor},
            "what": {"gen_ai.request.model": model, "dialect": "openai"},
            "content": {
                "parts": [
                    {"name": p.name, "media_type": p.media_type, "size": p.size,
                     "digest": ids.b64u(p.digest)}
                    for p in parts
                ]
            },
            **sections,
        }  # fmt: skip
        texts = tuple(
            disclose(name, values[name]) if values.get(name) is not None else None
            for name in SECTIONS
        )
        chains = [Chain(tenant, "model", model)] if model is not None else []
        chains += [Chain(tenant, "actor", actor)] if actor is not None else []
        record = Record(
            ids.record_id(), kind, at or self.clock.now(), "observed", tenant, "default", texts,
            tuple(dict.fromkeys([*chains, *also])), parts, parent,
        )  # fmt: skip
        bodies = (body,) if body is not None else ()
        submission = Submission((self.writer, self.log.next_src(self.writer)), record, bodies)
        plan = self.log.prepare([submission])
        self.log.commit(plan)
        self.placed += plan.placed
        index = plan.placed[-1].index
        salted = tuple((p.salt, b) for p, b in zip(parts, bodies, strict=True))
        self.kept[index] = Shown(texts, salted)
        return index, record.id

    def exchange(self, **facts: Any) -> tuple[int, int]:
        """A request and its response; returns their indices."""
        served = facts.pop("served", facts.get("model", "gpt-a"))
        request, name = self.add(**facts)
        response, _ = self.add(
            "exchange.response",
            parent=name,
            model=served,
            actor=None,
            body=b'{"choices":[]}',
            who=None,
            what={"gen_ai.response.model": served},
            outcome={"outcome": "complete", "gen_ai.usage.output_tokens": 7},
        )
        self.pairs.append((request, response))
        return request, response

    def heads(self) -> None:
        """Let a heads leaf be due, and publish."""
        self.clock.advance(5.0)
        self.log.ensure_heads_after(self.log.size - 1)
        self.log.publish()
        self.placed += self.log.take_own()

    def cosign(self, *cosigners: Cosigner, late: float = 0.0) -> bytes:
        """Witnesses cosign what is published now, ``late`` seconds from now; returns the note."""
        data = self.reader.checkpoint_bytes()
        text = data.decode().partition("\n\n")[0] + "\n"
        moment = round(to_unix_us(self.clock.now()) / 1_000_000 + late)
        lines = "".join(cosigner.cosign(text, moment) for cosigner in cosigners)
        whole = data + lines.encode()
        Disk().write_file(self.root / "cosigned", whole)
        return whole

    def stamp(self, late: float = 0.0, answer: bytes | None = None) -> int:
        """An authority stamps what is published now, ``late`` seconds from now; returns its size.

        Nobody signs the token unless ``answer`` is one that somebody signed.
        """
        data = self.reader.checkpoint_bytes()
        size = self.reader.checkpoint().size
        time = add_seconds(self.clock.now(), late)
        Disk().make_dir(self.root / "timestamps")
        place = self.root / "timestamps"
        Disk().write_file(place / f"{size}.checkpoint", data)
        Disk().write_file(place / f"{size}.tsr", answer or tokens.response(data, time))
        return size

    def show(self, index: int) -> Shown:
        """What a vault would give for a leaf."""
        return self.kept.get(index, bundle.NOTHING)

    def answer(self, question: Question, **more: Any) -> Answer:
        """The answer to a question, as of now."""
        self.heads()
        self.clock.advance(5.0)
        return build(self.reader, _Prompt(self), question, **more)

    def bundle(
        self, question: Question, choice: Choice | None = None, answer: Answer | None = None
    ) -> Bundle:
        """The evidence for a question."""
        return bundle.make(
            answer or self.answer(question),
            self.show,
            choice=choice or Choice(),
            boundary={"role": "auditor"},
            made=self.clock.now(),
            policy=verify.read_keys([self.vkey]),
        )


class _Prompt(LogProver):
    """A prover beside which the witnesses of a world cosign as soon as there is something new."""

    def __init__(self, world: World) -> None:
        super().__init__(world.log)
        self._world = world

    def prove(self, chains: Sequence[Chain], since: str, after: int) -> Proofs:
        """As ``LogProver``."""
        found = super().prove(chains, since, after)
        if self._world.witnesses:
            self._world.cosign(*self._world.witnesses)
        return found


def staged_world(root: Path) -> World:
    """Exchanges of two models, one that nobody could attribute, a gap, an open request."""
    made = World(root)
    made.exchange(actor="act_alice")
    made.exchange(model="gpt-b")
    made.exchange(actor="act_bob")
    made.add(model=None)
    made.add(
        "ledger.gap", model=None, actor=None, tenant="", body=None, who=None, what={"count": 3}
    )
    made.exchange(control={"decision": "deny"})
    made.add()
    return made


def by_model(model: str = "gpt-a", **more: Any) -> Question:
    """All records of a model."""
    return Question(f"model:{model}", (Chain(TENANT, "model", model),), **more)


def members(data: bytes) -> dict[str, bytes]:
    """The members of a bundle."""
    return {name: bytes(body) for name, body in verify.read_zip(data).items()}


def pack(files: dict[str, bytes]) -> bytes:
    """A bundle of these members, with a manifest that lists them as they are."""
    manifest = json.loads(files["manifest.json"])
    rest = {name: body for name, body in files.items() if name != "manifest.json"}
    manifest["files"] = {name: bundle._digest(rest[name]) for name in sorted(rest)}
    return zipfile_canonical.encode({**rest, "manifest.json": bundle._json(manifest)})


def refused(data: bytes, vkey: str) -> str:
    """The name under which a bundle is refused; "" if it is not."""
    try:
        verify.check(data, verify.read_keys([vkey]))
    except verify.Refused as found:
        return found.name
    return ""


def repaired(world: World, files: dict[str, bytes]) -> bytes:
    """What a forger does who has the log's files: proofs, counts and digests made to fit."""
    leaves = [json.loads(line)["index"] for line in files["leaves.jsonl"].splitlines()]
    manifest = json.loads(files["manifest.json"])
    size = manifest["size"]
    proof = batch_proof(world.reader, sorted(set(leaves)), size)
    files["proofs/inclusion"] = b"".join(ids.b64u(node).encode() + b"\n" for node in proof)
    try:
        answer = verify.Answer(files, manifest["question"])
        shown = verify.read_disclosures(files["disclosures.jsonl"], answer)
        manifest["counts"] = verify.count(answer, shown, manifest["question"]["conditions"])
    except verify.Refused:
        pass
    files["manifest.json"] = bundle._json(manifest)
    return pack(files)


def edited(
    world: World, data: bytes, name: str, edit: Callable[[list[dict[str, Any]]], Any]
) -> bytes:
    """A bundle with the lines of a member changed by ``edit``, all else made to fit."""
    files = members(data)
    lines = [json.loads(line) for line in files[name].splitlines()]
    changed = edit(lines)
    files[name] = b"".join(bundle._line(line) for line in (lines if changed is None else changed))
    return repaired(world, files)


def without(world: World, data: bytes, *gone: int) -> bytes:
    """A bundle without some leaves and all that belongs to them, all else made to fit."""
    files = members(data)
    for name, field in (("leaves", "index"), ("links", "leaf"), ("disclosures", "leaf")):
        lines = files[f"{name}.jsonl"].splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)[field] not in gone]
        files[f"{name}.jsonl"] = b"".join(kept)
    salts = files.pop("content/salts.jsonl", b"").splitlines(keepends=True)
    kept = [line for line in salts if json.loads(line)["leaf"] not in gone]
    files |= {"content/salts.jsonl": b"".join(kept)} if kept else {}
    for name in list(files):
        if any(name.startswith(f"content/{index}-") for index in gone):
            del files[name]
    return repaired(world, files)
