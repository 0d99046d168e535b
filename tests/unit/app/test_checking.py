"""Checks that are left and taken up again, and what is said about them."""

import shutil
from pathlib import Path

import msgspec
import pytest

from affidavit.app import checking
from affidavit.app.checking import Checking, Kept, Result
from affidavit.app.passphrase import FILE, VARIABLE, VARIABLES
from affidavit.errors import UnavailableError
from affidavit.ledger import tiles
from affidavit.record.kek import Passphrase
from affidavit.record.keys import PlainFile
from tests.world import ledger, whole


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles of leaves, the second not full."""
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        root = tmp_path_factory.mktemp("whole") / "data"
        whole.make(root)
    return root


def _kept(data: Path) -> Path:
    return data / "run" / "fsck.progress"


def _run(data: Path, *, stop: int = 0, anew: bool = False, kept: Path | None = None) -> Result:
    """A deep check that is asked to stop after ``stop`` bundles (0: never)."""
    bundles = 0

    def told(stage: str, done: int, of: int) -> None:
        nonlocal bundles
        bundles += stage == "leaves"
        assert 0 <= done <= of

    return Checking(
        data, None, told, deep=True, kept=kept, anew=anew, stop=lambda: bundles == stop
    ).run()


def test_a_check_that_was_stopped_goes_on(data: Path) -> None:
    """And finds what one in a single run finds; the file it was kept in is gone then."""
    single = _run(data)
    first = _run(data, stop=1)
    assert (first.stopped, first.leaves, first.finding) == (True, tiles.WIDTH, None)
    assert _kept(data).stat().st_mode & 0o077 == 0
    second = _run(data)
    assert (second.stopped, second.went_on) == (False, tiles.WIDTH)
    assert second.since
    assert second.counts == single.counts
    assert second.leaves == single.leaves
    assert not _kept(data).exists()


def test_damage_behind_the_stop_is_found_and_before_it_is_not_looked_for(data: Path) -> None:
    """What was checked is not checked again, unless the check begins anew."""
    _run(data, stop=1)
    late = max(data.glob("log/tile/entries/001.p/*"), key=lambda path: int(path.name))
    content = late.read_bytes()
    with whole.damaged(late, content[:-1]):
        assert (found := _run(data).finding) is not None
    assert found.object.startswith("tile/entries/001.p/")
    _run(data, stop=1)
    early = data / "log" / "links" / "000"
    with whole.damaged(early, early.read_bytes()[:-1]):
        assert _run(data).finding is None
        assert (found := _run(data).finding) is not None  # nothing was kept: from leaf 0
    assert found.object == "links/000"


def test_begun_anew_whatever_was_kept(data: Path) -> None:
    """With ``anew`` the file is not looked at, be it readable or not."""
    _run(data, stop=1)
    assert _run(data, anew=True).went_on == 0
    _kept(data).write_bytes(b"not a check")
    with pytest.raises(UnavailableError, match="not a check that was left") as refused:
        _run(data)
    assert "--anew" in refused.value.hint
    assert _run(data, anew=True).finding is None


def test_a_wrong_passphrase_is_to_be_put_right_before_any_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one, none, and the right one; a damaged file is put back as before."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    kek = root / "keys" / "kek"
    kek.write_bytes(
        Passphrase(lambda: b"correct horse", 2).seal(PlainFile().open(kek.read_bytes()))
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for words, first in (("another horse", "Give the passphrase"), (None, f"Set {FILE}")):
        if words is not None:
            monkeypatch.setenv(VARIABLE, words)
        finding = _run(root).finding
        assert finding is not None
        assert finding.do.startswith(f"First: {first}")
        assert "If that does not help: Put keys/kek back" in finding.do
        monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(VARIABLE, "correct horse")
    assert _run(root).finding is None
    kek.write_bytes(b"nothing\n")
    finding = _run(root).finding
    assert finding is not None
    assert finding.do.startswith("Put keys/kek back")


def test_a_log_that_is_another_one_meanwhile_is_named(data: Path, tmp_path: Path) -> None:
    """Put back from a copy of another time, or replaced: nothing is built on the old check."""
    _run(data, stop=1)
    other = tmp_path / "other"
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        whole.make(other)
    kept = msgspec.msgpack.decode(_kept(data).read_bytes(), type=Kept)
    file = tmp_path / "kept"
    file.write_bytes(msgspec.msgpack.encode(kept))
    with pytest.raises(UnavailableError, match="a check of another log"):
        _run(other, kept=file)
    same = msgspec.structs.replace(kept, vkey=(other / "log" / "log.vkey").read_text().strip())
    file.write_bytes(msgspec.msgpack.encode(same))
    found = _run(other, kept=file).finding
    assert found is not None
    assert found.object == "checkpoint"
    assert "no longer begins with the 256 leaves" in found.wrong
    assert file.exists(), "it is what shows that the log has changed"
    _kept(data).unlink()


def test_a_log_that_has_grown_is_checked_to_its_new_end(data: Path, tmp_path: Path) -> None:
    """The part that was checked is its beginning."""
    older, file = tmp_path / "older", tmp_path / "kept"
    shutil.copytree(data, older)
    reader_size = _run(older, stop=1, kept=file).size
    log = older / "log"
    shorter = max(log.glob("timestamps/*.checkpoint"))
    with whole.damaged(log / "checkpoint", shorter.read_bytes()):
        assert (found := _run(older, kept=file).finding) is not None
    assert "no longer begins" in found.wrong  # it has shrunk
    result = _run(older, kept=file)
    assert (result.finding, result.size, result.went_on) == (None, reader_size, 256)


def test_killed_it_goes_on_from_where_it_was_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check is kept now and then, not only when it is asked to stop."""
    monkeypatch.setattr(checking, "KEEP_SECONDS", 0.0)
    file = tmp_path / "kept"

    def told(stage: str, done: int, of: int) -> None:
        if stage == "leaves" and done == of:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Checking(data, None, told, deep=True, kept=file).run()
    assert _run(data, kept=file).went_on == tiles.WIDTH


def test_nowhere_to_keep_it_is_told(data: Path, tmp_path: Path) -> None:
    """Another file is named with ``--resume``."""
    with pytest.raises(UnavailableError, match="cannot be kept") as refused:
        _run(data, stop=1, kept=tmp_path / "no" / "such" / "place")
    assert "--resume" in refused.value.hint


def test_a_quick_check_keeps_nothing(data: Path) -> None:
    """It looks at the log alone, and at nothing that is sealed."""
    result = Checking(data, None, lambda *_: None, stop=lambda: True).run()
    assert (result.stopped, result.leaves) == (True, tiles.WIDTH)
    assert not _kept(data).exists()
    result = Checking(data, None, lambda *_: None).run()
    assert (result.finding, result.counts) == (None, {})


def test_a_system_that_starts_meanwhile_makes_the_result_void(data: Path) -> None:
    """The databases are read as if nobody wrote them, which was so when the check began."""
    wal = data / "state.db-wal"

    def told(stage: str, _: int, __: int) -> None:
        if stage == "leaves":
            wal.write_bytes(b"")

    segment = next(data.glob("vault/*/*/*/*.wraps"))
    content = segment.read_bytes()
    try:
        with (
            whole.damaged(segment, content[:-1]),
            pytest.raises(UnavailableError, match="was started while"),
        ):
            Checking(data, None, told, deep=True).run()
    finally:
        wal.unlink(missing_ok=True)
