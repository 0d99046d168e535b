"""The witness process: needs nothing of an installation but the public key of a log.

A plain witness needs nothing else. A monitor also reads the log, with a key of the role
``monitor``, and replays it before it cosigns; it watches one log, so that its key for one log is
never sent to another.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import uvicorn

from affidavit.app import witness_keys
from affidavit.app.listen import listen, split, url
from affidavit.app.ready import settle
from affidavit.app.witness_fetch import Remote
from affidavit.app.witness_http import WitnessApp
from affidavit.app.witness_keys import Keys
from affidavit.app.witness_replay import Follower
from affidavit.clock import Clock, SystemClock
from affidavit.durable import Disk, check_private
from affidavit.errors import ConfigError, ParseError, UsageError
from affidavit.ledger import witness
from affidavit.ledger.monitor import Monitor
from affidavit.ledger.monitor_state import MonitorState
from affidavit.ledger.note import COSIGNATURE, Verifier
from affidavit.ledger.policy import LogKey, parse_policy
from affidavit.ledger.witness_store import Witness

ADDRESS = "127.0.0.1:8789"
KEY_VARIABLE = "AFFIDAVIT_KEY"


class Options(NamedTuple):
    """What the command line says; see ``affidavit witness --help``."""

    data: Path
    listen: str
    name: str
    policy: Path | None
    logs: tuple[str, ...]
    monitor: bool
    post_quantum: bool
    key_file: Path | None
    ca_file: Path | None


def run(options: Options, *, as_json: bool) -> int:
    """Serve until SIGTERM; 0 after a clean end, 4 if the disk failed."""
    import uvloop

    logs = witness.logs_of(_log_keys(options))
    if not logs:
        raise UsageError("A witness needs the key of a log.", hint="--log VKEY or --policy FILE")
    disk, clock = Disk(), SystemClock()
    disk.make_dir(options.data)
    with disk.locked(options.data / "lock", "a witness"):
        keys = witness_keys.load_or_make(
            disk,
            options.data / "keys",
            name=options.name,
            monitor=options.monitor,
            post_quantum=options.post_quantum,
        )
        sock = listen(*split(options.listen), "witness", "listen")
        with contextlib.closing(sock):
            return uvloop.run(_serve(options, logs, keys, disk, clock, sock, as_json=as_json))


def _log_keys(options: Options) -> list[LogKey]:
    """The keys of logs that the command line or the policy names."""
    if (options.policy is None) == (not options.logs):
        raise UsageError("Give --log VKEY[@URL], or --policy FILE, and not both.")
    if options.policy is not None:
        try:
            return list(parse_policy(options.policy.read_text(encoding="utf-8")).logs)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{options.policy} could not be read.") from error
        except ParseError as error:
            raise ConfigError(f"{options.policy}: {error.message}") from error
    found = []
    for text in options.logs:
        vkey, at, rest = text.partition("@http")
        found.append(LogKey(Verifier.from_vkey(vkey), at[1:] + rest))
    return found


async def _serve(
    options: Options,
    logs: dict[str, list[LogKey]],
    keys: Keys,
    disk: Disk,
    clock: Clock,
    sock: socket.socket,
    *,
    as_json: bool,
) -> int:
    async with _application(options, logs, keys, disk, clock) as (app, served):
        server = uvicorn.Server(_settings(app))
        loop = asyncio.get_running_loop()

        def stop() -> None:
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        serving = asyncio.create_task(server._serve([sock]))  # noqa: SLF001 - serve() takes the signals
        while not server.started and not serving.done():  # noqa: ASYNC110 - a plain flag
            await asyncio.sleep(0.01)
        settle()
        if server.started:
            _tell(keys, logs, url(sock), monitor=options.monitor, as_json=as_json)
        while not serving.done():
            await asyncio.wait([serving], timeout=0.1)
            if served.failure is not None:
                stop()
        await serving
        if served.failure is not None:
            sys.stderr.write(f"witness: the disk has failed: {served.failure.strerror}\n")
            return 4
    return 0


@contextlib.asynccontextmanager
async def _application(
    options: Options, logs: dict[str, list[LogKey]], keys: Keys, disk: Disk, clock: Clock
) -> AsyncIterator[tuple[WitnessApp, Witness]]:
    """The application and what is behind it, closed in the right order."""
    async with contextlib.AsyncExitStack() as stack:
        monitor = follower = None
        if options.monitor:
            origin, remote = _remote(options, logs)
            stack.callback(remote.close)
            path = options.data / "replay" / f"{witness.path_name(origin)}.db"
            state = MonitorState(disk, path, keys.replay, origin)
            monitor = Monitor(state, remote.get, clock)
            follower = Follower(monitor)
            stack.push_async_callback(follower.close)
            stack.callback(remote.stop)
        vouch = None if monitor is None else monitor.vouches
        served = Witness(disk, options.data, logs, keys.cosigners, clock, vouch)
        app = WitnessApp(served, logs, clock, follower)
        stack.callback(app.close)
        yield app, served


def _remote(options: Options, logs: dict[str, list[LogKey]]) -> tuple[str, Remote]:
    """The one log that a monitor reads, and the way there."""
    if len(logs) != 1:
        raise UsageError("A monitor watches one log.", hint="Run one monitor for each.")
    ((origin, known),) = logs.items()
    place = next((key.url for key in known if key.url), "")
    if not place:
        raise UsageError(
            "A monitor needs to know where the log is.", hint="--log VKEY@https://HOST/log"
        )
    if options.key_file is not None:
        check_private(options.key_file)
        key = options.key_file.read_text(encoding="utf-8").strip()
    else:
        key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise UsageError(
            "A monitor needs a key to read leaves and links.",
            hint=f"--key-file FILE or {KEY_VARIABLE}; affidavit keys create NAME --role monitor",
        )
    return origin, Remote(place.rstrip("/"), key, options.ca_file)


def _tell(
    keys: Keys, logs: dict[str, list[LogKey]], place: str, *, monitor: bool, as_json: bool
) -> None:
    """Say what is served, and what others write into their policies."""
    lines = []
    for cosigner in keys.cosigners:
        name = keys.name if cosigner.kind == COSIGNATURE else f"{keys.name}:ml-dsa-44"
        lines.append(f"witness {name} {cosigner.vkey} {place}")
        lines += [f"#monitor {name}"] if monitor else []
    if as_json:
        facts = {
            "witness": place,
            "name": keys.name,
            "monitor": monitor,
            "vkeys": [cosigner.vkey for cosigner in keys.cosigners],
            "policy": lines,
            "logs": sorted(logs),
            "pid": os.getpid(),
        }
        print(json.dumps(facts), flush=True)  # noqa: T201 - the one line of --json
        return
    kind = "monitor" if monitor else "witness"
    text = [
        f"The {kind} {keys.name} listens on {place} for {', '.join(sorted(logs))}.",
        "Into the policy of the log, and of everybody who is to believe this key:",
        "",
        *lines,
        "",
        "It needs a group or a quorum line, too; Ctrl-C stops this.",
    ]
    print("\n".join(text), flush=True)  # noqa: T201 - what a person started this for


def _settings(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type] # any ASGI application
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nobody is recognised by an address
        limit_concurrency=256,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
