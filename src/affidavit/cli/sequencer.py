"""How commands reach the sequencer of a data directory: by its socket, which answers its owner."""

import asyncio
from pathlib import Path
from typing import Any

from affidavit.cli import options
from affidavit.errors import UnavailableError

WITHIN = 30.0
"""Seconds after which the sequencer is given up."""


def call(
    data: Path | None, method: str, params: dict[str, Any], within: float = WITHIN
) -> dict[str, Any]:
    """Ask the sequencer of a data directory; ``UnavailableError`` if it does not answer."""
    from affidavit.app.paths import Paths
    from affidavit.control.link import ControlLink

    directory = options.data_directory(data)
    socket = Paths(directory).control_socket
    if not socket.exists():
        raise UnavailableError(
            f"The sequencer does not answer: nothing runs on {directory}.",
            hint=f"affidavit doctor --data {directory}; another directory: --data DIR.",
        )

    async def ask() -> dict[str, Any]:
        link = ControlLink(socket)
        try:
            answer: dict[str, Any] = await link.call(method, params, within=within)
        finally:
            await link.close()
        return answer

    return asyncio.run(ask())
