"""The composition root: the only place that builds real objects and starts processes.

One function per process of the design (``run_up`` starts them all), each taking a data directory
and returning an exit code. May import every stage; nothing but ``cli`` imports it. Must not hold
rules of its own about records, proofs or queries.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.app import memory

if TYPE_CHECKING:
    from affidavit.app.checking import Result, Told
    from affidavit.ledger.note import Verifier


def run_up(
    data: Path | None,
    config: Path | None,
    gateway: str | None,
    console: str | None,
    workers: int | None,
    *,
    demo: bool,
    as_json: bool,
) -> int:
    """Run everything on this machine until a signal; prints what to do next. Exit code."""
    from affidavit.app.up import up as run

    memory.seal()
    return run(data, config, gateway, console, workers, demo=demo, as_json=as_json)


def run_gateway(data: Path, config: Path | None, listen: str | None, fd: int = -1) -> int:
    """Run one gateway worker, on an address of its own or an inherited listening socket."""
    from affidavit.app.gateway import run

    memory.seal()
    return run(data, config, listen, fd)


def run_sequencer(data: Path, config: Path | None) -> int:
    """Run the sequencer of a data directory."""
    from affidavit.app.sequencing import run

    memory.seal()
    return run(data, config)


def run_console(data: Path, config: Path | None, listen: str | None, fd: int = -1) -> int:
    """Run the console, on an address of its own or an inherited listening socket."""
    from affidavit.app.console import run

    memory.seal()
    return run(data, config, listen, fd)


def witness(
    data: Path,
    listen: str,
    *,
    name: str,
    policy: Path | None,
    logs: tuple[str, ...],
    monitor: bool,
    post_quantum: bool,
    key_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> int:
    """Run a witness or a monitor, which needs nothing else of an installation."""
    from affidavit.app.witnessing import Options, run

    memory.seal()
    options = Options(data, listen, name, policy, logs, monitor, post_quantum, key_file, ca_file)
    return run(options, as_json=as_json)


def rebuild_index(data: Path, into: Path | None) -> int:
    """Build the index anew from ledger and vault alone; returns the number of records.

    Without ``into``, the index of the data directory itself is replaced; ``LockedError`` if a
    sequencer is running there.
    """
    from affidavit.app.rebuild import run

    memory.seal()
    return run(data, into)


def fsck(
    data: Path,
    vkeys: "Sequence[Verifier] | None",
    told: "Told",
    stop: Callable[[], bool],
    *,
    deep: bool,
    policy: Path | None,
    keys: bool,
    kept: Path | None,
    anew: bool,
) -> "Result":
    """Check what is on disk (``app.checking``); changes nothing of the data.

    ``vkeys``: the log's keys from outside, ``None`` to use those beside it; ``policy``: a file
    with the keys of witnesses and timestamp authorities.
    """
    from affidavit.app.checking import run

    memory.seal()
    return run(data, vkeys, told, stop, deep=deep, policy=policy, keys=keys, kept=kept, anew=anew)
