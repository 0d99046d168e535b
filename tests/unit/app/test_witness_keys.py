"""Keys of a witness: made once, private, of one name and one purpose."""

from pathlib import Path

import pytest

from affidavit.app.witness_keys import Keys, load_or_make
from affidavit.durable import Disk
from affidavit.errors import ParseError, UnavailableError, UsageError
from affidavit.ledger.note import COSIGNATURE, ML_DSA_44
from tests.world.fakedisk import Crash, FakeEffects, Fault, at

NAME = "witness.example/w1"


def _keys(root: Path, name: str = NAME, disk: Disk | None = None, **more: bool) -> Keys:
    asked = {"monitor": False, "post_quantum": False, **more}
    return load_or_make(
        disk or Disk(),
        root / "keys",
        name=name,
        monitor=asked["monitor"],
        post_quantum=asked["post_quantum"],
    )


def test_keys_stay_the_same_and_are_private(tmp_path: Path) -> None:
    """Also when ML-DSA is added later; each has a seed of its own and nobody else reads it."""
    first = _keys(tmp_path)
    assert [cosigner.kind for cosigner in first.cosigners] == [COSIGNATURE]
    both = _keys(tmp_path, "", post_quantum=True)
    assert [cosigner.kind for cosigner in both.cosigners] == [COSIGNATURE, ML_DSA_44]
    again = _keys(tmp_path, post_quantum=True)
    assert (first.name, first.cosigners[0].vkey) == (NAME, both.cosigners[0].vkey)
    assert [c.vkey for c in again.cosigners] == [c.vkey for c in both.cosigners]
    files = sorted((tmp_path / "keys").iterdir())
    assert [path.name for path in files] == ["ed25519", "ml-dsa-44"]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600] * 2
    assert len({path.read_text().split()[-1] for path in files}) == 2


def test_the_name_is_this_machines_unless_one_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what the key is for."""
    monkeypatch.setattr("platform.node", lambda: "host.example")
    assert _keys(tmp_path / "w", "").name == "host.example/witness"
    monitor = _keys(tmp_path / "m", "", monitor=True)
    assert monitor.name == "host.example/monitor"
    assert len(monitor.replay) == 32
    assert _keys(tmp_path / "m", "", monitor=True) .replay == monitor.replay  # fmt: skip


def test_a_key_has_one_name_and_one_purpose(tmp_path: Path) -> None:
    """What verifiers believe of a key must not change under them."""
    _keys(tmp_path)
    with pytest.raises(UsageError, match="not of other"):
        _keys(tmp_path, "other.example")
    with pytest.raises(UsageError, match="those of a witness"):
        _keys(tmp_path, monitor=True)
    _keys(tmp_path / "m", monitor=True)
    with pytest.raises(UsageError, match="those of a monitor"):
        _keys(tmp_path / "m")
    with pytest.raises(ParseError):
        _keys(tmp_path / "n", "two words")
    (tmp_path / "keys" / "ml-dsa-44").write_bytes(
        (tmp_path / "keys" / "ed25519").read_bytes().replace(b" 04 ", b" 06 ").replace(b"w1", b"w2")
    )
    (tmp_path / "keys" / "ml-dsa-44").chmod(0o600)
    with pytest.raises(UsageError, match=r"key of witness\.example/w2"):
        _keys(tmp_path, post_quantum=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "affidavit-witness-key-1 04 witness w AAAA\n",
        "affidavit-witness-key-2 04 witness w " + "A" * 43 + "\n",
        "affidavit-witness-key-1 06 witness w " + "A" * 43 + "\n",
        "affidavit-witness-key-1 04 witness w+x " + "A" * 43 + "\n",
        "affidavit-witness-key-1 04 witness w " + "A" * 43 + " more\n", "\xff",
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    """And never replaced by another one."""
    _keys(tmp_path)
    path = tmp_path / "keys" / "ed25519"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UnavailableError, match="not a key of a witness"):
        _keys(tmp_path)
    assert path.read_bytes() == text.encode("latin-1")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """As every private file."""
    _keys(tmp_path)
    (tmp_path / "keys" / "ed25519").chmod(0o644)
    with pytest.raises(UnavailableError, match="may be read by others"):
        _keys(tmp_path)


def test_a_first_start_that_was_cut_off_is_made_good(tmp_path: Path) -> None:
    """Wherever it died: the next start has all keys, and no key that was whole is replaced."""
    step = 0
    while True:
        root = tmp_path / str(step)
        root.mkdir()
        effects = FakeEffects(root, Fault(at(step), error=0))
        try:
            _keys(root, disk=Disk(effects), monitor=True, post_quantum=True)
        except Crash:
            whole = {path: path.read_bytes() for path in root.glob("keys/*[!p]") if path.is_file()}
            made = _keys(root, monitor=True, post_quantum=True)
            assert len(made.cosigners) == 2
            assert all(path.read_bytes() == data for path, data in whole.items())
            step += 1
            continue
        break
    assert step > 10
