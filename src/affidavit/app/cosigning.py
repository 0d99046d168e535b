"""Asking the witnesses of the policy to cosign the newest note, again and again.

Rules: all that lack it are asked side by side, each within ``ASK_SECONDS``; one that fails rests.
Their lines are checked before they are used (``ledger.cosign``), their times, too (``seen``). What
was published with lines before this process keeps them. What has any is published as soon
as nobody else is waited for; where witnesses are required, as soon as the policy is satisfied and
not before, and again if more lines come. Not here: the protocol, and publishing (``ledger.log``).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from affidavit.app import seen
from affidavit.app.outbound import Post
from affidavit.app.trouble import Trouble
from affidavit.clock import Clock, from_unix_us
from affidavit.config import Config
from affidavit.errors import AffidavitError, ConfigError, UpstreamError
from affidavit.ledger import cosign, note, publish
from affidavit.ledger.cosign import Witness
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.policy import Policy, WitnessKey, parse_policy

ASK_SECONDS = 5.0
"""How long a witness may take for one answer."""
_TRIES = 3


class Cosigning:
    """The witnesses of ``policy`` for the log below ``root``.

    ``cosigned`` publishes a note with lines; what it raises ends a round.
    """

    def __init__(
        self,
        root: Path,
        policy: Policy | None,
        post: Post,
        cosigned: Callable[[bytes], Awaitable[None]],
        clock: Clock,
        *,
        require: bool,
    ) -> None:
        self._root = root
        self._policy = policy
        self._post = post
        self._cosigned = cosigned
        self._require = require
        self._reader = LogReader(root, None, publish.heads(require=require))
        self._witnesses = [Witness(key) for key in askable(policy)]
        self._troubles = {
            one.name: Trouble(clock, f"Witness {one.name}") for one in self._witnesses
        }
        self._text = ""
        self._lines: dict[str, str] = {}
        self._remember()

    def _remember(self) -> None:
        """Who had cosigned what before this process."""
        with contextlib.suppress(OSError, AffidavitError):
            data = (self._root / publish.COSIGNED).read_bytes()
            opened = note.open_note(data, [] if self._policy is None else self._policy.verifiers())
            size = note.parse_checkpoint(opened.text).size
            self._text = opened.text
            for witness in self._witnesses:
                line = witness.line_in(data)
                if line is not None:
                    witness.cosigned, self._lines[witness.vkey] = size, line

    def status(self) -> list[dict[str, Any]]:
        """Each witness: its name, leaves under the newest note it cosigned, when, its last error.

        ``time`` is by the witness's clock, ``None`` if it has not cosigned since the start.
        """
        return [
            {
                "name": witness.name,
                "size": witness.cosigned,
                "time": from_unix_us(witness.moment * 1_000_000) if witness.moment else None,
                "error": self._troubles[witness.name].error,
                "alarm": self._troubles[witness.name].alarm,
            }
            for witness in self._witnesses
        ]

    async def round(self) -> None:
        """Ask whoever lacks the newest note and does not rest; publish what comes of it."""
        if not self._witnesses:
            return
        try:
            data = self._reader.checkpoint_bytes()
            checkpoint = note.open_checkpoint(data, None)
        except AffidavitError:
            return  # nothing is signed yet
        if checkpoint.text() != self._text:
            self._text, self._lines = checkpoint.text(), {}
        waiting = {
            asyncio.create_task(self._line(witness, data))
            for witness in self._witnesses
            if witness.cosigned < checkpoint.size and not self._troubles[witness.name].rests
        }
        published = 0
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                self._lines.update(filter(None, (task.result() for task in done)))
                if len(self._lines) > published and self._enough(last=not waiting):
                    published = len(self._lines)
                    await self._cosigned(cosign.with_lines(data, self._lines))
        finally:
            for task in waiting:
                task.cancel()

    def _enough(self, *, last: bool) -> bool:
        """Whether to publish now, with nobody left to be waited for if ``last``."""
        if not self._require:
            return last
        return self._policy is not None and self._policy.satisfied(self._lines)

    async def _line(self, witness: Witness, data: bytes) -> tuple[str, str] | None:
        """The line of one witness, or ``None`` with its trouble noted."""
        trouble, before = self._troubles[witness.name], witness.cosigned
        try:
            line = await ask(witness, data, self._reader, self._post)
            if witness.cosigned:
                await self._in_time(witness)
        except Exception as error:  # noqa: BLE001 - nothing a witness sends ends the sequencer
            trouble.failed(error)
            witness.cosigned = before
            return None
        trouble.over()
        return witness.vkey, line

    async def _in_time(self, witness: Witness) -> None:
        time, who = from_unix_us(witness.moment * 1_000_000), f"The clock of {witness.name}"
        await asyncio.to_thread(seen.check, self._reader, witness.cosigned, time, who)


async def ask(witness: Witness, data: bytes, reader: LogReader, post: Post) -> str:
    """Ask a witness to cosign ``data``, again from where it says it is; its line.

    Errors as ``Witness.hear``, and ``UpstreamError`` if it cannot be reached in time.
    """
    for _ in range(_TRIES):
        body = await asyncio.to_thread(witness.ask, data, reader.consistency)
        answer = await post(witness.url, cosign.CONTENT_TYPE, body, ASK_SECONDS)
        line = witness.hear(answer.status, answer.body)
        if line is not None:
            return line
    raise UpstreamError(f"The witness {witness.name} keeps changing its mind.")


def askable(policy: Policy | None) -> list[WitnessKey]:
    """The witnesses that have an address."""
    return [] if policy is None else [key for key in policy.witnesses if key.url]


def load_policy(config: Config) -> Policy | None:
    """The policy in force; ``ConfigError`` if its file is not one, or names nobody to ask."""
    path = config.witnesses.policy
    if path is None:
        return None
    try:
        policy = parse_policy(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"witnesses.policy: {path} could not be read.") from error
    except AffidavitError as error:
        raise ConfigError(f"witnesses.policy: {path}: {error.message}") from error
    if not askable(policy):
        raise ConfigError(f"witnesses.policy: {path} names no witness with an address.")
    if config.witnesses.require and not policy.quorum:
        raise ConfigError(f"witnesses.require: {path} says quorum none, so nobody is required.")
    return policy
