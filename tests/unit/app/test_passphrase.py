"""Where a passphrase comes from: descriptor, file, environment, terminal; nowhere else."""

import getpass
import os
import sys
from pathlib import Path

import pytest

from affidavit.app import passphrase
from affidavit.app.passphrase import DESCRIPTOR, FILE, VARIABLE, Passphrases, given, in_memory
from affidavit.errors import UnavailableError, UsageError


def test_the_first_of_descriptor_file_and_environment_counts(tmp_path: Path) -> None:
    """Each without one line end; a pipe and a file in memory, which is read more than once."""
    file = tmp_path / "p"
    file.write_bytes(b"from a file\r\n")
    file.chmod(0o600)
    environ = {VARIABLE: "from the environment", FILE: str(file)}
    assert given({}) is None
    assert given({VARIABLE: "from the environment"}) == b"from the environment"
    assert given(environ) == b"from a file"
    fd = in_memory(b"in memory")
    assert [given(environ | {DESCRIPTOR: str(fd)}) for _ in range(2)] == [b"in memory"] * 2
    os.close(fd)
    reading, writing = os.pipe()
    os.write(writing, b"by a pipe\n")
    os.close(writing)
    assert given({DESCRIPTOR: str(reading)}) == b"by a pipe"
    os.close(reading)


def test_what_is_no_passphrase_is_a_sentence(tmp_path: Path) -> None:
    """Missing, open to others, empty, endless; nothing of it is in the message."""
    file = tmp_path / "p"
    for environ in ({FILE: str(file)}, {DESCRIPTOR: "999999"}, {DESCRIPTOR: "x"}, {VARIABLE: ""}):
        with pytest.raises(UnavailableError):
            given(environ)
    file.write_bytes(b"secret words")
    file.chmod(0o644)
    with pytest.raises(UnavailableError, match=rf"file of {FILE} .* 0644") as open_to_all:
        given({FILE: str(file)})
    assert open_to_all.value.hint == f"chmod 600 {file}"
    with pytest.raises(UnavailableError, match="far too long") as caught:
        given({VARIABLE: "x" * 5000})
    assert "xxx" not in str(caught.value)


def test_who_sits_at_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, or twice for a new key; without a terminal a sentence says what to set."""
    for name in passphrase.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(UnavailableError) as caught:
        Passphrases()()
    assert all(name in caught.value.hint for name in passphrase.VARIABLES)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answers = ["typed", "typed", "typed", "mistyped"]
    monkeypatch.setattr(getpass, "getpass", lambda _: answers.pop(0))
    once = Passphrases()
    assert once() == once() == b"typed"
    assert repr(once) == "<Passphrases>"
    answers.insert(0, "typed")
    assert Passphrases(twice=True)() == b"typed"
    with pytest.raises(UsageError, match="differ"):
        Passphrases(twice=True)()
