"""Real small file systems, in a mount namespace of their own: nothing is left behind.

Where this machine does not let a test make one, the test says that it proved nothing.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.paths import not_proven

BALLAST = "ballast"


class Mounts:
    """A mount namespace that lives as long as ``hold``; ``prefix`` runs a command inside it."""

    def __init__(self, holder: subprocess.Popen[str], user: bool) -> None:
        self._holder = holder
        entered = ["-U", "--preserve-credentials"] if user else []
        self.prefix = ["nsenter", "-t", str(holder.pid), "-m", *entered, "--"]

    def inside(self, path: Path) -> Path:
        """The path by which this process reaches what ``path`` is in the namespace."""
        return Path(f"/proc/{self._holder.pid}/root{path.absolute()}")

    def run(self, *command: str) -> str:
        """Run a command inside and return its standard output; it must succeed."""
        done = subprocess.run(
            [*self.prefix, *command], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def small(self, path: Path, size: int) -> None:
        """Put an empty tmpfs of ``size`` bytes at ``path``."""
        path.mkdir(parents=True, exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path))

    def fill(self, path: Path, *, leave: int = 0) -> None:
        """Take all the space on the file system at ``path`` but for ``leave`` bytes."""
        where = self.inside(path) / BALLAST
        state = os.statvfs(where.parent)
        size = max(state.f_bavail * state.f_frsize - leave, 0)
        with where.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), size)
            while not leave:  # another process may have given space back meanwhile
                try:
                    file.write(bytes(4096))
                    file.flush()
                except OSError:
                    break

    def drain(self, path: Path) -> None:
        """Give the space back."""
        (self.inside(path) / BALLAST).unlink()


@contextmanager
def mounts(what: str) -> Iterator[Mounts]:
    """A namespace to mount in; without one, ``what`` is not proven and the test is skipped."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        not_proven(f"{what}: there is no unshare or nsenter")
    user = os.geteuid() != 0
    script = "mount -t tmpfs none /mnt && umount /mnt && echo ready && exec sleep 3600"
    holder = subprocess.Popen(
        ["unshare", "-rm" if user else "-m", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stderr is not None
    try:
        if holder.stdout.readline() != "ready\n":
            not_proven(f"{what}: {holder.stderr.read().strip()}")
        yield Mounts(holder, user)
    finally:
        holder.kill()
        holder.wait(30)
        holder.stdout.close()
        holder.stderr.close()
