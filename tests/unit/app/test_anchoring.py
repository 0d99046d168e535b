"""Witnesses, authorities and copies over real sockets: what is published, and what is said."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit import config as configuration
from affidavit.app import cosigning, outbound
from affidavit.app.anchoring import ADVICE, Anchoring
from affidavit.app.cosigning import load_policy
from affidavit.app.outbound import Outbound
from affidavit.app.stamping import trust_anchors
from affidavit.clock import SystemClock, add_seconds, to_unix_us
from affidavit.config import Config
from affidavit.durable import Disk
from affidavit.errors import ConfigError, UnavailableError
from affidavit.evidence import verify
from affidavit.ledger import copies, note, timestamp
from affidavit.ledger.publish import CHECKPOINT, COSIGNED
from tests.world.clock import FakeClock
from tests.world.ledger import ORIGIN, World, Writer, quick, signer
from tests.world.outsiders import ScriptedAuthority, ScriptedWitness
from tests.world.timestamp_authority import Authority


class Site:
    """A ledger with whatever vouches for it, and a clock that the test moves."""

    def __init__(self, directory: Path, *, require: bool = False) -> None:
        self.directory = directory
        self.require = require
        self.world = World(directory)
        self.world.open(require=require)
        self.clock = FakeClock()
        self.witnesses: list[ScriptedWitness] = []
        self.authority: ScriptedAuthority | None = None
        self.sections: dict[str, Any] = {}
        self.published: list[bytes] = []
        self.anchoring: Anchoring

    async def cosigned(self, data: bytes) -> None:
        """As the sequencer does it."""
        self.published.append(data)
        self.world.log.cosigned(data)

    async def stamped(self, size: int, data: bytes, answer: bytes) -> None:
        """As the sequencer does it."""
        self.world.log.stamped(size, data, answer)

    def witness(self, name: str, kind: int = note.COSIGNATURE) -> ScriptedWitness:
        """One more of the policy."""
        made = ScriptedWitness(signer().verifier(), name, kind)
        self.witnesses.append(made)
        return made

    def begin(self, quorum: str = "none", *more: str) -> Anchoring:
        """Configure, with all that is there by now."""
        if self.witnesses:
            lines = [f"log {signer().vkey}", *(one.policy_line() for one in self.witnesses)]
            path = self.directory / "policy"
            path.write_text("\n".join([*lines, *more, f"quorum {quorum}"]) + "\n")
            self.sections["witnesses"] = {"policy": path, "require": self.require}
        if self.authority is not None:
            root = self.authority.authority.root_pem
            self.sections["timestamps"] = {"url": self.authority.url + "/tsr", "ca_file": root}
        config = Config.model_validate(self.sections)
        self.out = Outbound()
        policy = load_policy(config)
        self.anchoring = Anchoring(
            self.world.root, config, policy, self.post, self, Disk(), self.clock
        )
        return self.anchoring

    async def post(self, *asked: Any) -> outbound.Answer:
        """By the real client."""
        return await self.out.post(*asked)

    def grow(self) -> None:
        """Two leaves more, published as far as that goes."""
        self.world.put(Writer().exchange())
        self.world.log.publish()

    def round(self) -> dict[str, Any]:
        """One round of the witnesses, then one of timestamps and copies; the status afterwards."""

        async def both() -> None:
            await self.anchoring.cosigning.round()
            await self.anchoring.stamping.round()
            self.out.close()

        asyncio.run(both())
        return self.anchoring.status()

    def signers(self, name: str = COSIGNED) -> set[str]:
        """Names of the witnesses whose lines verify in a published note."""
        known = [one.cosigner.verifier() for one in self.witnesses]
        opened = note.open_note(
            (self.world.root / name).read_bytes(), [signer().verifier(), *known]
        )
        return {one.name for one in self.witnesses if one.cosigner.vkey in opened.signers}

    def size(self, name: str = COSIGNED) -> int:
        """Leaves under a published note."""
        return note.open_checkpoint((self.world.root / name).read_bytes(), None).size

    def close(self) -> None:
        """Stop everybody."""
        self.world.drop()
        for one in (*self.witnesses, self.authority):
            if one is not None:
                one.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Checkpoints are published at once."""
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Site]:
    """Checkpoints wait for witnesses."""
    made = Site(tmp_path, require=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority's keys."""
    return Authority(tmp_path_factory.mktemp("tokens") / "a")


def _hang(_: bytes) -> tuple[int, bytes]:
    time.sleep(1.0)
    return 200, b""


def _once(
    true: Callable[[], object], witness: ScriptedWitness
) -> Callable[[bytes], tuple[int, bytes]]:
    def answer(body: bytes) -> tuple[int, bytes]:
        end = time.monotonic() + 20
        while not true() and time.monotonic() < end:
            time.sleep(0.01)
        return witness.answer(body)

    return answer


def _said(status: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(one["name"], one["size"], one["error"]) for one in status["witnesses"]]


# witnesses


def test_all_witnesses_cosign_what_is_published(site: Site) -> None:
    """Both kinds of keys; again when the log has grown, with a proof; not when it has not."""
    first, second = site.witness("w1"), site.witness("w2", note.ML_DSA_44)
    site.begin()
    status = site.round()
    assert (site.size(), site.signers()) == (1, {"w1", "w2"})
    assert first.paths == ["/add-checkpoint"]
    site.grow()
    asked = len(second.asked)
    status = site.round()
    assert (site.size(), first.size, site.signers()) == (3, 3, {"w1", "w2"})
    assert (len(second.asked) - asked, second.asked[-1][:6]) == (1, b"old 1\n")
    assert _said(status) == [("w1", 3, ""), ("w2", 3, "")]
    assert status["anchored"]
    assert status["anchor_advice"] == ""
    site.round()
    assert len(second.asked) == asked + 1
    assert site.size(CHECKPOINT) == 3
    assert len(site.published) == 2


def test_a_new_process_learns_where_the_witnesses_are(site: Site) -> None:
    """From the note on disk who has cosigned, from 409 what they have seen."""
    witness = site.witness("w1")
    site.begin()
    site.round()
    site.grow()
    witness.script = lambda _: (500, b"")
    site.round()
    site.begin()
    assert _said(site.anchoring.status()) == [("w1", 1, "")]
    witness.script = None
    assert _said(site.round()) == [("w1", 3, "")]
    assert [body.split(b"\n")[0] for body in witness.asked[-2:]] == [b"old 0", b"old 1"]


def test_a_witness_that_fails_holds_nobody_up_and_rests(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its error is in the status and told once; it is asked again later, and less and less."""
    site.witness("w1")
    bad = site.witness("w2")
    bad.script = lambda _: (500, b"")
    site.begin()
    for _ in range(3):
        status = site.round()
    assert site.signers() == {"w1"}
    assert _said(status)[1] == ("w2", 0, "The witness w2 answered with HTTP status 500.")
    assert len(bad.asked) == 1
    site.clock.advance(1)
    site.round()
    site.round()
    assert len(bad.asked) == 2
    assert capsys.readouterr().err.count("HTTP status 500") == 1
    bad.script = None
    site.clock.advance(60)
    status = site.round()
    assert _said(status)[1] == ("w2", 1, "")
    assert site.signers() == {"w1", "w2"}  # the line of the first is kept with it
    assert "Witness w2: works again." in capsys.readouterr().err


def test_what_a_witness_can_do_wrong(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hang, break off, send too much, redirect, lie: each has its sentence, and nothing is used."""
    witness = site.witness("w1")
    stranger = note.Cosigner(witness.cosigner.name, note.COSIGNATURE, b"s" * 32)
    site.begin()
    text = note.open_checkpoint((site.world.root / CHECKPOINT).read_bytes(), None).text()
    cases = {
        "did not answer within 0.3 seconds": _hang,
        "answered too much": lambda _: (200, bytes(100_000)),
        "HTTP status 302": lambda _: (302, b""),
        "no cosignature": lambda _: (200, stranger.cosign(text, 7).encode()),
        "contradicts itself": lambda _: (409, b"zero\n"),
        "does not know the log": lambda _: (404, b""),
        "under another key": lambda _: (403, b""),
    }
    for words, script in cases.items():
        witness.script = script
        monkeypatch.setattr(cosigning, "ASK_SECONDS", 0.3 if script is _hang else 20.0)
        site.clock.advance(100)
        assert words in site.round()["witnesses"][0]["error"]
    witness.stop()
    site.clock.advance(100)
    assert "does not accept connections" in site.round()["witnesses"][0]["error"]
    assert not (site.world.root / COSIGNED).exists()
    assert all(path == "/add-checkpoint" for path in witness.paths)
    site.witnesses.clear()


def test_a_witness_with_another_history_is_an_alarm(site: Site) -> None:
    """While it runs: said, kept in the status; recording and publishing go on."""
    witness = site.witness("w1")
    witness.size, witness.root = 1, bytes(32)
    site.begin()
    site.grow()
    status = site.round()
    assert "holds another history of this log: the 1 leaves" in status["witnesses"][0]["error"]
    assert status["witnesses"][0]["alarm"]
    witness.size = 99
    site.clock.advance(100)
    assert "has seen 99 leaves of this log, of which 3 are here" in str(site.round())
    site.grow()
    assert site.size(CHECKPOINT) == 5


@pytest.mark.parametrize("kind", [note.COSIGNATURE, note.ML_DSA_44])
def test_a_witness_whose_clock_is_behind_poisons_nothing(site: Site, kind: int) -> None:
    """A verifier would call the log a liar for it; the line is left out until the clocks agree."""
    newest = to_unix_us(site.world.reader().decoded(0).time) // 1_000_000
    bad = (site.witness("w1"), site.witness("w2", kind))[1]
    bad.moment = newest - 301
    site.begin()
    status = site.round()
    assert site.signers() == {"w1"}
    assert _said(status)[1][:2] == ("w2", 0)
    assert "4 minutes behind the newest leaf" in _said(status)[1][2]
    site.clock.advance(100)
    bad.moment = 2**37  # a time that verifiers do not take
    assert "no cosignature by its key" in _said(site.round())[1][2]
    site.clock.advance(100)
    bad.moment = newest - 200
    assert _said(site.round())[1] == ("w2", 1, "")
    assert site.signers() == {"w1", "w2"}


def test_a_new_process_keeps_the_lines_that_are_published(site: Site) -> None:
    """Of a witness that is not asked again, since it has cosigned that size."""
    site.witness("w1")
    late = site.witness("w2")
    late.script = lambda _: (500, b"")
    site.begin()
    site.round()
    assert site.signers() == {"w1"}
    late.script = None
    site.begin()
    site.round()
    assert site.signers() == {"w1", "w2"}


def test_required_witnesses_hold_the_checkpoint(strict: Site) -> None:
    """Two of three: one is not enough, two are, and a third one's line is added when it comes."""
    site = strict
    one, two, three = (site.witness(name) for name in ("w1", "w2", "w3"))
    two.script = three.script = lambda _: (500, b"")
    site.begin("q", "group q 2 w1 w2 w3")
    site.grow()
    site.round()
    assert site.published == []
    assert site.world.log.published == 0
    assert site.world.log.waits_since is not None
    two.script = None
    three.script = _once(lambda: site.published, three)
    site.clock.advance(100)
    site.round()
    assert site.signers(CHECKPOINT) == {"w1", "w2", "w3"}
    assert (site.world.root / CHECKPOINT).read_bytes() == (site.world.root / COSIGNED).read_bytes()
    assert [data.count("—".encode()) for data in site.published] == [3, 4]
    assert site.world.log.published == 3
    assert not site.world.log.waits_since
    assert one.size == 3


def test_whoever_records_does_not_wait(strict: Site) -> None:
    """While a witness hangs, leaves are committed; the checkpoint follows when it answers."""
    site = strict
    witness = site.witness("w1")
    answers = threading.Event()
    witness.script = _once(answers.is_set, witness)
    site.begin("w1")

    async def meanwhile() -> int:
        asking = asyncio.create_task(site.anchoring.cosigning.round())
        while not witness.asked:  # noqa: ASYNC110 - asked by another thread
            await asyncio.sleep(0.01)
        for _ in range(5):
            site.grow()
        committed = site.world.log.size
        assert not asking.done()
        answers.set()
        await asking
        site.out.close()
        return committed

    assert asyncio.run(meanwhile()) == 11
    assert (site.world.log.published, site.world.log.size) == (1, 11)
    site.round()
    assert site.world.log.published == 11


# timestamps and copies


def test_the_newest_cosigned_note_is_stamped_every_hour(site: Site, tokens: Authority) -> None:
    """While the log grows; OpenSSL accepts what is kept."""
    site.witness("w1")
    site.authority = ScriptedAuthority(tokens)
    site.begin()
    status = site.round()
    (first,) = timestamp.stored(site.world.root)
    data = first.checkpoint.read_bytes()
    assert data == (site.world.root / COSIGNED).read_bytes()
    assert tokens.accepts(first.answer.read_bytes(), data)
    assert status["timestamp"]["size"] == 1
    assert status["timestamp"]["time"] == timestamp.verify(
        first.answer.read_bytes(), data, [tokens.root]
    )
    site.grow()
    site.round()
    assert len(site.authority.asked) == 1
    site.clock.advance(3600)
    site.round()
    site.clock.advance(3600)
    assert site.round()["timestamp"]["size"] == 3
    assert [one.size for one in timestamp.stored(site.world.root)] == [1, 3]
    assert len(site.authority.asked) == 2


def test_where_no_witness_answers_the_checkpoint_is_stamped(site: Site, tokens: Authority) -> None:
    """A cosigned note that is older than the last one stamped is not stamped again."""
    witness = site.witness("w1")
    site.authority = ScriptedAuthority(tokens)
    site.begin()
    site.round()
    witness.script = lambda _: (500, b"")
    site.grow()
    site.clock.advance(3600)
    site.round()
    newest = timestamp.stored(site.world.root)[-1]
    assert newest.checkpoint.read_bytes() == (site.world.root / CHECKPOINT).read_bytes()


def test_what_verifiers_would_refuse_is_not_kept(
    site: Site, tokens: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is behind, a token that is read in two ways: it would stay for ever."""
    site.authority = ScriptedAuthority(tokens)
    site.begin()
    leaf = site.world.reader().decoded(0)
    real = timestamp.verify
    early = add_seconds(leaf.time, -301)
    with monkeypatch.context() as patch:
        patch.setattr(verify, "read_token", lambda _: (b"", early))
        assert "read in two ways" in site.round()["timestamp"]["error"]
        site.clock.advance(100)
        patch.setattr(timestamp, "verify", lambda *given: (real(*given), early)[1])
        assert "4 minutes behind" in site.round()["timestamp"]["error"]
    assert timestamp.stored(site.world.root) == []
    site.clock.advance(100)
    assert site.round()["timestamp"] == site.anchoring.status()["timestamp"]
    assert [one.size for one in timestamp.stored(site.world.root)] == [1]


def test_an_authority_that_fails_is_asked_again(
    site: Site, tokens: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a rest; what it sent is not kept."""
    site.authority = authority = ScriptedAuthority(tokens)
    other = timestamp.query(b"other bytes").der
    stranger = Authority(tmp_path / "stranger")
    site.begin()
    cases = {
        "HTTP status 503": lambda _: (503, b""),
        "no answer of a timestamp authority": lambda _: (200, b"<html>"),
        "over other bytes": lambda _: (200, tokens.answer(other)),
        "leads to no trust anchor": lambda body: (200, stranger.answer(body)),
    }
    for words, script in cases.items():
        authority.script = script
        assert words in site.round()["timestamp"]["error"]
        assert words in site.round()["timestamp"]["error"]  # not asked again at once
        site.clock.advance(100)
    assert len(authority.asked) == len(cases)
    assert timestamp.stored(site.world.root) == []
    assert not site.anchoring.status()["anchored"]
    authority.script = None
    status = site.round()
    assert (status["timestamp"]["error"], status["timestamp"]["size"]) == ("", 1)
    assert "Timestamps: works again." in capsys.readouterr().err


def test_a_new_process_does_not_stamp_at_once(site: Site, tokens: Authority) -> None:
    """An hour counts from the last timestamp, whoever asked for it."""
    site.authority = ScriptedAuthority(tokens)
    site.begin()
    site.round()
    site.grow()
    age = SystemClock().now()
    site.clock = FakeClock(age)
    site.begin()
    status = site.round()
    assert status["timestamp"]["size"] == 1
    assert status["timestamp"]["time"] is not None
    site.clock.advance(3610)
    assert site.round()["timestamp"]["size"] == 3


def test_copies_are_made(site: Site, tmp_path: Path) -> None:
    """Each cosigned note as the newest one, one an hour to stay; a place that is away is said."""
    place = tmp_path / "mnt"
    site.sections["anchors"] = {"copy_to": place}
    site.witness("w1")
    site.begin()
    status = site.round()
    assert "is not there, so no checkpoint is copied" in status["copies"]["error"]
    place.mkdir()
    site.clock.advance(100)
    site.round()
    site.grow()
    status = site.round()
    assert status["copies"] == {"size": 3, "error": ""}
    here = copies.place(place, ORIGIN)
    assert {path.name for path in here.iterdir()} == {"1.checkpoint", "newest"}
    assert (here / "newest").read_bytes() == (site.world.root / COSIGNED).read_bytes()
    site.clock.advance(3600)
    site.round()
    assert (here / "3.checkpoint").is_file()


def test_copies_without_witnesses(site: Site, tmp_path: Path) -> None:
    """The published checkpoint, once an hour."""
    site.sections["anchors"] = {"copy_to": tmp_path}
    site.begin()
    assert site.round()["anchored"]
    site.grow()
    assert site.round()["copies"]["size"] == 1
    site.clock.advance(3600)
    assert site.round()["copies"]["size"] == 3


def test_without_anything_it_says_what_is_missing(site: Site) -> None:
    """And nothing is asked."""
    site.begin()
    status = site.round()
    assert (status["anchored"], status["anchor_advice"]) == (False, ADVICE)
    assert (status["witnesses"], status["timestamp"], status["copies"]) == ([], None, None)


# going on for ever


def test_it_goes_on_until_cancelled(site: Site) -> None:
    """Every round may be refused by a log that is closed; that is not ours to end."""
    site.witness("w1")
    site.sections["witnesses"] = {}
    anchoring = site.begin()
    rounds: list[bytes] = []

    async def run() -> None:
        happened = asyncio.Event()

        async def closed(data: bytes) -> None:
            rounds.append(data)
            happened.set()
            raise UnavailableError("closed")

        anchoring.cosigning._cosigned = closed
        running = asyncio.create_task(anchoring.run())
        await asyncio.wait_for(happened.wait(), 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        site.out.close()

    asyncio.run(run())
    assert len(rounds) == 1


# configuration


def test_policies_that_are_of_no_use(tmp_path: Path) -> None:
    """Missing, malformed, nobody to ask, nobody required: one sentence each, with the file."""
    policy = tmp_path / "policy"
    witness = note.Cosigner("w.example", note.COSIGNATURE, b"w" * 32).vkey
    log = f"log {signer().vkey}\n"
    cases = {
        None: "could not be read",
        "nonsense": "begins no line of a policy",
        f"{log}quorum none": "names no witness with an address",
        f"{log}witness w {witness}\nquorum w": "names no witness with an address",
        f"{log}witness w {witness} http://127.0.0.1:1\nquorum none": "nobody is required",
    }
    for text, words in cases.items():
        if text is not None:
            policy.write_text(text)
        config = Config.model_validate({"witnesses": {"policy": policy, "require": True}})
        with pytest.raises(ConfigError, match=words) as caught:
            load_policy(config)
        assert str(policy) in caught.value.message
    assert load_policy(Config()) is None


def test_anchors_for_timestamps(tmp_path: Path, tokens: Authority) -> None:
    """Those of the policy and those of ca_file; a file without certificates is named."""
    path = tmp_path / "ca.pem"
    config = Config.model_validate({"timestamps": {"url": "http://127.0.0.1/", "ca_file": path}})
    with pytest.raises(ConfigError, match="holds no certificates"):
        trust_anchors(config, None)
    path.write_bytes(tokens.root_pem.read_bytes())
    assert trust_anchors(config, None) == [tokens.root]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("witnesses: {require: true}", "require needs a policy"),
        ("witnesses: {every: 0}", "every"),
        ("timestamps: {url: 'https://a.example/'}", "ca_file is missing"),
        ("timestamps: {url: 'ftp://a.example/', ca_file: x}", "must be http"),
        ("timestamps: {url: 'https://a.example/?x', ca_file: x}", "no credentials, query"),
        ("anchors: {copy: x}", "Did you mean copy_to"),
    ],
)
def test_wrong_settings_have_their_sentence(text: str, words: str) -> None:
    """As every other key."""
    with pytest.raises(ConfigError) as caught:
        configuration.parse(text, {}, "config.yaml")
    assert words in caught.value.message + caught.value.hint
