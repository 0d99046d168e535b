"""The ledger's name: made once, kept beside the ledger, never taken from elsewhere afterwards.

Rules: ``log/origin`` holds it, written durably before the first checkpoint is signed under it; a
ledger that is older than that file is named in ``log/log.vkey``. A configuration may choose the
name at the first start; later it may repeat it and not change it, because a ledger under another
name is another ledger to whoever checks it. Not here: keys and signatures (``ledger.note``).
"""

from pathlib import Path

from affidavit import ids
from affidavit.app.paths import Paths
from affidavit.durable import Disk
from affidavit.errors import ConfigError
from affidavit.ledger.note import Verifier

FILE = "origin"


def settled(paths: Paths, disk: Disk, configured: str, file: Path) -> str:
    """The origin of the ledger in ``paths``, made now if there is none.

    ``configured`` is ``log.origin`` of the configuration in ``file``, ``""`` if it has none;
    ``ConfigError`` if the ledger has another name.
    """
    kept = _kept(paths)
    if not kept:
        kept = configured or f"affidavit/{ids.pseudonym('')[:12]}"
        disk.write_file(paths.log / FILE, f"{kept}\n".encode())
    if configured not in ("", kept):
        raise ConfigError(
            f"The ledger in {paths.root} is named {kept}; {file} names it {configured}.",
            hint="Take log.origin out of that file, or give with --config the file that belongs to "
            "this ledger, or another directory with --data.",
        )
    return kept


def _kept(paths: Paths) -> str:
    file, vkey = paths.log / FILE, paths.log / "log.vkey"
    if file.is_file():
        return file.read_text(encoding="utf-8").strip()
    if not vkey.is_file():
        return ""
    first = vkey.read_text(encoding="ascii").split("\n", 1)[0]
    return Verifier.from_vkey(first.strip()).name
