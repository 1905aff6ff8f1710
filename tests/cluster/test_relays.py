"""A client cut off from a leader waits through another node, which keeps nothing of calls that ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import Settings
from sim import World


async def cut_off(world: World) -> tuple[list[Any], Any]:
    """Return the nodes, and a client that reaches the leader only through another node."""
    await world.cluster(3, config=Settings(slots=1))
    nodes: list[Any] = [world.node(number)._node for number in range(3)]
    holder, waiter = await world.client("holder"), await world.client("waiter")
    await holder.distributed().lock("l").acquire()
    await waiter.distributed().counter("n").increment()
    leader = next(node for node in nodes if node.host.groups[1].is_leading)
    world.partition(["waiter"], [leader.node_id])
    await asyncio.sleep(8)
    return nodes, waiter


async def waits_and_gives_up(world: World, *, cancels: bool) -> None:
    nodes, waiter = await cut_off(world)
    timeout_s = None if cancels else 1.0
    locks = [waiter.distributed().lock("l", timeout=timeout_s) for _ in range(20)]
    waiting = [asyncio.ensure_future(lock.acquire()) for lock in locks]
    await asyncio.sleep(0.5)
    assert sum(len(node.relays) for node in nodes) == 20
    for call in waiting if cancels else []:
        call.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(type(error) is (asyncio.CancelledError if cancels else TimeoutError) for error in ended)
    await asyncio.sleep(10)
    assert sum(len(node.relays) for node in nodes) == 0


async def waits_and_dies(world: World) -> None:
    nodes, waiter = await cut_off(world)
    locks = [waiter.distributed().lock("l", timeout=None) for _ in range(20)]
    for lock in locks:
        world.processes["waiter"].spawn(lock.acquire())
    await asyncio.sleep(0.5)
    assert sum(len(node.relays) for node in nodes) == 20
    world.crash("waiter")
    await asyncio.sleep(8)
    assert sum(len(node.relays) for node in nodes) == 0, "long before its session expires"


@pytest.mark.parametrize("cancels", [False, True])
def test_a_relay_keeps_no_call_that_ended(cancels: bool) -> None:
    with World(2) as world:
        world.run(waits_and_gives_up(world, cancels=cancels), limit_s=120)
        assert not world.errors


def test_a_relay_keeps_no_call_of_a_client_that_is_gone() -> None:
    with World(2) as world:
        world.run(waits_and_dies(world), limit_s=120)
