"""No secret and no word of anybody in plain form outside: real traffic, then every byte is read.

Traffic of every kind goes through one installation with canaries in it: keys of callers, of
providers and of callers with a provider of their own, prompts, outputs, session ids, names. Then
every file of the data directory, every file that the processes may have made beside it, what they
said on stderr, their arguments, their metrics and their error answers are searched for each canary
in each form (``tests.world.canary``): while it runs, after a drain, and after ``kill -9`` in the
middle of a stream. The same records opened with the key hold what was said, and still no key.

Two places are meant to hold a secret: ``keys/owner`` the owner's key, and the environment of the
supervisor and the gateways the providers'.
"""

import json
import os
from pathlib import Path

import pytest

from affidavit import durable
from affidavit.app import opening
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.index.rebuild import dump
from affidavit.ledger.log_reader import LogReader
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import View
from affidavit.vault.reader import VaultReader
from tests.e2e.canary_traffic import (
    CLAUDE,
    CONFIG,
    EMAIL,
    INJECTED,
    KILLED,
    NAME,
    PARTIAL,
    PASSED,
    PASSED_IN_QUERY,
    SECRETS,
    WORDS,
    Seen,
    Traffic,
)
from tests.e2e.machine import Machine
from tests.world.audit import audit, verifier
from tests.world.canary import find, forms
from tests.world.upstream import Upstream


def _search(seen: Seen, roots: list[Path]) -> list[str]:
    """Every hit in every file; the owner's key is looked for everywhere but in its own file."""
    others = [one for one in [*seen.credentials, *WORDS] if one != seen.owner]
    own = str(Paths(seen.data).owner_key)
    return [
        *find(others, roots),
        *(hit for hit in find([seen.owner], roots) if not hit.startswith(f"{own}: ")),
    ]


def _processes(machine: Machine, seen: Seen) -> None:
    """Arguments of every process there is, and the environment of ours."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                seen.arguments += (entry / "cmdline").read_bytes()
            except OSError:
                continue
    for pid, name in machine.children().items():
        seen.environments[name] = (Path("/proc") / str(pid) / "environ").read_bytes()


def _opened(data: Path) -> list[View]:
    """Every record of the ledger as its owner can read it, oldest first."""
    paths = Paths(data)
    keyring = opening.keyring(paths, SystemClock())
    reader = LogReader(paths.log, verifier(data))
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    try:
        return [vault.view(index) for index in range(reader.checkpoint().size)]
    finally:
        vault.close()
        keyring.close()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """All of it, once: traffic, reads, drain, start, ``kill -9``, start, drain."""
    room = tmp_path_factory.mktemp("secrets")
    (room / "tmp").mkdir()
    seen = Seen(room / "data")
    with Upstream([]) as upstream:
        config = room / "config.yaml"
        config.write_text(CONFIG.format(url=upstream.url))
        environ = {**SECRETS, "TMPDIR": str(room / "tmp")}
        machine = Machine(seen.data, config=config, environ=environ)
        try:
            _run(machine, upstream, seen, room)
        finally:
            if machine.process.poll() is None:
                machine.kill()
        seen.reached = bytes(upstream.got)
    assert "Traceback" not in machine.messages()
    return seen


def _run(machine: Machine, upstream: Upstream, seen: Seen, room: Path) -> None:
    roots = [seen.data, machine.log, room / "tmp"]
    seen.keys.append(machine.key)
    made = machine.cli("keys", "create", NAME, "--kind", "person", "--email", EMAIL, "--json")
    seen.keys.append(json.loads(made.stdout)["token"])
    traffic = Traffic(machine, upstream, seen)
    traffic.whole_and_streamed()
    traffic.errors()
    traffic.key_in_a_place_of_its_own()
    with traffic.stream_in_flight(PARTIAL) as client:
        seen.hits["with a stream in flight"] = _search(seen, roots)
        client.reset()
    traffic.reads(room)
    _processes(machine, seen)
    seen.hits["running"] = _search(seen, roots)
    assert machine.stop() == 0, machine.messages()
    seen.hits["drained"] = _search(seen, roots)
    machine.start()
    client = traffic.stream_in_flight(KILLED)
    machine.kill()
    client.close()
    seen.hits["killed"] = _search(seen, roots)
    seen.killed = " ".join(
        str(path) for path in Paths(seen.data).journal.rglob("*") if path.stat().st_size
    )
    machine.start()
    assert machine.stop() == 0, machine.messages()
    seen.hits["drained after kill -9"] = _search(seen, roots)
    before = _dump(seen.data)
    machine.cli("index", "rebuild")
    assert _dump(seen.data) == before, "rebuilt in place, the index is another one"
    seen.hits["index rebuilt"] = _search(seen, roots)
    seen.kept = audit(seen.data, beside=room / "rebuilt")
    seen.hits["index rebuilt beside"] = _search(seen, [room / "rebuilt"])
    seen.views = _opened(seen.data)


def _dump(data: Path) -> list[str]:
    paths = Paths(data)
    return list(dump(paths.root, opening.database_key(paths, "index.db")))


MOMENTS = [
    "with a stream in flight", "running", "drained", "killed", "drained after kill -9",
    "index rebuilt", "index rebuilt beside",
]  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_no_file_and_no_log_holds_a_canary(seen: Seen, moment: str) -> None:
    """Data directory, write-ahead logs, journal, run/, stderr, temporary files: no canary."""
    assert seen.hits[moment] == []
    assert set(seen.hits) == set(MOMENTS)


def test_the_search_finds_what_is_there(seen: Seen) -> None:
    """The owner's key is found in the one file that holds it, so a hit would have been seen."""
    hits = find([seen.owner], [seen.data])
    assert hits
    assert all(hit.startswith(f"{Paths(seen.data).owner_key}: ") for hit in hits)
    assert Paths(seen.data).owner_key.stat().st_mode & 0o777 == 0o600
    assert seen.killed, "the journal was empty after kill -9, so it showed nothing"


def test_the_canaries_really_came_through(seen: Seen) -> None:
    """The provider got its credentials and every word; the opened records hold every word."""
    for credential in (INJECTED, CLAUDE, PASSED, PASSED_IN_QUERY):
        assert credential.encode() in seen.reached, credential
    for ours in seen.keys:
        assert ours.encode() not in seen.reached, "a key of ours went on to the provider"
    opened = b"\n".join(_plain(view) for view in seen.views)
    for word in WORDS:
        assert any(form in opened for form in forms(word).values()), word
    assert seen.kept is not None
    outcomes = {view.sections["outcome"]["outcome"] for view in seen.kept.outcomes.values()}
    assert outcomes == {"complete", "upstream_error", "client_gone", "interrupted"}


def test_opened_with_the_key_no_record_and_no_row_holds_a_credential(seen: Seen) -> None:
    """Sections, content and index, decrypted: no key of a caller, a provider or a reader."""
    for view in seen.views:
        plain = _plain(view)
        for credential in seen.credentials:
            for name, form in forms(credential).items():
                assert form not in plain, f"{view.type} {view.index}: {credential[:12]} {name}"
    rows = "\n".join(_dump(seen.data)).encode()
    for credential in seen.credentials:
        assert not [name for name, form in forms(credential).items() if form in rows], credential


def _plain(view: View) -> bytes:
    text = json.dumps(view.sections, ensure_ascii=False).encode()
    return text + b"\n" + b"\n".join(view.parts.values())


def test_databases_are_encrypted_and_hold_no_key(seen: Seen) -> None:
    """No file begins as an SQLite database; opened, identities are digests of keys."""
    databases = list(seen.data.rglob("*.db"))
    assert len(databases) >= 4
    for path in databases:
        assert not path.read_bytes().startswith(b"SQLite format 3"), path
    paths = Paths(seen.data)
    kek = KeyEncryptionKey.load(paths.key_encryption_key)
    state_key = opening.database_key(paths, "state.db")
    for path, key in ((paths.state, state_key), (paths.key_database, kek.derive("keys.db"))):
        connection = durable.open_database(path, key)
        tables = connection.execute(
            "select name from sqlite_master where type = 'table'"
        ).fetchall()
        rows = [repr(row) for (name,) in tables
                for row in connection.execute(f'select * from "{name}"')]  # fmt: skip
        connection.close()
        assert rows
        assert not [key for key in seen.credentials if any(key in row for row in rows)]


def test_no_error_and_no_metric_repeats_a_secret(seen: Seen) -> None:
    """Error answers of gateway and console, health and metrics name no key and no person."""
    assert len(seen.errors) >= 13
    assert any("affidavit_ledger_leaves" in text for text in seen.said)
    texts = [f"{error.status} {error.headers} {error.body!r}" for error in seen.errors]
    for text in [*texts, *seen.said]:
        for canary in [*seen.credentials, *WORDS]:
            for name, form in forms(canary).items():
                assert form not in text.encode(), f"{name} of {canary} in {text[:500]}"


def test_no_process_shows_a_secret_in_its_arguments(seen: Seen) -> None:
    """Nothing in any /proc/*/cmdline; the providers' secrets are in the gateways' environment."""
    assert b"affidavit.app\0gateway" in seen.arguments
    for canary in [*seen.credentials, *WORDS]:
        for name, form in forms(canary).items():
            assert form not in seen.arguments, f"{name} of {canary}"
    assert set(seen.environments) == {"gateway", "sequencer", "console"}
    for secret in SECRETS.values():
        holders = {name for name, text in seen.environments.items() if secret.encode() in text}
        assert holders == {"gateway"}
