"""Starts, watches, replaces and drains the processes of one machine.

Rules: the sequencer starts first and stops last; a child that ends is started again, at once the
first time and then with a growing pause (up to 2 s), because callers wait; children die with
their supervisor (``app.__main__`` asks the kernel for it); a signal drains: gateways, then the
console, then the sequencer, which by then has sequenced everything. A second signal kills.
Not here: what the children do and what is printed.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

_HELD = frozenset({signal.SIGTERM, signal.SIGINT})

PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Seconds before the first, second, … restart; one that lived a minute counts from the start."""


class Child:
    """One process slot: what runs in it is replaced when it ends, once it has ``served``.

    Before that, what stopped it would stop its successor: it is said once and not tried again.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], fds: Sequence[int], environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self.arguments = list(arguments)
        self.fds = tuple(fds)
        self.environ = dict(environ)
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.served = True

    def command(self) -> list[str]:
        """What to run."""
        return [sys.executable, "-m", "affidavit.app", *self.arguments]

    async def start(self) -> None:
        """Start it; its messages go where ours go.

        It begins with SIGTERM blocked, so that one sent before it listens waits for it. Children
        start side by side, so the mask is not put back to what it was: one of them would find the
        other's, and this process would never hear a signal again. The fork comes before anything
        is awaited.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        try:
            self.process = await asyncio.create_subprocess_exec(
                *self.command(),
                pass_fds=self.fds,
                env=self.environ,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)

    def send(self, number: int) -> None:
        """Send a signal if it still runs.

        Not ``Popen.send_signal``, which waits for the process behind the event loop's back: an
        exit in that instant would be lost and reported as 255.
        """
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Supervisor:
    """Children in the order of their start; ``stopping`` is set by the first signal."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self.stopping = asyncio.Event()
        self._report = report
        self._watchers: dict[str, asyncio.Task[None]] = {}

    async def add(self, child: Child) -> None:
        """Start a child and keep it running until ``drain``."""
        self.children.append(child)
        await child.start()
        self._watchers[child.name] = asyncio.create_task(self._watch(child))

    def catch_signals(self) -> None:
        """SIGTERM and SIGINT drain; the second one kills everything at once."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signal)

    def _signal(self) -> None:
        if self.stopping.is_set():
            for child in self.children:
                child.send(signal.SIGKILL)
        self.stopping.set()

    async def _watch(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            assert child.process is not None
            began = loop.time()
            code = await child.process.wait()
            if self.stopping.is_set() or not child.served:
                return
            failures = 0 if loop.time() - began > 60 else failures
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            child.restarts += 1
            self._report(f"{child.name} ended ({_how(code)}); it is started again.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause or 0.001)
            if self.stopping.is_set():
                return
            await child.start()

    async def drain(self, groups: Sequence[Sequence[str]], last: str, within: float) -> bool:
        """Stop the named groups one after the other, and ``last`` when it has done its work.

        ``False`` if something had to be killed or ``last`` failed. ``within`` is seconds per
        group. Children not named are stopped at the end.
        """
        self.stopping.set()
        named = [name for group in groups for name in group]
        rest = [c.name for c in self.children if c.name not in {*named, last}]
        clean = True
        for group in groups:
            clean &= await self._stop(group, within)
        clean &= await self._finish(last, within)
        clean &= await self._stop(rest, within)
        for task in self._watchers.values():
            task.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        return clean

    async def _stop(self, names: Sequence[str], within: float) -> bool:
        members = [
            child
            for child in self.children
            if child.name in names and child.process and child.process.returncode is None
        ]
        for child in members:
            child.send(signal.SIGTERM)
        codes = await asyncio.gather(*(self._wait(child, within) for child in members))
        return all(code in {0, -signal.SIGTERM} for code in codes)

    async def _finish(self, name: str, within: float) -> bool:
        """Stop a child that has work left: if it is down just now, it is started to do it."""
        for child in self.children:
            if child.name != name or child.process is None:
                continue
            if not child.served:
                return await self._stop([name], within)
            for _ in range(3):
                if child.process.returncode is not None and child.process.returncode != 0:
                    await child.start()
                child.send(signal.SIGTERM)
                code = await self._wait(child, within)
                if code is None or code == 0:
                    return code == 0
            self._report(f"{name} did not finish; the next start goes on with it.")
            return False
        return True

    async def _wait(self, child: Child, within: float) -> int | None:
        """Its exit code; ``None`` if it had to be killed."""
        assert child.process is not None
        try:
            return await asyncio.wait_for(child.process.wait(), within)
        except TimeoutError:
            self._report(f"{child.name} did not end within {within:.0f} s and was killed.")
            child.send(signal.SIGKILL)
            await child.process.wait()
            return None


def environment(without: Sequence[str] = ()) -> dict[str, str]:
    """This process's environment, less the variables a child has no business with."""
    return {name: value for name, value in os.environ.items() if name not in without}


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"exit code {code}"
