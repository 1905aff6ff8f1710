"""Calls of one client on the slot of `replica_world`, for the tests of gateways."""

from __future__ import annotations

import asyncio
from typing import Any

from casty.cluster.slots.schema import CLOSE
from casty.consensus import Entry
from casty.distributed.machines.base import BARRIER, COUNTER, LOCK
from casty.wire.pack import pack, unpack
from tests.unit.cluster.replica_world import TTL_S, Client, ReplicaWorld

N, L, S, B = b"n", b"l", b"s", b"b"
ACQUIRE, TRY_ACQUIRE, RELEASE = 1, 2, 3


def task(coro: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(coro)


def add(client: Client, amount: int = 1, timeout_s: float | None = 5.0) -> asyncio.Task[Any]:
    return task(client.gateway.command(COUNTER, N, [1, amount], timeout_s=timeout_s))


def acquire(client: Client, timeout_s: float | None = 5.0, name: bytes = L) -> asyncio.Task[Any]:
    return task(client.gateway.wait(LOCK, name, [ACQUIRE], timeout_s=timeout_s))


def release(client: Client, grant: Any, timeout_s: float = 5.0, name: bytes = L) -> asyncio.Task[Any]:
    return task(client.gateway.release(LOCK, name, grant, [RELEASE, grant.token], timeout_s=timeout_s))


def arrive(client: Client, who: str, expected: int, timeout_s: float | None = 5.0) -> asyncio.Task[Any]:
    return task(client.gateway.wait(BARRIER, B, [1, who, expected], timeout_s=timeout_s))


async def run(world: ReplicaWorld, running: asyncio.Task[Any]) -> Any:
    await world.run()
    assert running.done()
    return running.result()


async def opened(world: ReplicaWorld, name: str = "c") -> Client:
    client = world.client(name)
    await run(world, add(client, 0))
    return client


def entries(world: ReplicaWorld, kind: int) -> list[Any]:
    found: list[Any] = [unpack(entry.data) for entry in world.log]
    return [entry for entry in found if entry[0] == kind]


def value(world: ReplicaWorld) -> int:
    return int(world.machine.entities.get((COUNTER, N), 0))


def line(world: ReplicaWorld, kind: int = LOCK, name: bytes = L) -> Any:
    return world.machine.entities.get((kind, name))


def end_session(world: ReplicaWorld, client: Client) -> None:
    """The slot gave it up, and the client does not know."""
    world.pending.append(Entry(world.term, 0, pack([CLOSE, client.gateway.sessions_by_slot[0].number])))
    world.commit()


async def expire(world: ReplicaWorld, client: Client) -> None:
    """Nobody hears of this client for longer than the TTL."""
    for node_id in list(client.links):
        client.link_down(node_id)
    await world.advance(TTL_S + 1)
    for node_id in ("a", "b", "c"):
        client.link_up(node_id)
