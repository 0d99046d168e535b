"""Claims about one connection to a provider that calls do not show."""

import asyncio
from typing import Any

import uvloop

from affidavit.capture.egress import Origin
from affidavit.capture.upstream import Limits, Request, Upstream
from affidavit.capture.upstream_connection import HIGH_WATER
from affidavit.errors import UpstreamTimeoutError
from tests.world.upstream import SSE_HEAD, Do, chunk, whole
from tests.world.upstream import Upstream as Provider

GET = Request(b"GET", b"/", [], None)


def test_time_runs_only_while_somebody_waits() -> None:
    """A consumer that pauses longer than the idle limit is not the provider's fault."""

    async def work(url: str) -> list[bytes]:
        upstream = Upstream(Origin.parse(url), Limits(5, 0.6, 0.6))
        call = upstream.call(GET)
        await call.start()
        await asyncio.sleep(0.8)
        pieces = [await call.next()]
        await asyncio.sleep(0.8)
        while piece := await call.next():
            pieces.append(piece)
        call.close()
        upstream.close()
        return pieces

    with Provider([whole(b"abc")[:-1], 0.1, b"c"]) as provider:
        assert b"".join(uvloop.run(work(provider.url))) == b"abc"


def test_a_shorter_limit_after_a_longer_one_holds() -> None:
    """The one timer of a connection serves a long wait for the head and a short one after it."""

    async def work(url: str) -> float:
        upstream = Upstream(Origin.parse(url), Limits(5, 60, 0.2))
        call = upstream.call(GET)
        await call.start()
        await call.next()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await call.next()
        except UpstreamTimeoutError:
            return loop.time() - began
        finally:
            call.close()
            upstream.close()
        raise AssertionError("no limit")

    with Provider([SSE_HEAD + chunk(b"x"), Do.HOLD]) as provider:
        assert 0.15 < uvloop.run(work(provider.url)) < 30


def test_no_timer_outlives_its_connection() -> None:
    """A closed connection leaves nothing in the event loop."""

    async def work(url: str) -> Any:
        upstream = Upstream(Origin.parse(url), Limits(5, 60, 60))
        call = upstream.call(GET)
        await call.start()
        connection = call._connection
        await call.next()
        call.close()
        upstream.close()
        await asyncio.sleep(0.05)
        assert connection is not None
        return connection._timer

    with Provider([whole(b"abc")]) as provider:
        assert uvloop.run(work(provider.url)) is None


def test_the_high_water_mark_is_a_bound() -> None:
    """What one exchange holds for a consumer that does not fetch is a few reads at most."""
    assert HIGH_WATER <= 256 * 1024
