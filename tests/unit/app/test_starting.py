"""Starts that are refused because somebody outside knows more, and those that are not."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit import config as configuration
from affidavit.app import first_start, origin, questions, starting
from affidavit.app.checking import Checking
from affidavit.app.paths import Paths
from affidavit.app.sequencer import Sequencer
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CorruptError, UsageError
from affidavit.ledger import copies, fsck, note, publish, timestamp
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.policy import parse_policy
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.keyring import Keyring
from tests.world.ledger import quick
from tests.world.outsiders import ScriptedAuthority, ScriptedWitness
from tests.world.timestamp_authority import Authority

Talk = Callable[[ControlLink], Any]


class Place:
    """A data directory whose log has a witness and a place for copies; its sequencer runs here."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "data"
        self.paths = Paths(self.root)
        self.copies = directory / "copies"
        self.copies.mkdir()
        first_start.prepare(self.paths, Disk(), SystemClock(), demo=False, configured=False)
        self._text = self.paths.config.read_text()
        self.origin = origin.settled(self.paths, Disk(), "", self.paths.config)
        kek = KeyEncryptionKey.load(self.paths.key_encryption_key)
        keyring = Keyring.open(self.paths.key_database, kek, SystemClock())
        key = note.Signer(self.origin, keyring.secret("log/seed"))
        keyring.close()
        self.key = key
        self.witness = ScriptedWitness(key.verifier())
        self.policy = directory / "policy"
        lines = [f"log {key.vkey}", self.witness.policy_line(), "quorum w1"]
        self.policy.write_text("\n".join(lines) + "\n")
        self.configure(f"witnesses: {{policy: {self.policy}, every: 0.1}}")

    def configure(self, *lines: str, log: str = "") -> None:
        """Add these lines to the configuration as it was made; ``log`` is its section."""
        text = self._text.rstrip("\n") + f"\n{log}\n" + "\n".join(lines) + "\n"
        self.paths.config.write_text(text)

    def run(self, talk: Talk | None = None) -> int:
        """Start a sequencer, talk to it, stop it; its exit code."""
        config = configuration.load(self.paths.config, {}).named(self.origin)
        sequencer = Sequencer(self.paths, config, Disk(), SystemClock())

        async def both() -> int:
            ready = asyncio.Event()
            handlers = questions.handlers(sequencer)
            running = asyncio.create_task(sequencer.run(handlers, ready.set))
            waiting = asyncio.create_task(ready.wait())
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            link = ControlLink(self.paths.control_socket)
            try:
                if talk is not None:
                    await talk(link)
            finally:
                await link.close()
                os.kill(os.getpid(), signal.SIGTERM)
            return await running

        return asyncio.run(both())

    def size(self, name: str = publish.CHECKPOINT) -> int:
        """Leaves under a note on disk."""
        return publish.size_of(self.paths.log, name)

    def keep(self, name: str) -> Path:
        """A backup of the whole directory, made while nothing runs."""
        kept = self.root.parent / name
        shutil.copytree(self.root, kept)
        return kept

    def put_back(self, kept: Path) -> None:
        """Restore a backup."""
        shutil.rmtree(self.root)
        shutil.copytree(kept, self.root)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """One, and everybody is stopped at the end."""
    quick(monkeypatch)
    made = Place(tmp_path)
    yield made
    made.witness.stop()


async def _until(link: ControlLink, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The status once it is as wanted; the last one after 30 seconds."""
    status: dict[str, Any] = {}
    for _ in range(600):
        status = await link.call("status", {})
        if good(status):
            break
        await asyncio.sleep(0.05)
    return status


async def _cosigned(link: ControlLink) -> None:
    """Wait until the witness has cosigned all that is published."""
    status = await _until(link, lambda s: s["witnesses"][0]["size"] == s["published"] == s["size"])
    assert status["witnesses"][0]["error"] == ""


async def _grown(link: ControlLink) -> None:
    """Leaves are added, and the witness cosigns them."""
    before = (await link.call("status", {}))["size"]
    await link.call("keys.create", {"name": "bot"})
    await _until(link, lambda status: status["size"] > before)
    await _cosigned(link)


def _refused(place: Place) -> AffidavitError:
    """The sentence of a start that is refused; nothing has been signed or written meanwhile."""
    before = {p: p.read_bytes() for p in place.paths.log.rglob("*") if p.is_file()}
    with pytest.raises(CorruptError) as caught:
        place.run()
    assert before == {p: p.read_bytes() for p in place.paths.log.rglob("*") if p.is_file()}
    assert "Delete nothing" in caught.value.hint
    return caught.value


def test_a_backup_put_back_is_behind_its_witness(place: Place) -> None:
    """The directory fits together and is old: going on would fork the log."""
    assert place.run(_cosigned) == 0
    kept = place.keep("kept")
    assert place.run(_grown) == 0
    newer = place.witness.size
    place.put_back(kept)
    size = place.size()
    assert size < newer
    said = _refused(place).message
    assert said == (
        f"The witness w1 shows a checkpoint of {newer} leaves that this log signed, "
        f"of which {size} are here."
    )


def test_a_directory_begun_anew_with_the_old_key(place: Place) -> None:
    """No log is there and the witness knows one: refused before the first leaf."""
    assert place.run(_cosigned) == 0
    shutil.rmtree(place.paths.log)
    for path in place.root.glob("state.db*"):
        path.unlink()
    place.paths.create(Disk())
    assert (
        f"of {place.witness.size} leaves that this log signed, of which 0 are here"
        in _refused(place).message
    )


def test_a_witness_of_another_history(place: Place) -> None:
    """As many leaves or fewer, and other ones, under this log's own signature."""
    assert place.run(_cosigned) == 0
    place.witness.root = bytes(32)
    for size in (place.size(), 2):
        place.witness.size = size
        other = note.Checkpoint(place.origin, size, bytes(32))
        place.witness.note = note.sign_checkpoint(other, [place.key])
        said = _refused(place).message
        assert f"of another history: its {size} leaves are not here" in said


_CLAIMS = [
    (claim, seen)
    for seen in ("cosignature alone", "nothing", "stranger", "old", "nonsense")
    for claim in ("ahead", "fork")
]


@pytest.mark.parametrize(
    ("claim", "seen"),
    [*_CLAIMS[:2], *(pytest.param(*one, marks=pytest.mark.slow) for one in _CLAIMS[2:])],
)
def test_what_a_witness_says_without_showing_it_stops_no_start(
    place: Place, capsys: pytest.CaptureFixture[str], seen: str, claim: str
) -> None:
    """Whoever took over a witness has no signature of the log's: it is told, and in the status."""
    assert place.run(_cosigned) == 0
    old = place.witness.note
    lie = note.Checkpoint(place.origin, place.size() + 1000, bytes(32))
    own = place.witness.cosigner.cosign(lie.text(), place.witness.moment)
    place.witness.note = {
        "nothing": b"",
        "stranger": note.sign_checkpoint(lie, [note.Signer(place.origin, bytes(32))]),
        "cosignature alone": f"{lie.text()}\n{own}".encode(),
        "old": old,
        "nonsense": b"\xff" * 100,
    }[seen]
    if claim == "ahead":
        place.witness.size = place.size() + 1000
    else:
        place.witness.size, place.witness.root = 2, bytes(32)

    async def told(link: ControlLink) -> None:
        status = await _until(link, lambda s: bool(s["witnesses"][0]["error"]))
        assert "The witness w1 says it" in status["witnesses"][0]["error"]

    assert place.run(told) == 0
    said = capsys.readouterr().err
    assert "It shows no checkpoint that proves it. The log starts without it." in said
    assert fsck.check(place.paths.log, None).ok


def test_a_key_that_the_directory_does_not_know_is_the_logs_all_the_same(place: Place) -> None:
    """A rotation after the backup: what the next key signed is believed, as ``keys.db`` has it."""
    assert place.run(_cosigned) == 0
    kept = place.keep("kept")

    async def rotated(link: ControlLink) -> None:
        begun = await link.call("log.rotate", {"finish": False}, within=20)
        place.witness.keys = [note.Verifier.from_vkey(vkey) for vkey in begun["vkeys"]]
        await link.call("log.rotate", {"finish": True}, within=20)
        await _cosigned(link)

    assert place.run(rotated) == 0
    newer = {path.name: path.read_bytes() for path in place.root.glob("keys.db*")}
    place.put_back(kept)
    for path in place.root.glob("keys.db*"):
        path.unlink()
    for name, data in newer.items():
        (place.root / name).write_bytes(data)
    assert "leaves that this log signed" in _refused(place).message


def test_a_copy_that_is_ahead_or_of_another_history(place: Place) -> None:
    """Without any witness: the copies alone."""
    place.configure(f"anchors: {{copy_to: {place.copies}}}")

    async def copied(link: ControlLink) -> None:
        status = await _until(link, lambda s: s["copies"]["size"] > 0)
        assert (status["anchored"], status["copies"]["error"]) == (True, "")

    assert place.run(copied) == 0
    kept = place.keep("kept")
    assert place.run() == 0
    newest = (place.paths.log / "checkpoint").read_bytes()
    copies.keep(Disk(), place.copies, newest, stays=True)
    assert place.run() == 0
    place.put_back(kept)
    said = _refused(place).message
    assert "/newest has" in said
    assert f"leaves, of which {place.size()} are here." in said
    (copies.place(place.copies, place.origin) / "newest").unlink()
    assert ".checkpoint has" in _refused(place).message
    for path in copies.place(place.copies, place.origin).iterdir():
        path.unlink()
    other = note.Signer(place.origin, bytes(32))
    lie = note.sign_checkpoint(note.Checkpoint(place.origin, 2, bytes(32)), [other])
    copies.keep(Disk(), place.copies, lie, stays=False)
    assert "is of another history: its 2 leaves" in _refused(place).message


def test_what_cannot_be_asked_is_told_and_the_log_starts(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A witness that is away, does not know the log or talks nonsense; copies that are away."""
    monkeypatch.setattr(starting, "START_SECONDS", 20.0)
    place.configure(
        f"witnesses: {{policy: {place.policy}}}", "anchors: {copy_to: /nonexistent/place}"
    )
    place.witness.script = lambda _: (404, b"")
    assert place.run() == 0
    told = capsys.readouterr().err
    assert f"The witness w1 does not know the log {place.origin}." in told
    assert "The log starts without it." in told
    assert "/nonexistent/place is not there, so its copies are not compared." in told
    place.witness.script = lambda _: (200, b"nonsense\n")
    assert place.run() == 0
    assert "no cosignature by its key in the policy. The log starts" in capsys.readouterr().err

    def hang(_: bytes) -> tuple[int, bytes]:
        time.sleep(1)
        return 500, b""

    place.witness.script = hang
    monkeypatch.setattr(starting, "START_SECONDS", 0.3)
    assert place.run() == 0
    assert "The witness w1 does not answer. The log starts without it." in capsys.readouterr().err
    place.witness.stop()
    assert place.run() == 0
    assert "does not accept connections" in capsys.readouterr().err
    assert fsck.check(place.paths.log, None).ok


def test_mutant_that_starts_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without comparing, the put back log would sign a second history."""
    assert place.run(_cosigned) == 0
    kept = place.keep("kept")
    assert place.run(_grown) == 0
    first = LogReader(place.paths.log).checkpoint()
    place.put_back(kept)
    monkeypatch.setattr(starting, "run", lambda *_: None)
    place.configure()
    while place.size() < first.size:
        assert place.run() == 0
    assert LogReader(place.paths.log).root(first.size) != first.root


# the whole life


def test_a_log_that_outsiders_vouch_for(place: Place, tmp_path: Path) -> None:
    """Required witness, ML-DSA key, timestamps, copies, a rotation: all of it in one process."""
    tokens = Authority(tmp_path / "tokens")
    with ScriptedAuthority(tokens) as authority:
        place.configure(
            f"witnesses: {{policy: {place.policy}, require: true, every: 0.1}}",
            f"timestamps: {{url: '{authority.url}', ca_file: {tokens.root_pem}}}",
            f"anchors: {{copy_to: {place.copies}}}",
            log="log: {post_quantum: true}",
        )

        async def story(link: ControlLink) -> None:
            await _cosigned(link)
            status = await _until(link, lambda s: s["timestamp"]["size"] > 0)
            assert status["anchored"]
            assert status["timestamp"]["time"] is not None
            with pytest.raises(UsageError, match="No rotation"):
                await link.call("log.rotate", {"finish": True})
            begun = await link.call("log.rotate", {"finish": False}, within=20)
            assert begun["rotating"]
            assert len(begun["vkeys"]) == 3
            snapshot = await link.call("snapshot", {})
            assert snapshot["log_vkeys"] == begun["vkeys"]
            assert snapshot["log_vkey"] == begun["vkeys"][0]
            place.witness.keys = [note.Verifier.from_vkey(vkey) for vkey in begun["vkeys"]]
            await _cosigned(link)
            ended = await link.call("log.rotate", {"finish": True}, within=20)
            assert not ended["rotating"]
            policy = parse_policy("\n".join([*ended["policy"], "quorum none"]))
            old, new, quantum = policy.logs
            assert (old.first, new.last, quantum.first) == (0, None, 0)
            assert old.last is not None
            assert old.last >= new.first > 0
            assert await link.call("log.keys", {}) == ended
            await _cosigned(link)

        assert place.run(story) == 0
    assert place.run(_cosigned) == 0
    keys = note.read_vkeys((place.paths.log / "log.vkey").read_text())
    assert [key.kind for key in keys] == [note.ED25519, note.ML_DSA_44]
    data = (place.paths.log / "checkpoint").read_bytes()
    assert data == (place.paths.log / "cosigned").read_bytes()
    witness = place.witness.cosigner.verifier()
    assert len(note.open_note(data, [*keys, witness]).signers) == 3
    assert fsck.check(place.paths.log, keys).ok
    reader = LogReader(place.paths.log, keys)
    types = [reader.decoded(index).type for index in range(reader.checkpoint().size)]
    assert types.count("ledger.key") == 5  # receipt key, first key, ML-DSA key, two steps
    stamped = timestamp.stored(place.paths.log)[-1]
    assert tokens.accepts(stamped.answer.read_bytes(), stamped.checkpoint.read_bytes())
    assert copies.newest(place.copies, place.origin) is not None


def test_fsck_judges_old_notes_by_the_keys_of_their_time(place: Place, tmp_path: Path) -> None:
    """A timestamped note from before a rotation is right under the key of today, as it was."""
    tokens = Authority(tmp_path / "tokens")
    with ScriptedAuthority(tokens) as authority:
        place.configure(f"timestamps: {{url: '{authority.url}', ca_file: {tokens.root_pem}}}")

        async def story(link: ControlLink) -> None:
            await _until(link, lambda s: s["timestamp"]["size"] > 0)
            await link.call("log.rotate", {"finish": False}, within=20)
            await link.call("log.rotate", {"finish": True}, within=20)

        assert place.run(story) == 0
    (today,) = note.read_vkeys((place.paths.log / "log.vkey").read_text())
    assert today.vkey != place.key.vkey
    stamped = timestamp.stored(place.paths.log)[0].checkpoint

    def check(*keys: note.Verifier) -> tuple[str, str]:
        found = Checking(place.root, keys or None, lambda *_: None, deep=True).run()
        return "" if found.finding is None else found.finding.object, " ".join(found.remarks)

    assert check()[0] == ""
    bad, remarks = check(today)
    assert bad == ""
    assert "the keys that the log had then" in remarks
    good = stamped.read_bytes()
    text = good.decode().partition("\n\n")[0] + "\n"
    late = note.Signer(place.origin, bytes(32))
    stamped.write_bytes(note.sign_checkpoint(note.parse_checkpoint(text), [late]))
    assert check(today)[0] == check()[0] == f"timestamps/{stamped.name}"
    stamped.write_bytes(good)
    size = place.size()
    newest = LogReader(place.paths.log).checkpoint()
    forged = place.paths.log / "timestamps" / f"{size}.checkpoint"
    forged.write_bytes(note.sign_checkpoint(newest, [place.key]))
    assert check(today)[0] == check()[0] == f"timestamps/{size}.checkpoint"


def test_while_required_witnesses_are_away_recording_goes_on(place: Place) -> None:
    """The status says since when the checkpoint waits; it follows when they are back."""
    place.configure(f"witnesses: {{policy: {place.policy}, require: true, every: 0.1}}")
    place.witness.script = lambda _: (500, b"")

    async def story(link: ControlLink) -> None:
        status = await _until(link, lambda s: bool(s["witnesses"][0]["error"]))
        assert (status["published"], status["anchored"]) == (0, False)
        assert status["waits_since"] is not None
        assert status["witnesses_required"]
        before = status["size"]
        await link.call("keys.create", {"name": "bot"})
        status = await _until(link, lambda s: s["indexed"] == s["size"] > before)
        assert status["indexed"] > before
        assert status["published"] == 0
        place.witness.script = None
        await _cosigned(link)

    assert place.run(story) == 0
    assert place.size() > 5
