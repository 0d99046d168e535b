"""What a witness has on record, and the one step in which it moves: check, persist, release.

Rules: for each log there is one file, the latest note that was cosigned, which proves itself: it
bears the witness's own signature, and size and root stand in it. A request is checked, its
cosignature made and the note written to disk under one lock per log, and only when it is durable
does the cosignature leave this module; so no two heads that leave contradict each other, however
requests run beside each other and wherever the process dies. A note on disk whose cosignature was
never released is harmless: the log asks again and is told the size. After a write that failed for
another reason than want of space nobody knows what is on disk, and nothing is cosigned until the
next start has read it. A witness does not start if a file is not what it should be. When a log has
signed two trees of one size, the second note is kept under ``conflicts/``: with the one on record
it proves that. Not here: the protocol's bytes (``witness``), HTTP, and the lock that keeps a second
process out (``app``). What cannot be seen here: that somebody put back an older directory.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from affidavit.clock import Clock, to_unix_us
from affidavit.durable import Disk, is_no_space
from affidavit.errors import AffidavitError, CorruptError
from affidavit.ledger import note, witness
from affidavit.ledger.witness import Answer, Head, Logs, Request

Vouch = Callable[[note.Checkpoint], bool]
"""Whether a checkpoint has been replayed whole; for a witness that is a monitor."""

_TMP = ".tmp"


class Witness:
    """A witness below ``root``, which no other process uses.

    ``cosigners``: its keys, that of type 04 first. With ``vouch`` a checkpoint that it does not
    vouch for is not cosigned. Any thread may call. ``failure`` is the error after which nothing is
    cosigned any more. ``CorruptError`` if a file is not a note that these keys cosigned.
    """

    def __init__(
        self,
        disk: Disk,
        root: Path,
        logs: Logs,
        cosigners: Sequence[note.Cosigner],
        clock: Clock,
        vouch: Vouch | None = None,
    ) -> None:
        self.failure: OSError | None = None
        self._disk = disk
        self._root = root
        self._heads_path = root / "heads"
        self._logs = logs
        self._cosigners = tuple(cosigners)
        self._clock = clock
        self._vouch = vouch
        disk.make_dir(self._heads_path)
        self._heads = self._load()
        self._locks = {origin: threading.Lock() for origin in logs}

    def _load(self) -> dict[str, Head]:
        own = [cosigner.verifier() for cosigner in self._cosigners]
        found = {}
        for path in sorted(self._heads_path.iterdir()):
            if path.name.endswith(_TMP):
                continue
            try:
                origin, head = witness.read_head(path.read_bytes(), own, self._logs)
            except AffidavitError as error:
                raise _corrupt(path, error.message) from error
            if path.name != witness.path_name(origin):
                raise _corrupt(path, "It is the note of another log.")
            found[origin] = head
        return found

    def head(self, origin: str) -> Head | None:
        """What is on record for a log."""
        return self._heads.get(origin)

    def latest(self, name: str) -> bytes | None:
        """The latest cosigned note of the log with that ``path_name``, ``None`` if there is none.

        Served below the monitoring prefix.
        """
        for origin, head in list(self._heads.items()):
            if witness.path_name(origin) == name:
                return head.note
        return None

    def check(self, request: Request) -> Answer | None:
        """Whether ``cosign`` would refuse now, and how; nothing changes."""
        return witness.check(request, self._heads.get(request.checkpoint.origin))

    def cosign(self, request: Request) -> Answer:
        """Check, persist, and give the cosignatures out: one step, whatever runs beside it.

        200, or what ``witness.check`` says; 503 if a monitor has not replayed the checkpoint, or
        the disk did not take the note.
        """
        checkpoint = request.checkpoint
        with self._locks[checkpoint.origin]:
            if self.failure is not None:
                return witness.refusal(503, "The disk of this witness has failed.")
            refused = self.check(request)
            if refused is not None:
                self._keep_conflict(request)
                return refused
            if self._vouch is not None and not self._vouch(checkpoint):
                return witness.refusal(503, "The leaves are not replayed yet.", retry=True)
            moment = to_unix_us(self._clock.now()) // 1_000_000
            answer, head = witness.cosign(request, self._cosigners, moment)
            trouble = self._persist(checkpoint.origin, head)
            return answer if trouble is None else trouble

    def _keep_conflict(self, request: Request) -> None:
        """If the log has signed another tree of the size on record, keep what proves it."""
        checkpoint = request.checkpoint
        head = self._heads.get(checkpoint.origin)
        if head is None or checkpoint.size != head.size or checkpoint.root == head.root:
            return
        name = f"{witness.path_name(checkpoint.origin)}-{head.size}"
        path = self._root / "conflicts" / name
        with contextlib.suppress(OSError):  # the refusal stands whether or not it is kept
            if not path.exists():
                self._disk.make_dir(path.parent)
                self._disk.write_file(path, request.note())

    def _persist(self, origin: str, head: Head) -> Answer | None:
        try:
            self._disk.write_file(self._heads_path / witness.path_name(origin), head.note)
        except OSError as error:
            if not is_no_space(error):
                self.failure = error
            return witness.refusal(503, "The disk does not take what was seen.", retry=True)
        self._heads[origin] = head
        return None


def _corrupt(path: Path, why: str) -> CorruptError:
    return CorruptError(
        f"heads/{path.name} is not what this witness wrote: {why}",
        hint="Was its key, its name or the file changed? A witness that forgets what it has "
        "cosigned vouches for nothing: begin anew in another directory, under another name.",
    )
