"""A real file system that is really full, where this machine lets a test make one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.paths import REPOSITORY, not_proven

_CHILD = """
import asyncio, contextlib, json, os, sys
from pathlib import Path
from affidavit.durable import Disk
from affidavit.errors import CannotRecordError
from tests.world.clock import FakeClock
from tests.world.journals import ended, numbers, open_writer, read, record

async def run(root):
    clock, kept, refused = FakeClock(), 0, 0
    writer = open_writer(root, Disk(), clock=clock, segment_bytes=32768)
    while not refused:
        try:
            kept = 1 + await writer.commit(record(b"x" * 2000), (b"x" * 2000,))
        except CannotRecordError as error:
            refused, message = 1, error.message
    final = writer.failure is not None
    (root / "ballast").unlink()
    clock.advance(1)
    for _ in range(5):
        kept = 1 + await writer.commit(record(), (b"{}",))
    await writer.close(ended())
    frames, reader = read(root / writer.incarnation)
    print(json.dumps({"message": message, "final": final, "kept": kept,
                      "read": numbers(frames), "tail": reader.tail_state}))

root = Path(sys.argv[1])
(root / "ballast").write_bytes(bytes(100_000))
asyncio.run(run(root))
"""


def test_a_full_file_system_refuses_and_recovers(tmp_path: Path) -> None:
    """On a tmpfs of 256 kB: refused with the kernel's own ENOSPC, and on when space returns."""
    unshare = shutil.which("unshare")
    if unshare is None:
        not_proven("ENOSPC from a real file system: there is no unshare")
    script = 'mount -t tmpfs -o size=256k tmpfs "$1" && shift && exec "$@"'
    arguments = [unshare, "-rm", "sh", "-c", script, "sh", str(tmp_path)]
    done = subprocess.run(
        [*arguments, sys.executable, "-c", _CHILD, str(tmp_path)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        not_proven(f"ENOSPC from a real file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "No space left" in told["message"]
    assert not told["final"]
    assert told["read"] == list(range(told["kept"] + 1))
    assert told["tail"] == "clean"
