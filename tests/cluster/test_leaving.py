"""Leaving a client or a system, cancelled at any step, once, again, or for ever: nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings
from casty.errors import CastyError
from sim import World
from sim.world.clusters import CLUSTER_NAME
from sim.world.clusters import NODE_PORT as PORT
from tests.kit.clock import settle

STEPS = 14
"""So many turns of the loop after it was begun a client has been left for sure."""

Storm = Callable[[asyncio.Task[Any], int], Awaitable[None]]


async def once(task: asyncio.Task[Any], step: int) -> None:
    await settle(step)
    task.cancel()


async def twice(task: asyncio.Task[Any], step: int) -> None:
    task.cancel()
    await settle(step)
    task.cancel()


async def at_every_step(task: asyncio.Task[Any], step: int) -> None:
    await settle(step)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


STORMS = pytest.mark.parametrize("storm", [once, twice, at_every_step])


def client() -> ClusterClient:
    return ClusterClient(contact_points=[("node-1", PORT)], system_name=CLUSTER_NAME)


def tasks_of_clients() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "leave"]


async def holder(is_held: asyncio.Event, name: str = "q") -> None:
    async with client() as mine:
        await mine.distributed().lock(name, timeout=5.0).acquire()
        is_held.set()
        await asyncio.sleep(60)


def in_world(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    with World(1) as world:
        world.run(body(world), limit_s=600.0)
        assert world.errors == []


@STORMS
def test_a_client_that_is_left_under_cancellation_frees_what_it_held(storm: Storm) -> None:
    async def main(world: World) -> None:
        [node] = await world.cluster(1)
        async with client() as other:
            await other.ready()
            for step in range(STEPS):
                is_held = asyncio.Event()
                task = asyncio.create_task(holder(is_held))
                await is_held.wait()
                await storm(task, step)
                await asyncio.gather(task, return_exceptions=True)
                lock = other.distributed().lock("q", timeout=2.0)
                await lock.acquire()
                await lock.release()
                await nothing_is_left(node, clients=1)

    in_world(main)


@STORMS
def test_a_client_that_is_entered_and_used_under_cancellation_leaves_nothing(storm: Storm) -> None:
    async def main(world: World) -> None:
        [node] = await world.cluster(1)
        for step in range(40):
            task = asyncio.create_task(holder(asyncio.Event()))
            await storm(task, step)
            await asyncio.gather(task, return_exceptions=True)
            await nothing_is_left(node, clients=0)
        async with client() as other:
            await other.distributed().lock("q", timeout=2.0).acquire()

    in_world(main)


async def nothing_is_left(node: ClusteredActorSystem, clients: int) -> None:
    acceptor = node._node.acceptor
    for _ in range(150):
        if not tasks_of_clients() and acceptor_count(acceptor) == clients:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"left: tasks {tasks_of_clients()}, {acceptor_count(acceptor)} links")


def acceptor_count(acceptor: Any) -> int:
    return sum(connection.remote.role == "client" for connection in acceptor.open_links) + len(
        acceptor._half_open
    )


def test_a_closing_client_whose_own_task_is_cancelled_ends_its_links_at_once() -> None:
    """What the end of `asyncio.run` does to every task."""

    async def main(world: World) -> None:
        [node] = await world.cluster(1)
        for step in range(STEPS):
            is_held = asyncio.Event()
            task = asyncio.create_task(holder(is_held, f"q{step}"))
            await is_held.wait()
            task.cancel()
            for _ in range(step):
                await asyncio.sleep(0)
                for one in asyncio.all_tasks():
                    if one.get_name() == "leave":
                        one.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await nothing_is_left(node, clients=0)

    in_world(main)


# -- nodes, on the real loop

QUICK = Settings(founding_listen_s=0.1, heartbeat_s=0.05, election_min_s=0.2, election_max_s=0.3, slots=1)


async def system_on(port: int, started: asyncio.Event) -> None:
    async with ClusteredActorSystem(name="s", host="127.0.0.1", port=port, config=QUICK):
        started.set()
        await asyncio.sleep(60)


async def is_taken(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    return port


async def no_system_is_left(port: int) -> None:
    for _ in range(600):
        others = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        if not others and not await is_taken(port):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"left: {asyncio.all_tasks()}, taken: {await is_taken(port)}")


@STORMS
async def test_a_system_whose_start_is_cancelled_leaves_nothing(storm: Storm) -> None:
    port = await free_port()
    for step in range(12):
        task = asyncio.create_task(system_on(port, asyncio.Event()))
        await storm(task, step)
        with contextlib.suppress(asyncio.CancelledError, CastyError):
            await task
        await no_system_is_left(port)


@STORMS
async def test_a_system_that_is_left_under_cancellation_leaves_nothing(storm: Storm) -> None:
    port = await free_port()
    for step in (0, 1, 2, 5):
        started = asyncio.Event()
        task = asyncio.create_task(system_on(port, started))
        await started.wait()
        await storm(task, step)
        await asyncio.gather(task, return_exceptions=True)
        await no_system_is_left(port)
