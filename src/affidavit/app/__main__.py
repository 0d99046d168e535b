"""Entry of the children that ``up`` starts: ``python -m affidavit.app gateway --data … --fd …``.

They ask the kernel to send them SIGTERM when their supervisor dies, so that a killed tree leaves
nobody behind who would hold the port or a lock.
"""

import argparse
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

import apsw

from affidavit import app, durable
from affidavit.app import early
from affidavit.errors import AffidavitError, UnavailableError

_PR_SET_PDEATHSIG = 1


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(4)


def _demo(fd: int) -> int:
    import uvicorn

    from affidavit.demo.provider import create_app

    settings = uvicorn.Config(create_app(), log_level="warning", server_header=False)
    uvicorn.Server(settings).run(sockets=[socket.socket(fileno=fd)])
    return 0


def main() -> int:
    """Run one process and return its exit code."""
    parser = argparse.ArgumentParser(prog="affidavit.app")
    parser.add_argument("process", choices=["sequencer", "gateway", "console", "demo"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--fd", type=int, default=-1)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    if options.process == "sequencer":
        early.remember()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    _die_with_parent(options.parent)
    try:
        if options.process == "sequencer":
            return app.run_sequencer(options.data, options.config)
        if options.process == "gateway":
            return app.run_gateway(options.data, options.config, None, options.fd)
        if options.process == "console":
            return app.run_console(options.data, options.config, None, options.fd)
        return _demo(options.fd)
    except AffidavitError as error:
        sys.stderr.write(f"{options.process}: {error.message} {error.hint}\n")
        return error.exit_code
    except (OSError, apsw.Error) as error:
        trouble = durable.disk_trouble(error)
        if trouble is None:
            raise
        sys.stderr.write(f"{options.process}: The disk does not do what is needed: {trouble}.\n")
        return UnavailableError.exit_code


if __name__ == "__main__":
    sys.exit(main())
