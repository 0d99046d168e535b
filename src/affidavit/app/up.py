"""``affidavit up``: everything on one machine, and what to do next.

Rules: listening sockets are bound here before anything starts, so a port in use is one sentence
and nothing half started; children get only the environment they need (providers' secrets go to
the gateways alone); "ready" is printed when every process has said so. A first start makes a
caller key, a demo one at every start, since keys are kept as digests only.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from affidavit import config as configuration
from affidavit.app import first_start, opening, origin, passphrase, running
from affidavit.app.aws_kms import CREDENTIALS
from affidavit.app.cosigning import load_policy
from affidavit.app.guide import guide
from affidavit.app.listen import listen, split, url
from affidavit.app.paths import Paths
from affidavit.app.ready import VARIABLE
from affidavit.app.stamping import trust_anchors
from affidavit.app.supervisor import Child, Supervisor, environment
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.errors import LockedError, UnavailableError
from affidavit.query import named
from affidavit.record.kek import Passphrase
from affidavit.strict_yaml import VARIABLE as VARIABLE_IN_TEXT

START_SECONDS = 60.0
END_SECONDS = 15.0
"""Beyond ``gateway.drain_seconds``: to write the outcomes of what was interrupted, and to end."""


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    sys.stderr.write(f"affidavit: {text}\n")


def up(
    data: Path | None,
    config_path: Path | None,
    gateway: str | None,
    console: str | None,
    workers: int | None,
    *,
    demo: bool,
    as_json: bool,
) -> int:
    """Start, watch and drain all processes; exit code 0 after a clean end, 4 otherwise."""
    default = "affidavit-demo" if demo else "affidavit-data"
    paths = Paths(data or Path(os.environ.get("AFFIDAVIT_DATA", default)))
    disk = Disk()
    first_start.check_root(paths)
    there = paths.root.exists()
    with contextlib.ExitStack() as held:
        _take(paths, disk, held)
        held.enter_context(first_start.whole_or_nothing(paths, disk, there=there))
        configured = config_path is not None
        if paths.initialised and not configured and not paths.config.exists():
            say(
                f"{paths.config} is not there (was --config given before?): the default is written."
            )
        asked = passphrase.Passphrases(twice=not paths.initialised)
        where = config_path or paths.config
        part = configuration.Config()
        if where.exists():
            part = configuration.load_part(where, os.environ, "keys", "log")
        file = opening.key_file(paths, asked, part)
        first = first_start.prepare(
            paths,
            disk,
            SystemClock(),
            demo=demo,
            configured=configured,
            file=file,
            kind=part.keys.kind,
        )
        machine = Machine(paths, config_path, gateway, console, workers, demo=demo)
        if file.kind == Passphrase.kind or passphrase.given(os.environ) is not None:
            machine.passphrase = passphrase.in_memory(asked())
        del file, asked  # this process needs no key from here on
        origin.settled(paths, disk, machine.config.log.origin, machine.config_path)
        first_start.check_space(paths.root, machine.workers + 2)  # console and sequencer write, too
        return asyncio.run(machine.run(first=first, as_json=as_json))


def _take(paths: Paths, disk: Disk, held: contextlib.ExitStack) -> None:
    """Make the directory ours until ``held`` ends."""
    try:
        disk.make_dir(paths.run)
        held.enter_context(disk.locked(paths.up_lock, "affidavit up"))
    except LockedError as error:
        raise LockedError(
            f"Affidavit already runs on {paths.root}: {error.message}",
            hint="Use it as it is, stop it, or give another directory with --data.",
        ) from error
    except OSError as error:
        raise first_start.refused(paths, error) from error


class Machine:
    """One run of ``up``: the sockets and the children."""

    def __init__(
        self,
        paths: Paths,
        config_path: Path | None,
        gateway: str | None,
        console: str | None,
        workers: int | None,
        *,
        demo: bool,
    ) -> None:
        self.paths = paths
        self.demo = demo
        self.config_path = (config_path or paths.config).absolute()
        self._demo_socket = _demo(paths) if demo else None
        if self._demo_socket is not None:
            os.environ["AFFIDAVIT_DEMO_URL"] = url(self._demo_socket)
            running.keep_demo(paths, Disk(), url(self._demo_socket))
        self.config = configuration.load(self.config_path, os.environ)
        named.check(self.config, str(self.config_path))
        trust_anchors(self.config, load_policy(self.config))  # a wrong file is one sentence here
        gateway_address = split(gateway) if gateway else _address(self.config.gateway)
        console_address = split(console) if console else _address(self.config.console)
        self.gateway_socket = listen(*gateway_address, "gateway")
        self.console_socket = listen(*console_address, "console")
        self.workers = workers or self.config.gateway.workers
        self.supervisor = Supervisor(say)
        self.passphrase = -1
        """A descriptor for those who read (``app.passphrase``); -1 for none."""

    async def run(self, *, first: bool, as_json: bool) -> int:
        """Start everything, print what to do next, wait for a signal, drain."""
        self.supervisor.catch_signals()
        for sentence in self._warnings():
            say(sentence)
        try:
            facts = await self._start(first=first)
            self._tell_running()
            if as_json:
                print(json.dumps(facts), flush=True)  # noqa: T201 - the one line of --json
            else:
                print(guide(facts, demo=self.demo, first=first), flush=True)  # noqa: T201
            if self.demo and first:
                self._make_traffic(facts)
            await self.supervisor.stopping.wait()
            say("Stopping; a second Ctrl-C does not wait.")
        except UnavailableError:
            if not self.supervisor.stopping.is_set():
                raise
            say("Stopped before everything had started.")
        finally:
            groups = [[f"gateway {n}" for n in range(1, self.workers + 1)], ["console"]]
            within = self.config.gateway.drain_seconds + END_SECONDS
            clean = await self.supervisor.drain(groups, "sequencer", within)
            running.clear(self.paths, Disk())
        return 0 if clean else 4

    def _tell_running(self) -> None:
        off = {name: p.off for name, p in self.config.providers.items() if p.off}
        demo = url(self._demo_socket) if self._demo_socket is not None else ""
        told = running.Running(os.getpid(), str(self.config_path), off, self.config.hash(), demo)
        running.write(self.paths, Disk(), told)

    def _warnings(self) -> list[str]:
        found = [
            f"{provider.off}, so the provider {name} is off."
            for name, provider in self.config.providers.items()
            if provider.off
        ]
        space = first_start.little_space(self.paths.root)
        return [*found, *([space] if space else [])]

    async def _start(self, *, first: bool) -> dict[str, Any]:
        """Start the children, in order; a new caller key is known before a gateway listens."""
        secrets = sorted(configuration.secret_variables(self.config_path))
        named = set(VARIABLE_IN_TEXT.findall(self.config_path.read_text(encoding="utf-8")))
        credentials = [name for name in CREDENTIALS if name not in named]
        open_environment = environment([*passphrase.VARIABLES, *credentials])
        closed = environment([*secrets, *passphrase.VARIABLES])
        reading = closed.copy()
        if self.passphrase >= 0:
            reading[passphrase.DESCRIPTOR] = str(self.passphrase)
        base = ["--data", str(self.paths.root), "--config", str(self.config_path)]
        base += ["--parent", str(os.getpid())]
        await self._add("sequencer", ["sequencer", *base], None, reading)
        if self._demo_socket is not None:
            await self._add("demo", ["demo", *base], self._demo_socket, closed, wait=False)
        facts = await self._facts(first=first)
        starting = [self._add("console", ["console", *base], self.console_socket, reading)]
        starting += [
            self._add(f"gateway {n}", ["gateway", *base], self.gateway_socket, open_environment)
            for n in range(1, self.workers + 1)
        ]
        await asyncio.gather(*starting)
        return facts

    async def _add(
        self,
        name: str,
        arguments: list[str],
        sock: socket.socket | None,
        environ: dict[str, str],
        *,
        wait: bool = True,
    ) -> None:
        """Start a child and wait until it says that it serves."""
        reading, writing = os.pipe()
        fds = [sock.fileno()] if sock is not None else []
        if sock is not None:
            arguments = [*arguments, "--fd", str(sock.fileno())]
        if passphrase.DESCRIPTOR in environ:
            fds.append(self.passphrase)
        child = Child(name, arguments, [*fds, writing], environ | {VARIABLE: str(writing)})
        try:
            await self.supervisor.add(child)
        finally:
            os.close(writing)
        child.fds, child.environ = tuple(fds), environ  # a successor has nobody waiting for it
        child.served = not wait
        ready = asyncio.create_task(_until_readable(reading))
        stopping = asyncio.create_task(self.supervisor.stopping.wait())
        try:
            if wait:
                await asyncio.wait(
                    [ready, stopping], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                told = ready.done() and ready.result()
                if not told and not self.supervisor.stopping.is_set():
                    raise UnavailableError(f"The {name} process did not start.")
                child.served = bool(told)
        finally:
            for task in (ready, stopping):
                task.cancel()
            await asyncio.gather(ready, stopping, return_exceptions=True)
            os.close(reading)

    async def _facts(self, *, first: bool) -> dict[str, Any]:
        link = ControlLink(self.paths.control_socket)
        caller_key = None
        if first or self.demo:
            asked = {
                "name": "demo app" if self.demo else "first caller",
                "tenant": "demo" if self.demo else "default",
                "team": "first",
            }
            for one in await link.call("keys.list", {}, within=30.0) if self.demo else ():
                if one["name"] == asked["name"] and one["revoked"] is None:  # of an earlier demo
                    await link.call("keys.revoke", {"id": one["id"]}, within=30.0)
                    say("The caller key of the last start is revoked; its successor is below.")
            caller_key = (await link.call("keys.create", asked, within=30.0))["token"]
        status = await link.call("status", {}, within=30.0)
        await link.close()
        return {
            "gateway": url(self.gateway_socket),
            "console": url(self.console_socket),
            "owner_key_file": str(self.paths.owner_key),
            "caller_key": caller_key,
            "vkey": status["log_vkey"],
            "pid": os.getpid(),
            "data": str(self.paths.root),
            "config": str(self.config_path),
            "anchor_advice": status["anchor_advice"],
        }

    def _make_traffic(self, facts: dict[str, Any]) -> None:
        """A little traffic, so that the first question has an answer."""
        from affidavit.demo.traffic import generate

        def run() -> None:
            with contextlib.suppress(OSError):
                generate(facts["gateway"], facts["caller_key"])

        threading.Thread(target=run, daemon=True).start()


async def _until_readable(fd: int) -> bool:
    """Wait for a byte (``True``) or the end of the pipe (``False``: the child is gone)."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(fd, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(fd)
    return os.read(fd, 1) == b"1"


def _address(section: Any) -> tuple[str, int]:
    return section.host, section.port


def _demo(paths: Paths) -> socket.socket:
    """Where the demo listened before, as a port is part of its configuration; else anywhere."""
    port = running.demo_url(paths).rpartition(":")[2]
    if port.isdecimal() and int(port) < 1 << 16:
        with contextlib.suppress(UnavailableError):  # somebody else has it now
            return listen("127.0.0.1", int(port), "demo provider")
    return listen("127.0.0.1", 0, "demo provider")
