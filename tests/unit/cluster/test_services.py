"""The receptionist over a control group of one table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.ref import RemoteActorRef
from casty.actor.services import Deregister, Find, Listing, Register, ServiceKey, Subscribe
from casty.cluster.services import Receptionist
from casty.errors import Unavailable
from casty.wire.pack import unpack
from tests.unit.cluster.region_world import Process, World, settle

PRINTER = ServiceKey[str]("printer")


class Registry:
    """A control group of one table; it fails the first `failures` writes."""

    def __init__(self, world: World, failures: int = 0) -> None:
        self.world = world
        self.rows: dict[str, str] = {}
        self.failures = failures
        self.receptionists: list[Receptionist] = []

    async def write(self, entry: bytes, timeout_s: float) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no leader")
        row: Any = unpack(entry)
        _, key, uri, node_id, _, is_on = row
        if is_on:
            self.rows[uri] = node_id
        else:
            self.rows.pop(uri, None)
        topology = self.world.topology
        assert topology is not None
        services = {key: tuple(self.rows.items())} if self.rows else {}
        self.world.topology = replace(topology, services=services, version=topology.version + 1)
        for receptionist in self.receptionists:
            receptionist.on_topology(self.world.topology)

    def receptionist(self, process: Process) -> Receptionist:
        write = self.write if process.is_node else None
        made = Receptionist(process.local, process.topology, write, "1")
        self.receptionists.append(made)
        return made


def instances(listing: Listing[Any]) -> list[str]:
    found: list[str] = []
    for instance in listing.instances:
        assert isinstance(instance.ref, RemoteActorRef)
        found.append(f"{instance.node.host}{instance.ref.id}")
    return found


async def test_instances_are_found_everywhere_and_go_when_their_actor_stops() -> None:
    world = World(("a", "b"), ("c",))
    registry = Registry(world, failures=1)
    at = {name: registry.receptionist(process) for name, process in world.processes.items()}
    node = world.processes["a"].local
    assert instances(at["c"].listing(PRINTER)) == []
    ref = node.spawn(Behaviors.receive(stop), "p")
    at["a"].ref.tell(Register(PRINTER, ref))
    await settle()
    assert instances(at["c"].listing(PRINTER)) == ["a/p"]
    found: Listing[str] = await world.processes["c"].local.ask(
        at["c"].ref, lambda reply: Find(PRINTER, reply), timeout=5
    )
    assert instances(found) == ["a/p"]
    ref.tell("stop")
    await settle()
    assert instances(at["b"].listing(PRINTER)) == []
    await world.close()


async def test_subscribers_hear_the_present_and_every_change_once() -> None:
    world = World(("a", "b"))
    registry = Registry(world)
    at = {name: registry.receptionist(process) for name, process in world.processes.items()}
    heard: list[list[str]] = []
    local = world.processes["b"].local

    def hear(ctx: ActorContext[Listing[str]], listing: Listing[str]) -> None:
        heard.append(instances(listing))

    watcher = local.spawn(Behaviors.receive(hear), "watcher")
    at["b"].ref.tell(Subscribe(PRINTER, watcher))
    ref = world.processes["a"].local.spawn(Behaviors.ignore(), "p")
    await settle()
    for message in (Register(PRINTER, ref), Register(PRINTER, ref), Deregister(PRINTER, ref)):
        at["a"].ref.tell(message)
        await settle()
    at["a"].ref.tell(Deregister(PRINTER, ref))
    await settle()
    assert heard == [[], ["a/p"], []]
    await world.close()


async def test_instances_on_nodes_that_are_down_are_not_listed_and_find_waits_for_a_topology() -> None:
    world = World(("a", "b"))
    registry = Registry(world)
    at = {name: registry.receptionist(process) for name, process in world.processes.items()}
    ref = world.processes["a"].local.spawn(Behaviors.ignore(), "p")
    at["a"].ref.tell(Register(PRINTER, ref))
    await settle()
    known, world.topology = world.topology, None
    assert known is not None
    asking = asyncio.ensure_future(
        world.processes["b"].local.ask(at["b"].ref, lambda reply: Find(PRINTER, reply), timeout=5)
    )
    await settle()
    assert not asking.done()
    members = {**known.members, "a": known.members["a"]._replace(status="down")}
    world.topology = replace(known, members=members, version=known.version + 1)
    at["b"].on_topology(world.topology)
    found: Listing[str] = await asking
    assert instances(found) == []
    await world.close()


async def test_a_client_registers_nothing() -> None:
    world = World(("a",), ("c",))
    registry = Registry(world)
    receptionist = registry.receptionist(world.processes["c"])
    ref = world.processes["c"].local.spawn(Behaviors.ignore(), "p")
    receptionist.ref.tell(Register(PRINTER, ref))
    await settle()
    assert registry.rows == {}
    await world.close()


def stop(ctx: ActorContext[Any], message: Any) -> Behavior[Any]:
    return Behaviors.stopped()
