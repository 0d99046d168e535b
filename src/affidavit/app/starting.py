"""Before a log is opened: whether anybody outside knows more of it than this directory.

Rules: nothing is signed before this is over, but for an empty tree where there is no log yet. A
witness that shows a note with more leaves than are here, or other ones, signed by this log itself,
and a copy that is ahead or of another history, refuse the start: the directory is an old one, or a
second one, and going on would fork the log. What a witness says without showing it is told, and
stands in the status, and does not: whoever took over one witness could stop every start. Nor does
what cannot be asked (a witness that does not answer, a place for copies that is not there). Not
here: what the directory itself shows, which the opening compares (``ledger.recover``).
"""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

from affidavit.app.cosigning import ask, askable
from affidavit.app.outbound import Outbound
from affidavit.app.paths import Paths
from affidavit.app.trouble import say
from affidavit.config import Config
from affidavit.errors import AffidavitError, CheckFailedError, CorruptError, NotFoundError
from affidavit.ledger import copies, cosign, note, publish
from affidavit.ledger.cosign import Witness
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.merkle import EMPTY_ROOT
from affidavit.ledger.policy import Policy
from affidavit.vault.keyring import Keyring

START_SECONDS = 4.0
"""How long a start waits for all witnesses together."""


def run(
    paths: Paths, config: Config, policy: Policy | None, signer: note.Signer, keyring: Keyring
) -> None:
    """Compare, as ``compare`` does, if there is anything to compare with."""
    if policy is None and config.anchors.copy_to is None:
        return

    async def asked() -> None:
        outbound = Outbound()
        try:
            own = own_keys(paths, policy, signer, keyring)
            await compare(paths, config, policy, signer, own, outbound)
        finally:
            outbound.close()

    asyncio.run(asked())


def own_keys(
    paths: Paths, policy: Policy | None, signer: note.Signer, keyring: Keyring
) -> list[note.Verifier]:
    """Every key that ever signed for this log, as far as anything here knows.

    A directory that was put back may not know of a rotation; ``keys.db`` and the policy may.
    """
    keys = [signer.verifier()]
    for number in itertools.count(1):
        name = f"log/seed/{number}"
        if not keyring.has_secret(name):
            break
        keys.append(note.Signer(signer.name, keyring.secret(name)).verifier())
    with contextlib.suppress(OSError, AffidavitError):
        keys += note.read_vkeys((paths.log / "log.vkey").read_text(encoding="utf-8"))
    keys += [] if policy is None else [key.verifier for key in policy.logs]
    known = {key.vkey: key for key in keys if key.name == signer.name}
    return list(known.values())


async def compare(
    paths: Paths,
    config: Config,
    policy: Policy | None,
    signer: note.Signer,
    own: Sequence[note.Verifier],
    outbound: Outbound,
) -> None:
    """``CorruptError`` if somebody outside knows another or a longer history of this log."""
    reader, size, data = _newest(paths, signer)
    directory = config.anchors.copy_to
    if directory is not None:
        try:
            copies.compare(directory, signer.name, reader, size)
        except CorruptError:
            raise
        except AffidavitError as error:
            say(f"{error.message} The log starts without that.")
    witnesses = [Witness(key) for key in askable(policy)]
    asking = (_compare(witness, data, reader, own, outbound) for witness in witnesses)
    refusals = await asyncio.gather(*asking, return_exceptions=True)
    for refusal in refusals:
        if isinstance(refusal, BaseException):
            raise refusal


def _newest(paths: Paths, signer: note.Signer) -> tuple[LogReader, int, bytes]:
    """The newest note that was signed here; one of the empty tree if there is none."""
    reader = LogReader(paths.log, None, (publish.newest_head(paths.log),))
    try:
        return reader, reader.checkpoint().size, reader.checkpoint_bytes()
    except NotFoundError:
        empty = note.Checkpoint(signer.name, 0, EMPTY_ROOT)
        return reader, 0, note.sign_checkpoint(empty, [signer])


async def _compare(
    witness: Witness,
    data: bytes,
    reader: LogReader,
    own: Sequence[note.Verifier],
    outbound: Outbound,
) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            await ask(witness, data, reader, outbound.post)
    except CheckFailedError as error:
        said = error.message
        if error.detail.get("reason") in {"ahead", "fork"}:
            await _shown(witness, data, reader, own, outbound)
            said += " It shows no checkpoint that proves it."
    except TimeoutError:
        said = f"The witness {witness.name} does not answer."
    except AffidavitError as error:
        said = f"Witness {witness.name}: {error.message}"
    except Exception as error:  # noqa: BLE001 - nothing a witness sends prevents a start
        said = f"The witness {witness.name}: {type(error).__name__}."
    else:
        return
    say(f"{said} The log starts without it.")


async def _shown(
    witness: Witness,
    data: bytes,
    reader: LogReader,
    own: Sequence[note.Verifier],
    outbound: Outbound,
) -> None:
    """``CorruptError`` if the witness shows what this log signed and is not here."""
    here = note.open_checkpoint(data, None)
    try:
        answer = await outbound.get(witness.head_url(here.origin), START_SECONDS)
    except AffidavitError:
        return
    against = cosign.contradiction(witness.name, answer.body, own, here.size, reader.root)
    if against is not None:
        raise against
