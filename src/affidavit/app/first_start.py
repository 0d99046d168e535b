"""What a first start makes: directories, the key-encryption key, the owner, the configuration.

Rules: the owner's key goes to ``keys/owner``, mode 0600, and is not printed; the key-encryption
key is made last but for the owner, so a start that was cut is begun again and finds nothing half
made; a directory that is there is never made again.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw

from affidavit import durable
from affidavit.app import opening, unfinished
from affidavit.app.paths import Paths
from affidavit.clock import Clock
from affidavit.control.store import IdentityStore
from affidavit.durable import Disk
from affidavit.errors import AffidavitError, LockedError, UnavailableError
from affidavit.ledger import staging
from affidavit.record.journal import SEGMENT_BYTES
from affidavit.record.kek import KeyFile
from affidavit.record.keys import LOST

LOW_SPACE = 1 << 30
"""Below this many free bytes a start says so."""

BASE_SPACE = 8 << 20
"""What databases and tiles of an empty installation take, with room to spare."""

DEFAULT_YAML = """\
# Affidavit. Every key has a default; an unknown key is refused with the nearest name.
# ${NAME} is taken from the environment. A provider whose secret is unset is off.
providers:
  openai:
    dialect: openai
    base_url: https://api.openai.com
    credential: inject              # replace the caller's key by this one; or: pass
    secret: ${OPENAI_API_KEY}
  anthropic:
    dialect: anthropic
    base_url: https://api.anthropic.com
    credential: inject
    secret: ${ANTHROPIC_API_KEY}
routes:
  default: {capture: full, unrecordable: refuse}
# Until somebody outside vouches for the log, every verdict says: own key only. See
# docs/operations.md, Anchors; any of these lines changes that:
# witnesses: {policy: /path/to/policy}
# timestamps: {url: "https://authority.example/tsr", ca_file: /path/to/its-root.pem}
# anchors: {copy_to: /mnt/another-disk}
"""

DEMO_YAML = """\
# The demo: its models are called demo-… and answers are not from a real provider.
providers:
  openai: {dialect: openai, base_url: "${AFFIDAVIT_DEMO_URL}", secret: demo}
  anthropic: {dialect: anthropic, base_url: "${AFFIDAVIT_DEMO_URL}", secret: demo}
# A real provider is one line more, for example:
#  real: {dialect: openai, base_url: https://api.openai.com, secret: "${OPENAI_API_KEY}"}
routes:
  default: {capture: full, unrecordable: refuse}
"""


@contextlib.contextmanager
def whole_or_nothing(paths: Paths, disk: Disk, *, there: bool) -> Iterator[None]:
    """After an error, a directory that was not ``there`` is gone, unless it has its key by then."""
    try:
        yield
    except AffidavitError:
        if not there and not paths.initialised:
            disk.remove_tree(paths.root)
        raise


def check_root(paths: Paths) -> None:
    """``UnavailableError`` if there is something else in the place of a data directory."""
    hint = "Choose an empty or new directory with --data."
    try:
        if paths.key_lost:
            raise UnavailableError(
                f"The key-encryption key of {paths.root} is lost: keys/kek is not there.", hint=LOST
            )
        opening.refuse_drill(paths)
        if paths.root.exists() and not paths.root.is_dir():
            raise UnavailableError(f"{paths.root} is a file, not a directory.", hint=hint)
        if paths.root.exists() and not paths.initialised and _foreign(paths.root):
            raise UnavailableError(
                f"{paths.root} holds other files, so nothing was put there.", hint=hint
            )
        if not paths.initialised:
            unfinished.refuse(paths.root)
    except OSError as error:
        raise refused(paths, error) from error


def prepare(
    paths: Paths,
    disk: Disk,
    clock: Clock,
    *,
    demo: bool,
    configured: bool,
    file: KeyFile | None = None,
    kind: str = "file",
) -> bool:
    """Make what is missing; ``True`` if this was the first start.

    ``configured``: the configuration is elsewhere, so none is written here. ``file``: what this
    process has of the key-encryption key; ``kind``: how a new one is kept. ``UnavailableError`` if
    the directory cannot be written or holds something else; errors of the key's source.
    """
    file = file or opening.key_file(paths)
    check_root(paths)
    try:
        paths.create(disk)
        if not configured and not paths.config.exists():
            disk.write_file(paths.config, (DEMO_YAML if demo else DEFAULT_YAML).encode())
        first = not paths.initialised
        if first:
            file.create(disk, kind)
        _owner(paths, disk, clock, file, "demo" if demo else "default")
    except (OSError, apsw.Error) as error:
        raise refused(paths, error) from error
    durable.check_private(paths.key_encryption_key)
    return first


def refused(paths: Paths, error: Exception) -> UnavailableError:
    """The error for a directory that the disk does not let us prepare."""
    return UnavailableError(
        f"{paths.root} could not be prepared: {durable.disk_trouble(error) or error}.",
        hint="Is the disk full or the directory read-only?",
    )


def check_space(path: Path, writers: int) -> None:
    """``UnavailableError`` unless so many journals and the ledger's staging file have room."""
    needed = writers * SEGMENT_BYTES + staging.FILE_BYTES + BASE_SPACE
    free = shutil.disk_usage(path).free
    if free < needed:
        raise UnavailableError(
            f"Only {free >> 20} MiB are free at {path}; a start takes {needed >> 20} MiB.",
            hint="Free disk space, or choose another directory with --data.",
        )


def little_space(path: Path) -> str | None:
    """A sentence if the disk is nearly full."""
    free = shutil.disk_usage(path).free
    if free >= LOW_SPACE:
        return None
    return f"Only {free >> 20} MiB are free here; recording refuses when the disk is full."


def _owner(paths: Paths, disk: Disk, clock: Clock, file: KeyFile, name: str) -> None:
    """Make the owner unless there is one; the key file is written before the identity counts."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(disk.locked(paths.sequencer_lock, "first start"))
            keyring = opening.owner(paths, disk, clock, file)
        except LockedError:  # a predecessor that still drains has opened everything
            keyring = opening.keyring(paths, clock, file)
        held.callback(keyring.close)
        state = durable.open_database(paths.state, keyring.database_key("state.db"))
        held.callback(state.close)
        store = IdentityStore(state, clock)
        if any(identity.role == "owner" for identity in store.all()):
            return
        identity, token = store.draft(tenant=name, name="owner", kind="person", role="owner")
        disk.write_file(paths.owner_key, (token + "\n").encode())
        store.put(identity)


def _foreign(root: Path) -> bool:
    known = {"config.yaml", "log", "vault", "journal", "keys", "run", "config.yaml.tmp"}
    return any(entry.name not in known for entry in root.iterdir())
