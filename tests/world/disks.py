"""Real small file systems, in a mount namespace of their own: nothing is left behind.

Where this machine does not let a test make one, the test says that it proved nothing.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.paths import not_proven

BALLAST = "ballast"


class Mounts:
    """A mount namespace that lives as long as ``hold``; ``prefix`` runs a command inside it."""

    def __init__(self, what: str, holder: subprocess.Popen[str], *, user: bool) -> None:
        self.what = what
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

    def ext4(self, path: Path, image: Path, size: int) -> None:
        """Put an empty ext4 in the file ``image`` at ``path``; skips where there is no loop."""
        if shutil.which("mkfs.ext4") is None:
            not_proven(f"{self.what}: there is no mkfs.ext4")
        path.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, timeout=60)
        command = [*self.prefix, "mount", "-o", "loop", str(image), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            not_proven(f"{self.what}: {done.stderr.strip()}")
        (self.inside(path) / "lost+found").rmdir()
        self.run("chmod", "700", str(path))

    def fill(self, path: Path) -> None:
        """Take all the space of the file system at ``path``, whoever else writes there."""
        with (self.inside(path) / BALLAST).open("ab", buffering=0) as file:
            for size in (16 << 20, 1 << 20, 64 << 10, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)

    def drain(self, path: Path) -> None:
        """Give the space back."""
        (self.inside(path) / BALLAST).unlink()


@contextlib.contextmanager
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
        yield Mounts(what, holder, user=user)
    finally:
        holder.kill()
        holder.wait(30)
        holder.stdout.close()
        holder.stderr.close()
