"""Each verb that asks a console: for people, for programs, within boundaries."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import running
from affidavit.app.first_start import DEMO_YAML
from affidavit.app.paths import Paths
from affidavit.app.running import Running
from affidavit.config import load
from affidavit.durable import Disk
from affidavit.evidence import verify
from affidavit.ledger.note import COSIGNATURE, ML_DSA_44, Cosigner, Signer
from affidavit.query.rows import ROW_FIELDS
from affidavit.record.keys import KeyEncryptionKey
from tests.unit.cli.conftest import Command, Result, Site, flat
from tests.world.machine import ANCHORS


@pytest.fixture
def as_role(site: Site, monkeypatch: pytest.MonkeyPatch, command: Command) -> Command:
    """Run a command over the network with the key of a role, which is the first argument."""

    def call(role: str, *arguments: str) -> Result:
        monkeypatch.setenv("AFFIDAVIT_URL", site.url)
        monkeypatch.setenv("AFFIDAVIT_KEY", site.machine.keys[role])
        return command(*arguments)

    return call


def test_query_for_people_shows_exchanges(command: Command, site: Site) -> None:
    """Time, model, actor, tokens and outcome on one line, prompt and output below, then as of."""
    result = command("query", "session:my-session", "--data", site.data)
    assert (result.code, result.err) == (0, "")
    for text in ("What is a witness?", "A witness who counts.", "demo-chat", "5→7", "complete"):
        assert text in result.out
    told = " ".join(result.out.split())
    assert re.search(r"2 shown of 4 .*, as of leaf \d+, 2026-11-23 12:00:\d\d UTC", told)
    assert max(map(len, result.out.splitlines())) <= 100


def test_query_for_programs_is_json_lines(command: Command, site: Site) -> None:
    """One flat documented object per record, in ASCII, and nothing else on stdout."""
    result = command("query", "type:exchange.*", "--json", "--data", site.data)
    assert result.code == 0
    assert result.err.startswith("8 records, as of leaf ")  # other questions are leaves, too
    assert len(result.rows) == 8
    assert all(set(row) <= set(ROW_FIELDS) for row in result.rows)
    assert result.out.isascii()
    first = command("query", "type:exchange.*", "--json", "--limit", "3", "--data", site.data)
    assert "3 records of 8, as of leaf" in first.err
    cursor = first.err.split("--cursor ")[1].strip()
    more = ("query", "type:exchange.*", "--json", "--cursor", cursor, "--data", site.data)
    assert [*first.rows, *command(*more).rows] == result.rows


def test_hidden_characters_never_reach_the_terminal(command: Command, site: Site) -> None:
    """Escapes and overrides in prompts, outputs and model names are shown, not obeyed."""
    shown = ""
    for arguments in (
        ("query", "type:exchange.*"),
        ("query", "type:exchange.*", "--json"),
        ("show", "#8"),
        ("reveal", "#8", "--reason", "look"),
    ):
        result = command(*arguments, "--data", site.data)
        assert result.code == 0
        shown += result.out + result.err
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"]
    assert "\\x1b[2Jhidden\\u202e" in shown


def test_query_pages_and_goes_on(command: Command, site: Site) -> None:
    """A limited answer says how to go on, and going on shows what comes next."""
    first = command("query", "type:exchange.*", "--limit", "1", "--data", site.data)
    cursor = first.err.split("--cursor ")[1].strip()
    second = command(
        "query", "type:exchange.*", "--limit", "1", "--cursor", cursor, "--data", site.data
    )
    assert second.code == 0
    assert "demo-error" in second.out
    wrong = command("query", "model:x", "--cursor", cursor, "--data", site.data)
    assert (wrong.code, wrong.out) == (2, "")


def test_query_prove_prints_four_lines(command: Command, site: Site) -> None:
    """The verdict in four lines, code 0 if proved, 1 if not; as JSON the last line."""
    result = command("query", "model:demo-chat", "--prove", "--data", site.data)
    assert result.code == 0
    names = [line.split()[0] for line in result.out.splitlines() if line[:1].isupper()]
    assert names[-4:] == ["Integrity", "Completeness", "Assurance", "Coverage"]
    assert "all 4 records of" in result.out
    unproved = command("query", "tokens>1", "--prove", "--json", "--data", site.data)
    assert unproved.code == 1
    assert unproved.rows[-1]["proof"]["proved"] is False


def test_a_wrong_expression_names_the_nearest_field(command: Command, site: Site) -> None:
    """Code 2 and what was probably meant."""
    result = command("query", "modl:x", "--data", site.data)
    assert (result.code, result.out) == (2, "")
    assert "model" in result.err


def test_nothing_found_is_no_error(command: Command, site: Site) -> None:
    """An answer may be empty; it still says as of when."""
    result = command("query", "model:nobody", "--data", site.data)
    assert result.code == 0
    assert "Nothing matches" in result.out
    assert "as of leaf" in result.out


def test_show_tells_a_session(command: Command, site: Site) -> None:
    """The lines of a session in order, each with its evidence; one object a line as JSON."""
    result = command("show", "my-session", "--data", site.data)
    assert result.code == 0
    assert result.out.startswith("Session my-session\n")
    assert result.out.count("verified") >= 4
    assert result.out.index("witness?") < result.out.index("counts.")
    rows = command("show", "my-session", "--json", "--data", site.data).rows
    own = [row["type"] for row in rows if not row["beside"]]
    assert own == ["exchange.request", "exchange.response"] * 2


def test_show_of_nothing_is_1(command: Command, site: Site) -> None:
    """A name that nothing has is not found."""
    result = command("show", "nothing", "--data", site.data)
    assert (result.code, result.out) == (1, "")


def test_reveal_shows_content_and_leaves_a_record(command: Command, site: Site) -> None:
    """Both bodies as text, and the id of the record that was left."""
    result = command("reveal", "#1", "--reason", "ticket 1", "--data", site.data)
    assert result.code == 0
    assert "What is a witness?" in result.out
    assert "response.body" in result.out
    assert "Recorded as " in result.err
    told = site.machine.records("access.reveal")[-1]["what"]
    assert told["reason"] == "ticket 1"


def test_a_role_outside_its_boundary_is_3(as_role: Command) -> None:
    """A compliance officer's reveal and a caller's query are refused with code 3."""
    result = as_role("compliance", "reveal", "#1", "--reason", "curious")
    assert (result.code, result.out) == (3, "")
    assert as_role("caller", "query").code == 3


def test_an_address_needs_a_key(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without AFFIDAVIT_KEY, or with a wrong one, code 3."""
    assert command("query", "--url", site.url).code == 3
    monkeypatch.setenv("AFFIDAVIT_KEY", "wrong")
    assert command("query", "--url", site.url).code == 3


def test_a_key_is_never_an_argument(command: Command) -> None:
    """There is no option to pass a key on the command line, where others can read it."""
    assert "AFFIDAVIT_KEY" in command("query", "--help").out
    assert command("query", "--key", "x").code == 2


def test_export_and_verify_offline(command: Command, site: Site, tmp_path: Path) -> None:
    """A bundle is written once, verifies with the log's key, and fails after one changed byte."""
    file = tmp_path / "evidence.zip"
    arguments = ("export", "model:demo-chat", "-o", str(file), "--data", site.data)
    result = command(*arguments)
    assert result.code == 0
    assert "4 records" in result.out
    assert "has digests. --content full" in flat(result.err)
    names = ("Integrity", "Completeness", "Assurance", "Coverage")
    assert all(f"\n{name} " in result.out for name in names)
    again = command(*arguments)
    assert (again.code, again.out) == (2, "")
    told = command(*arguments, "--force", "--json").rows[0]
    assert told["size"] == file.stat().st_size
    assert list(told["verdict"]) == [name.lower() for name in names]
    assert told["verdict"]["completeness"].startswith("all 4 records of model=demo-chat")
    vkey = site.machine.log.vkey
    good = command("verify", str(file), "--key", vkey)
    assert good.code == 0
    assert good.out.startswith("Integrity")
    assert "Unchecked     nothing vouches for these" in good.out
    named = command("verify", str(file), "--key", vkey, "--manifest", told["manifest"])
    assert named.code == 0
    assert "Unchecked     the manifest is the one named" in named.out
    other = command("verify", str(file), "--key", vkey, "--manifest", "-" * 43)
    assert (other.code, other.out.splitlines()[0]) == (1, "REFUSED  wrong-manifest")
    assert "rotation" not in other.err
    later = Signer(vkey.split("+")[0], bytes(range(32))[::-1]).vkey
    rotated = command("verify", str(file), "--key", later)
    assert (rotated.code, rotated.out.splitlines()[0]) == (1, "REFUSED  wrong-key")
    assert "before or after a rotation? Then give its policy" in flat(rotated.err)
    policy = Path("all.policy")
    policy.write_text(f"log {vkey}\nlog {later}\nquorum none\n")
    assert command("verify", str(file), "--policy", str(policy)).code == 0
    key_file = Path(site.data) / "log" / "log.vkey"
    assert command("verify", str(file), "--key", str(key_file), "--json").rows[0]["ok"] is True
    assert command("verify", str(file)).code == 2
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    bad = command("verify", str(file), "--key", vkey)
    assert bad.code == 1
    assert bad.out.startswith("REFUSED")


def test_the_page_that_checks_in_a_browser_is_printed(command: Command) -> None:
    """Byte for byte as it stands in bundles; without it and without a file, usage."""
    page = Path(verify.__file__).with_name("verify.html").read_text(encoding="utf-8")
    printed = command("verify", "--html")
    assert (printed.code, printed.out) == (0, page)
    assert command("verify").code == 2


def test_a_count_shows_nothing(command: Command, site: Site, tmp_path: Path) -> None:
    """Only the verdict is printed; the bundle holds no section, and verifies as a count."""
    shown = command("query", "model:demo-chat", "--prove", "--count", "--data", site.data)
    assert shown.code == 0
    assert "witness" not in shown.out.partition("Assurance")[0]
    assert "4 records of model=demo-chat, tenant acme" in shown.out
    assert "counted, none shown" in shown.out
    rows = command("query", "model:demo-chat", "--prove", "--count", "--json", "--data", site.data)
    assert [list(row) for row in rows.rows] == [["proof"]]
    assert rows.rows[0]["proof"]["counts"]["records"] == 4
    file = tmp_path / "count.zip"
    made = command("export", "model:demo-chat", "--count", "-o", str(file), "--data", site.data)
    assert made.code == 0
    assert "4 records, counted, none shown" in made.out
    good = command("verify", str(file), "--key", site.machine.log.vkey, "--json").rows[0]
    assert good["ok"] is True
    assert good["facts"]["counted"] == [["acme", "model", "demo-chat", 4]]
    assert b"demo-error" not in file.read_bytes()


def test_a_count_without_a_proof_is_a_number(as_role: Command, site: Site) -> None:
    """Of all that match within the boundary, and on record; a mistake is pointed at."""
    told = as_role("auditor", "query", "--count", "model:demo-chat")
    assert (told.code, told.out.startswith("4 records (requests and responses")) == (0, True)
    assert "witness" not in told.out
    rows = as_role("auditor", "query", "tokens>1 model:demo-chat", "--count", "--json").rows
    assert (rows[0]["count"], rows[0]["as_of"]["size"] >= 9) == (2, True)
    assert as_role("auditor", "query", "model:none", "--count").out.startswith("0 records, as of ")
    assert as_role("auditor", "query", "modl:x", "--count").err.startswith("  modl:x\n  ^")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("query", "tokens>1", "--prove", "--count"), 2),
     (("query", "model:demo-chat decision:allow", "--prove", "--count"), 2),
     (("export", "model:demo-chat source_time>=2026-01-01", "--count", "-o", "x.zip"), 2)],
)  # fmt: skip
def test_what_cannot_be_counted_says_so(
    command: Command, site: Site, arguments: tuple[str, ...], code: int
) -> None:
    """A count that is proved needs a chain, and no condition that records have to be shown for."""
    refused = command(*arguments, "--data", site.data)
    assert refused.code == code
    assert "count" in refused.err


def test_all_values_of_a_dimension(command: Command, site: Site) -> None:
    """``values:model`` finds the first exchange of each model, and that these are all is proved."""
    result = command("query", "values:model", "--prove", "--json", "--data", site.data)
    assert result.code == 0
    models = {row["model"] for row in result.rows[:-1]}
    assert {"demo-chat", "demo-error"} < models
    assert all("model" in row["first_of"] for row in result.rows[:-1])
    proof = result.rows[-1]["proof"]
    assert proof["completeness"].startswith("all 6 records of model.values, tenant acme, in this")
    wrong = command("query", "values:modle", "--data", site.data)
    assert (wrong.code, "values: does not know 'modle'" in wrong.err) == (2, True)


def test_verify_takes_a_policy(command: Command, site: Site, tmp_path: Path) -> None:
    """With --policy the quorum decides; a key beside it is wrong use."""
    file, policy = tmp_path / "evidence.zip", tmp_path / "trust.policy"
    command("export", "model:demo-chat", "-o", str(file), "--data", site.data)
    vkey = site.machine.log.vkey
    witness = Cosigner("w.example", COSIGNATURE, bytes(32))
    policy.write_text(f"log {vkey}\nquorum none\n")
    good = command("verify", str(file), "--policy", str(policy))
    assert (good.code, "own key only" in good.out) == (0, True)
    policy.write_text(f"log {vkey}\nwitness w {witness.vkey}\nquorum w\n")
    demanded = command("verify", str(file), "--policy", str(policy))
    assert (demanded.code, "quorum w NOT met" in demanded.out) == (1, True)
    both = command("verify", str(file), "--policy", str(policy), "--key", vkey)
    assert (both.code, "not both" in both.err) == (2, True)
    policy.write_text("log nonsense\n")
    assert command("verify", str(file), "--policy", str(policy)).code == 2


def test_a_name_is_no_pseudonym_for_who_sees_no_persons(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An auditor who asks for a caller's own session is told why nothing is found."""
    monkeypatch.setenv("AFFIDAVIT_KEY", site.machine.keys["auditor"])
    asked = command("query", "session:my-session", "--url", site.url)
    assert "session: is compared with pseudonyms (ses_…)" in asked.err
    assert "pseudonyms" not in command("query", "session:ses_x", "--url", site.url).err


def test_export_where_nothing_can_be_written_is_4(command: Command, site: Site) -> None:
    """Code 4, and that the export is on record; a directory that is not there is seen before."""
    asked = ("export", "model:demo-chat", "--data", site.data, "-o")
    result = command(*asked, ".", "--force")
    assert (result.code, result.out) == (4, "")
    assert "on record" in result.err
    early = command(*asked, "no/where.zip")
    assert (early.code, early.out) == (2, "")
    assert "There is no directory no." in early.err
    assert "on record" not in early.err


def test_keys_are_made_listed_and_revoked(command: Command, site: Site) -> None:
    """The key alone is on stdout; the list never shows it; revoking says whose it was."""
    refused = command("keys", "create", "Zoë \x1b", "--role", "auditor", "--data", site.data)
    assert (refused.code, "not seen: Zoë \\x1b." in refused.err) == (2, True)
    made = command("keys", "create", "Zoë", "--role", "auditor", "--data", site.data)
    assert made.code == 0
    assert re.fullmatch(r"aff_[\w-]{43}\n", made.out)
    assert "not shown again" in made.err
    rows = command("keys", "list", "--json", "--data", site.data).rows
    key = next(row for row in rows if row["name"].startswith("Zoë"))
    site.machine.identities.put(site.machine.identities.draft(tenant="acme", name="old \x1b")[0])
    listed = command("keys", "list", "--data", site.data)
    assert "old" in listed.out
    assert made.out.strip() not in listed.out
    revoked = command("keys", "revoke", key["id"], "--data", site.data)
    assert (revoked.code, key["id"] in revoked.out) == (0, True)
    assert command("keys", "revoke", "key_nobody", "--data", site.data).code == 1
    as_json = command("keys", "create", "bot", "--json", "--data", site.data).rows[0]
    assert as_json["token"].startswith("aff_")
    assert as_json["role"] == "caller"


def test_tail_shows_what_comes_until_ctrl_c(site: Site) -> None:
    """As a process: rows as JSON Lines while they come, and code 0 on Ctrl-C."""
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = "from affidavit.cli.main import main; main()"
    program = [sys.executable, "-c", f"{heard}; {start}"]  # a job in the background ignores Ctrl-C
    tail = subprocess.Popen(
        [*program, "tail", "type:exchange.*", "--after", "0", "--json", "--data", site.data],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert tail.stdout is not None
    rows = [json.loads(tail.stdout.readline()) for _ in range(8)]
    assert [row["index"] for row in rows] == sorted(row["index"] for row in rows)
    time.sleep(0.1)
    os.kill(tail.pid, signal.SIGINT)
    _, err = tail.communicate(timeout=60)
    assert (tail.returncode, err) == (0, "Following from leaf 0 on; Ctrl-C ends it.\n")


def test_tail_of_a_wrong_expression_is_2(command: Command, site: Site) -> None:
    """Nothing is followed that is not understood."""
    assert command("tail", "modl:x", "--data", site.data).code == 2


def test_doctor_finds_what_is_wrong(command: Command, site: Site, tmp_path: Path) -> None:
    """Over the network everything is well; an empty directory is bad, and says what to do."""
    result = command("doctor", "--data", str(tmp_path / "nothing"), "--json")
    assert result.code == 1
    states = {row["what"]: row["state"] for row in result.rows}
    assert states["Data directory"] == "bad"
    assert states["Console"] == "bad"
    assert "affidavit up" in command("doctor", "--data", str(tmp_path / "nothing")).out


def test_doctor_by_address(as_role: Command, site: Site) -> None:
    """What the running console says, without looking at this machine."""
    result = as_role("auditor", "doctor", "--url", site.url, "--json")
    assert result.code == 0, result.out
    states = {row["what"]: row for row in result.rows}
    assert states["Recording"]["state"] == "ok"
    assert "you are auditor by key" in states["Console"]["text"]


def test_doctor_tells_of_a_pruning(
    as_role: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is gone, and what was meant to go and has not."""
    why = "Leaf 511 is of 2026-11-01, and leaves are kept for 400 days."
    monkeypatch.setitem(site.machine.anchors, "minimum", 256)
    monkeypatch.setitem(site.machine.anchors, "pruning_problem", why)
    monkeypatch.setitem(site.machine.anchors, "erasing_problem", "The index is away.")
    result = as_role("auditor", "doctor", "--url", site.url, "--json")
    states = {row["what"]: row for row in result.rows}
    assert states["Ledger"]["text"].endswith("; those before 256 were pruned")
    assert states["Erasure"]["text"] == "waits, and is tried again: The index is away."
    assert states["Pruning"] == {"what": "Pruning", "state": "warn", "text": f"not finished: {why}"}


def test_doctor_tells_of_what_is_late(
    as_role: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over its maximum, and what nobody says how long to keep."""
    late = {
        "as_of": "2026-11-23T12:00:00.000000Z", "problem": "", "due_buckets": 2, "due_records": 7,
        "overdue_buckets": 1, "overdue_records": 3, "held_records": 0, "unknown_buckets": 4,
        "oldest": "2026-11-12", "damaged_buckets": 1,
    }  # fmt: skip
    monkeypatch.setitem(site.machine.anchors, "retention", late)
    result = as_role("auditor", "doctor", "--url", site.url, "--json")
    assert result.code == 1
    found = [(row["state"], row["text"]) for row in result.rows if row["what"] == "Retention"]
    assert [state for state, _ in found] == ["bad", "warn", "bad"]
    assert found[0][1].startswith("7 records are over their maximum, since 2026-11-12, 3 for more")
    assert found[1][1].startswith("4 buckets are of classes that are not configured")
    assert "damaged and do not go; affidavit fsck" in found[2][1]
    fine = dict.fromkeys(late, 0) | {"problem": ""}
    monkeypatch.setitem(site.machine.anchors, "retention", fine)
    result = as_role("auditor", "doctor", "--url", site.url, "--json")
    states = {row["what"]: row["state"] for row in result.rows}
    assert (result.code, states["Retention"]) == (0, "ok")


def test_fsck_passes_and_names_what_was_changed(
    command: Command, site: Site, tmp_path: Path
) -> None:
    """A sound log is 0, a flipped byte is 1 and named; the log is not changed by looking."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(site.data) / "log", copy / "log")
    good = command("fsck", "--data", str(copy))
    assert good.code == 0
    assert "as they were written" in good.out
    assert "--key" in good.err
    tiles = (copy / "log" / "tile" / "entries").rglob("*.p/*")
    entries = max(tiles, key=lambda tile: int(tile.name))  # the fullest took the others' place
    data = bytearray(entries.read_bytes())
    data[40] ^= 1
    entries.write_bytes(data)
    bad = command("fsck", "--data", str(copy), "--key", site.machine.log.vkey, "--json")
    assert bad.code == 1
    name = str(entries.relative_to(copy / "log"))
    found = bad.rows[-1]["finding"]
    assert found["object"] == name
    assert name in found["wrong"]
    assert found["means"].startswith("Leaves were changed")
    assert "copy" in found["do"]
    assert command("fsck", "--data", str(tmp_path / "nothing")).code == 2
    wrong = command("fsck", "--data", str(copy), "--key", "wrong")
    assert (wrong.code, "neither a verifier key nor a file" in wrong.err) == (2, True)
    file = str(copy / "log" / "log.vkey")
    assert command("fsck", "--data", str(copy), "--key", file, "--json").rows[-1]["key"] == "given"


def test_fsck_deep_reads_every_record(command: Command, site: Site) -> None:
    """With --deep sections and content are read too; a segment that was changed is named."""
    good = command("fsck", "--deep", "--data", site.data)
    assert good.code == 0, good.err
    assert "sections and parts" in good.out
    segment = max((Path(site.data) / "vault").rglob("*.seg"), key=_size)
    data = segment.read_bytes()
    segment.write_bytes(bytes(byte ^ 1 for byte in data[:4000]) + data[4000:])
    try:
        bad = command("fsck", "--deep", "--json", "--data", site.data)
        assert bad.code == 1
        assert bad.rows[-1]["finding"]["object"].endswith(segment.name)
    finally:
        segment.write_bytes(data)


@pytest.mark.parametrize("suffix", [".seg", ".wraps"])
def test_fsck_deep_misses_what_was_taken_away(command: Command, site: Site, suffix: str) -> None:
    """Content that somebody removed, its key still there, is named and not passed over."""
    taken = next((Path(site.data) / "vault").rglob(f"*{suffix}"))
    aside = taken.rename(taken.with_suffix(".aside"))
    try:
        bad = command("fsck", "--deep", "--json", "--data", site.data)
        assert bad.code == 1
        assert bad.rows[-1]["finding"]["object"].startswith("vault/")
    finally:
        aside.rename(taken)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def test_doctor_looks_at_this_machine(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the machine itself directory, permissions, disk and configuration are looked at too."""
    config = Path(site.data) / "config.yaml"
    config.write_text(
        "providers:\n  openai: {base_url: https://x.example, secret: '${NO_SUCH_VARIABLE}'}\n"
    )
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    result = command("doctor", "--data", site.data, "--json")
    states = {row["what"]: row for row in result.rows}
    assert (result.code, states["Data directory"]["state"]) == (0, "ok")
    assert "NO_SUCH_VARIABLE is not set" in states["Configuration"]["text"]
    assert "owner by socket" in states["Console"]["text"]
    kek = Path(site.data) / "keys" / "kek"
    kek.chmod(0o644)
    try:
        assert command("doctor", "--data", site.data).code == 1
    finally:
        kek.chmod(0o600)
    config.write_text("nonsense: 1\n")
    assert command("doctor", "--data", site.data).code == 1
    config.unlink()


def test_index_rebuild_makes_the_same_index(command: Command, site: Site, tmp_path: Path) -> None:
    """From a copy without an index an index of every record is made; from nothing, code 1."""
    copy = tmp_path / "copy"
    shutil.copytree(
        site.data, copy, ignore=shutil.ignore_patterns("index.db*", "text.db*", "*.sock")
    )
    result = command("index", "rebuild", "--data", str(copy), "--json")
    assert result.code == 0, result.err
    assert result.rows[0]["records"] >= 8
    assert (copy / "index.db").exists()
    assert command("index", "rebuild", "--data", str(tmp_path / "nothing")).code == 1


def test_config_check_says_what_is_in_force(command: Command, tmp_path: Path) -> None:
    """A good file is shown without secrets; a wrong one is 2 and names the nearest key."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "providers:\n  openai: {dialect: openai, base_url: https://x.example, secret: hush}\n"
    )
    result = command("config", "check", "--config", str(file))
    assert result.code == 0
    assert "openai" in result.out
    assert "hush" not in result.out
    as_json = command("config", "check", "--config", str(file), "--json").rows[0]
    assert as_json["providers"][0]["base_url"] == "https://x.example"
    file.write_text("boundaries: {support: {rows: 'team:support -tool:payroll'}}\n")
    cut = command("config", "check", "--config", str(file))
    assert (cut.code, "only one half of an exchange meets tool:payroll" in cut.err) == (0, True)
    file.write_text("provders: {}\n")
    wrong = command("config", "check", "--config", str(file))
    assert (wrong.code, wrong.out) == (2, "")
    assert "providers" in wrong.err


def test_config_check_says_whether_the_key_can_be_kept_so(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind, key and boto3; code 4 where up would refuse, and not where the key is of a file yet."""
    file = tmp_path / "kms.yaml"
    file.write_text("keys: {kind: aws-kms, aws_kms_key: alias/affidavit}\n")
    check = ("config", "check", "--config", str(file))
    there = command(*check)
    assert (there.code, "alias/affidavit; boto3 is installed" in flat(there.out)) == (0, True)
    monkeypatch.setitem(sys.modules, "boto3", None)
    gone = command(*check)
    assert (gone.code, "alias/affidavit; boto3 is not installed" in flat(gone.out)) == (4, True)
    assert ".venv/bin/pip install" in gone.err
    told = command(*check, "--json")
    assert (told.code, told.rows[0]["keys"]) == (
        4, {"kind": "aws-kms", "aws_kms_key": "alias/affidavit", "in_force": "", "boto3": False},
    )  # fmt: skip
    paths = Paths(tmp_path / "data")
    paths.create(Disk())
    KeyEncryptionKey.create(Disk(), paths.key_encryption_key)
    kept = command(*check, "--data", str(paths.root))
    assert (kept.code, "of kind file now, until affidavit keys" in flat(kept.out)) == (0, True)


def test_config_check_and_doctor_speak_of_what_runs(command: Command, tmp_path: Path) -> None:
    """Of a running server they show its configuration, and which providers are off in it."""
    paths = Paths(tmp_path)
    paths.create(Disk())
    KeyEncryptionKey.create(Disk(), paths.key_encryption_key)
    file = tmp_path / "own.yaml"
    file.write_text(
        "providers:\n  a: {base_url: https://a.example, secret: '${UNSET_HERE}'}\n"
        "  b: {base_url: https://b.example}\n"
    )
    shell = command("config", "check", "--config", str(file), "--json").rows[0]
    assert (shell["process"], shell["providers"][0]["off"]) == (None, "UNSET_HERE is not set")
    running.write(paths, Disk(), Running(os.getpid(), str(file), {"b": "B_KEY is not set"}, ""))
    served = command("config", "check", "--data", str(tmp_path), "--json").rows[0]
    assert (served["file"], served["process"]) == (str(file), os.getpid())
    assert [p["off"] for p in served["providers"]] == [None, "B_KEY is not set"]
    assert f"process {os.getpid()}" in command("config", "check", "--data", str(tmp_path)).out
    found = command("doctor", "--data", str(tmp_path), "--json").rows
    (text,) = [row["text"] for row in found if row["what"] == "Configuration"]
    assert f"b is off: B_KEY is not set (in the running process {os.getpid()})" in text
    (changed,) = [row["text"] for row in found if row["what"] == "Configuration in force"]
    assert "was changed since" in changed


def test_the_demos_provider_has_no_address_of_this_shell(command: Command, tmp_path: Path) -> None:
    """Chosen at every start, it is no change of the file; defaults alone are said to be that."""
    (tmp_path / "config.yaml").write_text(DEMO_YAML)
    shown = command("config", "check", "--data", str(tmp_path))
    assert "the demo's own" in " ".join(shown.out.split())
    assert "127.0.0.1" not in shown.out
    paths, file, there = Paths(tmp_path), tmp_path / "config.yaml", "http://127.0.0.1:45653"
    paths.create(Disk())
    KeyEncryptionKey.create(Disk(), paths.key_encryption_key)
    hashed = load(file, {"AFFIDAVIT_DEMO_URL": there}).hash()
    running.write(paths, Disk(), Running(os.getpid(), str(file), {}, hashed, there))
    doctor = ("doctor", "--data", str(tmp_path))
    assert "was changed since" not in flat(command(*doctor).out)
    check = ("config", "check", "--data", str(tmp_path))
    served = command(*check, "--json").rows[0]
    assert (served["hash"], served["providers"][0]["base_url"]) == (hashed, None)
    running.keep_demo(paths, Disk(), there)
    running.clear(paths, Disk())
    assert command(*check, "--json").rows[0]["hash"] == hashed, "as it will be at the next start"
    running.write(paths, Disk(), Running(os.getpid(), str(file), {}, hashed, there))
    file.write_text(DEMO_YAML + "\ngateway: {drain_seconds: 7}\n")
    assert "was changed since" in flat(command(*doctor).out)
    (tmp_path / "config.yaml").write_text("")
    assert "Defaults alone" in command("config", "check", "--data", str(tmp_path)).out


def test_an_expression_without_quotes_gets_its_hint(command: Command) -> None:
    """The shell took it apart; the hint says how it is written."""
    result = command("query", "model:x", "since:90d")
    assert result.code == 2
    assert "affidavit query 'model:gpt-4o since:90d'" in result.err


def test_a_key_in_the_environment_is_named_when_it_is_refused(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --data the socket's owner would be asked; the variable wins, and the hint says so."""
    monkeypatch.setenv("AFFIDAVIT_KEY", "aff_unknown")
    result = command("query", "--data", site.data)
    assert result.code == 3
    assert "AFFIDAVIT_KEY is set" in result.err


def test_version_is_json_too(command: Command) -> None:
    """One object with the version."""
    assert set(command("version", "--json").rows[0]) == {"version", "python"}
    assert command("--version")[:2] == command("version")[:2]


def test_a_search_without_matches_says_what_may_have_been_meant(
    command: Command, site: Site
) -> None:
    """A value outside its list and an operator in small letters are named, on stderr."""
    found = command("query", "decision:denied or model:x", "--data", site.data)
    assert found.code == 0
    assert "decision:denied is not one of" in found.err
    assert "the operator is OR" in found.err


def test_an_expression_is_shown_with_the_place_of_the_mistake(command: Command, site: Site) -> None:
    """The caret stands under the first character that was not understood."""
    found = command("query", "model:x modle:y", "--data", site.data)
    assert found.code == 2
    assert found.err.startswith("  model:x modle:y\n          ^\naffidavit: ")


def test_doctor_says_that_the_index_is_being_made_anew(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody wonders why searches are as of less."""
    assert "made anew" not in command("doctor", "--data", site.data).out
    monkeypatch.setattr(site.machine, "anchors", {"index_rebuilding": True})
    said = " ".join(command("doctor", "--data", site.data).out.split())
    assert "the index is of another version and is being made anew" in said


def test_doctor_says_who_vouches(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witnesses, timestamps, copies; what is wrong with them, and an alarm is bad."""
    found = _anchors(command, site, monkeypatch, {})
    assert found["Witness w1"] == ("ok", "has cosigned 9 leaves")
    assert found["Timestamps"] == ("ok", "over 8 leaves, 2026-11-23T12:00:00.000000Z")
    assert found["Copies"] == ("ok", "over 7 leaves")
    assert "Anchors" not in found
    trouble = {
        "witnesses": [
            {"name": "w1", "size": 9, "error": "It is away.", "alarm": False},
            {"name": "w2", "size": 9, "error": "Another history.", "alarm": True},
        ],
        "waits_since": "2026-11-23T12:00:00.000000Z",
        "timestamp": {"size": 0, "time": None, "error": "It failed."},
        "copies": None,
        "anchor_advice": "Nobody outside vouches.",
    }
    found = _anchors(command, site, monkeypatch, trouble)
    assert found["Witness w1"] == ("warn", "It is away.")
    assert found["Witness w2"] == ("bad", "Another history.")
    assert found["Timestamps"] == ("warn", "It failed.")
    assert "since 2026-11-23T12:00:00.000000Z; recording goes on" in found["Publication"][1]
    assert found["Anchors"] == ("warn", "Nobody outside vouches.")
    assert "Copies" not in found


def _anchors(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> dict[str, tuple[str, str]]:
    monkeypatch.setattr(site.machine, "anchors", {**ANCHORS, **more})
    rows = command("doctor", "--data", site.data, "--json").rows
    return {row["what"]: (row["state"], row["text"]) for row in rows}


def test_fsck_reads_every_key_in_force(command: Command, site: Site, tmp_path: Path) -> None:
    """During a rotation, and with an ML-DSA key, ``log.vkey`` has several lines."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(site.data) / "log", copy / "log")
    other = Signer(site.machine.log.origin, b"n" * 32).vkey
    quantum = Cosigner(site.machine.log.origin, ML_DSA_44, b"q" * 32).vkey
    lines = f"{other}\n{site.machine.log.vkey}\n{quantum}\n"
    (copy / "log" / "log.vkey").write_text(lines)
    assert command("fsck", "--data", str(copy)).code == 0
    (copy / "log" / "log.vkey").write_text(other + "\n")
    wrong = command("fsck", "--data", str(copy))
    assert wrong.code == 1
    assert "not signed by a known key" in wrong.out


def test_config_check_reads_the_policy(command: Command, tmp_path: Path) -> None:
    """Who is to vouch is said; a policy that is none is found here, not at the start."""
    policy, config = tmp_path / "policy", tmp_path / "config.yaml"
    config.write_text(f"witnesses: {{policy: {policy}}}\nanchors: {{copy_to: /mnt/x}}\n")
    assert command("config", "check", "--config", str(config)).code == 2
    signer = Signer("log", bytes(32)).vkey
    witness = Cosigner("w1.example", 4, b"w" * 32).vkey
    policy.write_text(f"log {signer}\nwitness w1 {witness} https://w1.example\nquorum w1\n")
    shown = command("config", "check", "--config", str(config))
    assert "witness w1, copies in /mnt/x" in shown.out
    config.write_text("")
    assert "own key only" in command("config", "check", "--config", str(config)).out
