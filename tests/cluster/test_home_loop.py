"""A client or system that another event loop uses: refused at once, and unharmed by it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from casty import ClusterClient, ClusteredActorSystem
from casty.errors import NotStarted
from casty.home_loop import HomeLoop
from sim import World

Gateway = ClusterClient | ClusteredActorSystem

BOTH: list[Callable[[Any], Awaitable[object]]] = [
    lambda gateway: gateway.ask(None, lambda reply: reply),
    lambda gateway: gateway.entity_ask(None, lambda reply: reply, timeout=1.0),
    lambda gateway: gateway.__aexit__(None, None, None),
]
OF_CLIENT = [lambda client: client.ready(), *BOTH]
OF_SYSTEM = [
    lambda system: system.get_cluster_state(),
    lambda system: system.wait_for(1),
    lambda system: system.barrier("b", 1),
    lambda system: system.shutdown(),
    lambda system: system.abort(),
    *BOTH,
]


THREAD = ThreadPoolExecutor(1)


@pytest.fixture(autouse=True)
def _thread() -> None:
    THREAD.submit(int).result()  # a simulated world lets no thread start


def elsewhere(call: Callable[[], Awaitable[object]]) -> None:
    """Make the call in another loop, of another thread; it has to be refused there."""

    async def refused() -> None:
        with pytest.raises(
            NotStarted, match=r"entered in another event loop, which is still running, and.*asyncio\.run"
        ):
            async with asyncio.timeout(5):
                await call()

    THREAD.submit(lambda: asyncio.run(refused())).result()


def check_structures(gateway: Gateway) -> Callable[[], Awaitable[None]]:
    d = gateway.distributed()
    counter, lock, barrier = d.counter("c"), d.lock("l"), d.barrier("b", node_id="n")
    jobs = d.queue[str]("q")

    async def check() -> None:
        for call in (counter.increment, counter.get, lock.acquire, lock.try_acquire, jobs.dequeue):
            elsewhere(call)
        elsewhere(lambda: barrier.arrive(1))
        assert await counter.increment() >= 1
        await lock.acquire()
        elsewhere(lock.acquire)
        elsewhere(lock.release)
        elsewhere(lock.wait_lost)
        assert lock.held
        assert await lock.release()

    return check


def test_every_call_from_another_loop_is_refused() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1)
        for use in OF_SYSTEM:
            elsewhere(lambda use=use: use(node))
        await check_structures(node)()
        async with ClusterClient(contact_points=[("node-1", 25520)], system_name="sim") as client:
            await client.ready()
            for use in OF_CLIENT:
                elsewhere(lambda use=use: use(client))
            await check_structures(client)()

    with World(1) as world:
        world.run(main(world), limit_s=300.0)
        assert world.errors == []


def test_what_needs_no_loop_works_without_one_and_a_closed_one_is_named() -> None:
    home = HomeLoop("client")
    home.check()

    async def enter() -> None:
        home.enter()
        home.check()

    async def check() -> None:
        home.check()

    asyncio.run(enter())
    home.check()
    with pytest.raises(
        NotStarted, match="the client was entered in another event loop, which is closed since"
    ):
        asyncio.run(check())
