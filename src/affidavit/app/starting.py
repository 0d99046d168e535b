"""Before a log is opened: whether anybody outside knows more of it than this directory.

Rules: nothing is signed before this is over, but for an empty tree where there is no log yet. A
witness that has seen more leaves than are here, or other ones, and a copy that is ahead or of
another history, refuse the start: the directory is an old one, or a second one, and going on would
fork the log. What cannot be asked (a witness that does not answer, a place for copies that is not
there) is told and does not. Not here: what the directory itself shows, which the opening compares
(``ledger.recover``).
"""

import asyncio

from affidavit.app.cosigning import ask, askable
from affidavit.app.outbound import Outbound, Post
from affidavit.app.paths import Paths
from affidavit.app.trouble import say
from affidavit.config import Config
from affidavit.errors import AffidavitError, CheckFailedError, CorruptError, NotFoundError
from affidavit.ledger import copies, note, publish
from affidavit.ledger.cosign import Witness
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.merkle import EMPTY_ROOT
from affidavit.ledger.policy import Policy

START_SECONDS = 4.0
"""How long a start waits for all witnesses together."""


def run(paths: Paths, config: Config, policy: Policy | None, signer: note.Signer) -> None:
    """Compare, as ``compare`` does, if there is anything to compare with."""
    if policy is None and config.anchors.copy_to is None:
        return

    async def asked() -> None:
        outbound = Outbound()
        try:
            await compare(paths, config, policy, signer, outbound.post)
        finally:
            outbound.close()

    asyncio.run(asked())


async def compare(
    paths: Paths, config: Config, policy: Policy | None, signer: note.Signer, post: Post
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
    asking = (_compare(witness, data, reader, post) for witness in witnesses)
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


async def _compare(witness: Witness, data: bytes, reader: LogReader, post: Post) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            await ask(witness, data, reader, post)
    except CheckFailedError as error:
        if error.detail.get("reason") in {"ahead", "fork"}:
            raise CorruptError(error.message, hint=error.hint) from error
        say(f"{error.message} The log starts without it.")
    except TimeoutError:
        say(f"The witness {witness.name} does not answer. The log starts without it.")
    except AffidavitError as error:
        say(f"Witness {witness.name}: {error.message} The log starts without it.")
    except Exception as error:  # noqa: BLE001 - nothing a witness sends prevents a start
        say(f"The witness {witness.name}: {type(error).__name__}. The log starts without it.")
