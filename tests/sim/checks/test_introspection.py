"""How checks read what is inside."""

from __future__ import annotations

from casty import Settings
from casty.actor.system import ActorSystem
from casty.cluster.control.replica import ControlReplica
from casty.cluster.slots.replica import SlotReplica
from sim import World
from sim.checks.step.introspection import (
    InFront,
    actors_of,
    client_core_of,
    control_replica_of,
    gateway_of,
    host_of,
    leaders_of,
    machine_of,
    node_of,
    slot_replica_of,
)
from sim.checks.step.protected import OfHolder, OfMap
from sim.checks.violation import Violation
from sim.faults.allocations import Allocations

SETTINGS = Settings(slots=2)


class Recorder:
    """Takes what a fault tells of itself."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def goal(self, name: str) -> None:
        del name


def test_systems_and_clients_are_read_as_what_they_are() -> None:
    async def main(world: World) -> None:
        (system,) = await world.cluster(1, config=SETTINGS)
        client = await world.client()
        node, core = node_of(system), client_core_of(client)
        assert node is not None and node.address == system.self_node and client_core_of(system) is None
        assert core is not None and core.client_id.startswith("client-") and node_of(client) is None
        of_both = [gateway_of, leaders_of, actors_of]
        assert [one(system) for one in of_both] == [node.gateway, node.leaders, actors_of(system)]
        assert None not in [one(of) for one in of_both for of in (system, client)]
        assert gateway_of(client) is core.gateway
        await client.__aexit__(None, None, None)
        assert actors_of(client) is None

    with World(1) as world:
        world.run(main(world))


def test_another_kind_of_owner_has_none_of_it() -> None:
    for other in (None, object(), ActorSystem):
        assert node_of(other) is client_core_of(other) is actors_of(other) is gateway_of(other) is None


def test_replicas_are_looked_at_through_what_a_fault_puts_in_front_of_them() -> None:
    async def main(world: World) -> None:
        (system,) = await world.cluster(1, config=SETTINGS)
        host = host_of(system)
        assert host is not None
        before = {number: group.replica for number, group in host.groups.items()}
        faults = Allocations(world, Recorder(), {"node-1": system})
        undo = [faults.arm("node-1", number) for number in range(2)]
        control, *slots = [host.groups[number] for number in sorted(host.groups)]
        assert all(isinstance(group.replica, InFront) for group in host.groups.values())
        assert control_replica_of(control) is before[0] and isinstance(before[0], ControlReplica)
        assert machine_of(control) is slot_replica_of(control) is None
        for group in slots:
            replica = slot_replica_of(group)
            assert isinstance(replica, SlotReplica) and replica is before[group.number]
            assert machine_of(group) is replica.machine and control_replica_of(group) is None
        for one in undo:
            one.heal()

    with World(1) as world:
        world.run(main(world))


def test_what_users_have_is_read() -> None:
    async def main(world: World) -> None:
        (system,) = await world.cluster(1, config=SETTINGS)
        d = system.distributed()
        lock, entries = d.lock("a"), d.map[str, int]("b")
        assert OfHolder.latest_token_of(lock) is None
        await lock.acquire()
        assert OfHolder.latest_token_of(lock) == lock.token and list(OfHolder.holds_of(lock).by_token) == [
            lock.token
        ]
        await lock.release()
        assert not OfHolder.holds_of(lock).by_token
        assert OfMap.entity_of(entries, "k") != OfMap.entity_of(entries, "l")

    with World(1) as world:
        world.run(main(world))
