"""Reading threads: nobody has all of them."""

import asyncio
import threading

from affidavit.console.services import working_for
from tests.world.machine import Machine


def test_who_asks_much_waits_for_its_own_questions_alone(machine: Machine) -> None:
    """However many slow questions one key asks at once, another's is answered meanwhile."""
    services = machine.services()
    free, going_on = threading.Event(), threading.Semaphore(0)
    answered: list[str] = []

    def slow() -> str:
        going_on.release()
        assert free.wait(20)
        return "slow"

    async def asked(account: str, work: object) -> str:
        working_for.set(account)
        assert callable(work)
        answer: str = await services.blocking(work)
        return answer

    async def story() -> None:
        many = [asyncio.create_task(asked("key_a", slow)) for _ in range(8)]
        for _ in range(2):
            assert await asyncio.to_thread(going_on.acquire, timeout=10)
        for one in many[:3]:  # who asked leaves; what runs for it runs on
            one.cancel()
        try:
            async with asyncio.timeout(10):
                assert await asked("key_b", lambda: "quick") == "quick"
                assert await asked("", lambda: "public") == "public"
        finally:
            free.set()
        answered.extend(await asyncio.gather(*many[3:]))

    asyncio.run(story())
    assert answered == ["slow"] * 5
    for _ in answered:
        assert going_on.acquire(blocking=False)
    assert not going_on.acquire(blocking=False), "what nobody waits for any more never began"
