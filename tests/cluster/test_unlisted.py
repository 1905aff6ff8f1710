"""A node that stops in order is unlisted at once, however the cluster is; one that cannot be is not waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import Behaviors, Register, ServiceKey
from casty.cluster.actors.receptionist import WITHDRAW_NS
from casty.cluster.control.service_offers import Offers
from sim import World

KEY: ServiceKey[Any] = ServiceKey("service")


async def offered(world: World, services: int) -> Any:
    """Let node-3 offer services, and return a client that lists them."""
    nodes = await world.cluster(3)
    client = await world.client("client")
    await client.ready()
    for number in range(services):
        ref = nodes[2].spawn(Behaviors.ignore(), f"instance-{number}")
        nodes[2].receptionist.tell(Register(KEY, ref))
    await world.until(lambda: len(client.lookup(KEY).instances) == services, timeout_s=30)
    return client


@pytest.mark.parametrize("services", [1, 300])
def test_a_node_that_stops_in_order_is_unlisted_at_once(services: int) -> None:
    async def main(world: World) -> None:
        client = await offered(world, services)
        before_ns = world.now_ns
        await world.stop("node-3")
        await world.until(lambda: not client.lookup(KEY).instances, timeout_s=30)
        assert world.now_ns - before_ns < 500_000_000

    with World(1) as world:
        world.run(main(world), limit_s=300)
        assert world.errors == []


def test_without_a_leader_of_the_control_group_a_stop_takes_a_second_more() -> None:
    async def main(world: World) -> None:
        await offered(world, 1)
        world.crash("node-1")
        world.crash("node-2")
        system: Any = world.processes["node-3"].value
        await world.until(lambda: system._node.control_leader() is None, timeout_s=30)
        before_ns = world.now_ns
        await world.stop("node-3")
        assert WITHDRAW_NS <= world.now_ns - before_ns < 4 * WITHDRAW_NS

    with World(2) as world:
        world.run(main(world), limit_s=300)


def test_a_registration_after_the_withdrawal_is_not_announced() -> None:
    async def main(world: World) -> None:
        client = await offered(world, 1)
        system: Any = world.processes["node-3"].value
        await system._actors.receptionist.withdraw()
        late = system.spawn(Behaviors.ignore(), "late")
        system.receptionist.tell(Register(KEY, late))
        await asyncio.sleep(2)  # so long an announcement would have been on its way; virtual seconds
        assert not client.lookup(KEY).instances

    with World(3) as world:
        world.run(main(world), limit_s=300)


def test_everything_is_taken_back_also_what_was_not_announced_yet() -> None:
    offers = Offers()
    offers.offer("a", "x")
    first = offers.next()
    assert first is not None
    offers.offer("b", "y")
    offers.withdraw()
    assert len(offers) == 0
    offers.confirmed(first.number, [])
    second = offers.next()
    assert second is not None
    assert second.changes == (("a", "x", False),), "the other one was never announced"
