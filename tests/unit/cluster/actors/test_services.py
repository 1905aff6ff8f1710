"""The receptionist over a control group of one table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.mailbox import Mailbox, MailboxOverflowStrategy
from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.services import Deregister, Find, Listing, Register, ServiceKey, Subscribe
from casty.address import ActorAddress
from casty.cluster.actors.receptionist import Receptionist
from casty.errors import Unavailable
from casty.wire.pack import unpack
from tests.kit.clock import settle
from tests.unit.cluster.region_world import Process, RegionWorld

PRINTER = ServiceKey[str]("printer")


class Registry:
    """A control group of one table; it fails the first `failures` writes."""

    def __init__(self, world: RegionWorld, failures: int = 0) -> None:
        self.world = world
        self.rows: dict[str, str] = {}
        self.failures = failures
        self.receptionists: list[Receptionist] = []

    async def write(self, entry: bytes, timeout_s: float) -> list[object]:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no leader")
        row: Any = unpack(entry)
        _, node_id, _, _, number, changes = row
        key = changes[-1][0]
        for _, uri, is_on in changes:
            if is_on:
                self.rows[uri] = node_id
            else:
                self.rows.pop(uri, None)
        topology = self.world.topology
        assert topology is not None
        services = {key: tuple(self.rows.items())} if self.rows else {}
        members = {
            member.node_id: member._replace(offered=number) if member.node_id == node_id else member
            for member in topology.members.values()
        }
        self.world.topology = replace(
            topology, services=services, members=members, version=topology.version + 1
        )
        for receptionist in self.receptionists:
            receptionist.on_topology(self.world.topology)
        return [0, [], len(self.rows), 0]

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
    world = RegionWorld(("a", "b"), ("c",))
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
    world = RegionWorld(("a", "b"))
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
    world = RegionWorld(("a", "b"))
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
    world = RegionWorld(("a",), ("c",))
    registry = Registry(world)
    receptionist = registry.receptionist(world.processes["c"])
    ref = world.processes["c"].local.spawn(Behaviors.ignore(), "p")
    receptionist.ref.tell(Register(PRINTER, ref))
    await settle()
    assert registry.rows == {}
    await world.close()


class Nameless:
    """Looks like a key and is none."""

    name = 5


@pytest.mark.parametrize(
    "parts",
    [
        (Find, "printer", None),
        (Subscribe, PRINTER, "text"),
        (Register, Nameless(), None),
        (Deregister, 5, None),
        (str, "junk"),
    ],
)
async def test_what_cannot_be_served_stops_no_receptionist(parts: tuple[Any, ...]) -> None:
    world = RegionWorld(("a",))
    registry = Registry(world)
    receptionist = registry.receptionist(world.processes["a"])
    local = world.processes["a"].local
    make, *fields = parts
    receptionist.ref.tell(make(*fields))
    ref = local.spawn(Behaviors.ignore(), "p")
    receptionist.ref.tell(Register(PRINTER, ref))
    await settle()
    asking = local.ask(receptionist.ref, lambda reply: Find(PRINTER, reply), timeout=5)
    assert instances(await asking) == ["a/p"]
    await world.close()


async def test_a_subscriber_that_takes_no_more_harms_nobody_else() -> None:
    world = RegionWorld(("a",))
    registry = Registry(world)
    process = world.processes["a"]
    receptionist = registry.receptionist(process)
    heard: list[list[str]] = []

    async def hang(ctx: ActorContext[Any], message: object) -> None:
        await asyncio.Event().wait()

    full: ActorRef[Any] = process.local.spawn(
        Behaviors.receive(hang), "full", mailbox=Mailbox(1, MailboxOverflowStrategy.reject)
    )
    full.tell(1)
    await settle()
    full.tell(2)
    watcher: ActorRef[Listing[str]] = process.local.spawn(
        Behaviors.receive(lambda ctx, listing: heard.append(instances(listing))), "watcher"
    )
    for subscriber in (full, watcher):
        receptionist.ref.tell(Subscribe(PRINTER, subscriber))
    receptionist.ref.tell(Find(PRINTER, full))
    receptionist.ref.tell(Register(PRINTER, process.local.spawn(Behaviors.ignore(), "p")))
    await settle()
    assert heard == [[], ["a/p"]]
    process.local.cells["full"].stop(is_forced=True)
    await world.close()


async def test_a_registration_that_can_never_be_written_delays_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = RegionWorld(("a",))
    registry = Registry(world)
    receptionist = registry.receptionist(world.processes["a"])
    ref = world.processes["a"].local.spawn(Behaviors.ignore(), "p")
    receptionist.ref.tell(Register(ServiceKey("x" * 100_000), ref))
    receptionist.ref.tell(Register(PRINTER, ref))
    await settle()
    assert list(registry.rows) == ["casty://test@a:1/p"]
    assert "its key has 100000 bytes, the bound is 1024" in caplog.text
    await world.close()


@pytest.mark.parametrize("name", [5, None, b"x", "", "\ud800"])
def test_a_service_key_is_a_text(name: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="service key: expected"):
        ServiceKey[str](name)


def stop(ctx: ActorContext[Any], message: Any) -> Behavior[Any]:
    return Behaviors.stopped()


async def test_each_subscriber_hears_what_is_new_to_it() -> None:
    world = RegionWorld(("a",))
    registry = Registry(world)
    process = world.processes["a"]
    receptionist = registry.receptionist(process)
    heard: dict[str, list[list[str]]] = {"early": [], "late": []}
    receptionist.ref.tell(Subscribe(PRINTER, listener(process, "early", heard)))
    await settle()
    topology = world.topology
    assert topology is not None
    rows = (("casty://test@a:1/p", "a"),)
    world.topology = replace(topology, services={PRINTER.name: rows}, version=topology.version + 1)
    receptionist.ref.tell(Subscribe(PRINTER, listener(process, "late", heard)))
    await settle()
    receptionist.on_topology(world.topology)
    await settle()
    assert heard == {"early": [[], ["a/p"]], "late": [["a/p"]]}
    await world.close()


async def test_a_node_that_was_thought_lost_keeps_its_instances_and_subscribers() -> None:
    world = RegionWorld(("a",))
    registry = Registry(world)
    process = world.processes["a"]
    receptionist = registry.receptionist(process)
    receptionist.ref.tell(Register(PRINTER, process.local.spawn(Behaviors.ignore(), "p")))
    await settle()
    world.gone["a#1"] = None
    process.local.watching.table.look()
    await world.advance(60)
    assert instances(receptionist.listing(PRINTER)) == ["a/p"]
    await world.close()


def listener(process: Process, name: str, heard: dict[str, list[list[str]]]) -> ActorRef[Listing[str]]:
    return process.local.spawn(
        Behaviors.receive(lambda ctx, listing: heard[name].append(instances(listing))), name
    )


async def test_what_an_instance_is_made_of_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = RegionWorld(("a", "b"))
    registry = Registry(world)
    at = {name: registry.receptionist(process) for name, process in world.processes.items()}
    refs = [world.processes["a"].local.spawn(Behaviors.ignore(), f"p{number}") for number in range(20)]
    for ref in refs[:19]:
        at["a"].ref.tell(Register(PRINTER, ref))
    await settle()
    before = at["b"].listing(PRINTER)
    read: list[str] = []
    from_uri = ActorAddress.from_uri

    def counted(uri: str) -> ActorAddress:
        read.append(uri)
        return from_uri(uri)

    monkeypatch.setattr(ActorAddress, "from_uri", counted)
    at["a"].ref.tell(Register(PRINTER, refs[19]))
    at["a"].ref.tell(Deregister(PRINTER, refs[0]))
    await settle()
    after = at["b"].listing(PRINTER)
    assert len(after.instances) == 19 and len(read) == 1
    assert after.instances[0] is before.instances[1]
    for ref in refs:
        at["a"].ref.tell(Deregister(PRINTER, ref))
    await settle()
    assert not at["b"].listing(PRINTER).instances
    assert list(at["b"]._listings._known) == []
    await world.close()


async def test_an_actor_that_stops_takes_back_its_own_services_only() -> None:
    world = RegionWorld(("a",))
    registry = Registry(world)
    receptionist = registry.receptionist(world.processes["a"])
    local = world.processes["a"].local
    first, second = (local.spawn(Behaviors.receive(stop), name) for name in ("first", "second"))
    keys = [ServiceKey[str](f"service-{number}") for number in range(3)]
    for key in keys:
        receptionist.ref.tell(Register(key, first))
    receptionist.ref.tell(Register(PRINTER, second))
    receptionist.ref.tell(Deregister(keys[0], first))
    await settle()
    assert list(receptionist._services) == [local.key_of(first), local.key_of(second)]
    first.tell("stop")
    await settle()
    assert list(receptionist._services) == [local.key_of(second)] and list(receptionist.registered) == [
        "printer"
    ]
    second.tell("stop")
    await settle()
    assert not receptionist._services and not receptionist.registered
    await world.close()
