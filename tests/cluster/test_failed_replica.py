"""A replica that raises is taken out of its group and filled again from the others; nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from casty import Settings
from casty.address import node_id_of, process_of
from casty.cluster.control.machine import REGION, ControlMachine
from casty.cluster.slots.machine import SlotMachine
from casty.wire.pack import pack
from sim import World
from sim.faults.allocations import Allocations
from sim.plans.fault_kinds import ALLOCATING
from sim.workloads.recorder import RunRecorder

if TYPE_CHECKING:
    from casty.cluster.multiraft.host import Group, Host

SETTINGS = Settings(slots=2)


def node_of(world: World, name: str) -> Any:
    return world.processes[name].value._node


def host_of(world: World, name: str) -> Host:
    host: Host = node_of(world, name).host
    return host


def is_ready(world: World, name: str) -> bool:
    return world.processes[name].value is not None and not node_of(world, name).missing


def leader_of(world: World, number: int) -> str:
    for name in world.node_names:
        group = host_of(world, name).groups.get(number)
        if world.processes[name].is_up and group is not None and group.is_leading:
            return name
    return ""


@contextmanager
def broken(
    attribute: str, is_victim: Callable[[SlotMachine], bool], error: Exception
) -> Generator[list[int]]:
    """Let a method of some machines raise after it did its work by half; returns how often it did."""
    right = vars(SlotMachine)[attribute]
    times: list[int] = []

    def wrong(machine: SlotMachine, *arguments: Any) -> Any:
        if not is_victim(machine):
            return right(machine, *arguments)
        times.append(1)
        right(machine, *arguments)
        raise error

    setattr(SlotMachine, attribute, wrong)
    try:
        yield times
    finally:
        setattr(SlotMachine, attribute, right)


def status_of(world: World, name: str) -> dict[str, Any]:
    status: dict[str, Any] = node_of(world, name).status()
    return status


def is_refilled(world: World, victim: str, number: int) -> bool:
    """Whether the victim's new replica votes and its former one is in no configuration."""
    leader = leader_of(world, number)
    group = host_of(world, victim).groups.get(number)
    if not leader or group is None:
        return False
    membership = host_of(world, leader).groups[number].core.committed_membership
    return (
        membership is not None
        and len(membership.voters) == 3
        and group.core.id in membership.voters
        and not membership.outgoing
        and group.replica_number > 0
    )


def machine_of(group: Group) -> SlotMachine:
    machine: SlotMachine = group.replica.machine  # type: ignore[attr-defined]
    return machine


@pytest.mark.parametrize("who", ["leader", "follower"])
@pytest.mark.parametrize("error", [AssertionError("applied twice"), MemoryError()], ids=["assert", "memory"])
def test_an_exception_in_apply_ends_that_replica_only(who: str, error: Exception) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        d = (await world.client()).distributed()
        counters = [d.counter(f"c{number}", timeout=20.0) for number in range(8)]
        await asyncio.gather(*[counter.increment() for counter in counters])
        leader = leader_of(world, 1)
        others = [name for name in world.node_names if name != leader]
        victim = leader if who == "leader" else others[0]
        former = host_of(world, victim).groups[1]
        with broken("apply", lambda machine: machine is machine_of(former), error) as times:
            for _ in range(3):
                await asyncio.gather(*[counter.increment() for counter in counters])
            await world.until(lambda: len(times) == 1, timeout_s=5)
            assert 1 not in host_of(world, victim).groups
            assert host_of(world, victim).groups[2].core.leader is not None, "the other slot goes on"
            status = status_of(world, victim)
            assert (
                type(error).__name__ in status["slots"][0]["failed"] and status["slots"][1]["failed"] is None
            )
            assert any("slot 0" in text and "failed" in text for text in status["missing"])
            await world.until(lambda: is_refilled(world, victim, 1), timeout_s=20)
        assert [await counter.increment() for counter in counters] == [5] * 8
        await asyncio.sleep(2)
        again = host_of(world, victim).groups[1]
        assert process_of(again.core.id) == process_of(former.core.id) != again.core.id
        assert node_id_of(again.core.id) == node_id_of(former.core.id)
        states = [machine_of(host_of(world, name).groups[1]).dump() for name in world.node_names]
        assert states[0] == states[1] == states[2]
        assert (
            status_of(world, victim)["slots"][0]["failed"] is None and not status_of(world, victim)["missing"]
        )
        # What heartbeats cover is known again: nobody has to ask twice, and the leader keeps its lease at rest.
        slots = world.processes[victim].value._node.control.machine.slots
        await world.until(lambda: leader_of(world, 1) == slots[0].preferred, timeout_s=60)
        leader = leader_of(world, 1)
        term = host_of(world, leader).groups[1].core.term
        await asyncio.sleep(10)
        assert leader_of(world, 1) == leader and host_of(world, leader).groups[1].core.term == term

    with World(3) as world:
        world.run(main(world), limit_s=200)


@pytest.mark.parametrize("what", ALLOCATING)
def test_a_replica_without_memory_is_gone_whatever_it_was_at(what: str) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=Settings(slots=2, snapshot_entries=8, retained_entries=0))
        d = (await world.client()).distributed()
        counters = [d.counter(f"c{number}", timeout=20.0) for number in range(8)]
        await asyncio.gather(*[counter.increment() for counter in counters])
        leader = leader_of(world, 1)
        follower = next(name for name in world.node_names if name != leader)
        others = [name for name in world.node_names if name != follower]
        cut = world.partition([follower], others)
        for _ in range(12):
            await asyncio.gather(*[counter.increment() for counter in counters])
            await asyncio.sleep(0.5)
        recorder = RunRecorder(world)
        systems = {name: world.processes[name].value for name in world.node_names}
        victim = follower if what == "restore" else leader_of(world, 1)
        fault = Allocations(world, recorder, systems).arm(victim, ALLOCATING.index(what))
        cut.heal()
        groups = dict(host_of(world, victim).groups)
        while not recorder.goals.get(f"no memory to {what}"):
            await asyncio.gather(*[counter.increment() for counter in counters])
            await asyncio.sleep(0.1)
        lost = [
            number
            for number, group in groups.items()
            if host_of(world, victim).groups.get(number) is not group
        ]
        assert lost and not recorder.violations
        for number in lost:
            await world.until(lambda number=number: is_refilled(world, victim, number), timeout_s=30)
        fault.heal()
        counts = await asyncio.gather(*[counter.increment() for counter in counters])
        assert len(set(counts)) == 1
        await asyncio.sleep(2)
        for number in (1, 2):
            states = [machine_of(host_of(world, name).groups[number]).dump() for name in world.node_names]
            assert states[0] == states[1] == states[2]

    with World(7) as world:
        world.run(main(world), limit_s=200)


def test_a_replica_that_cannot_be_restored_is_never_acknowledged() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        d = (await world.client()).distributed()
        counters = [d.counter(f"c{number}", timeout=20.0) for number in range(8)]
        await asyncio.gather(*[counter.increment() for counter in counters])
        victim = world.node_names[2]
        fresh: dict[int, SlotMachine] = {}

        def is_new(machine: SlotMachine) -> bool:
            fresh[id(machine)] = machine
            return len(fresh) <= 3

        with broken("become", is_new, ValueError("1048577 exceeds max_array_len")) as times:
            world.crash(victim)
            world.start_soon(victim)
            await world.until(lambda: len(times) == 3 and is_ready(world, victim), timeout_s=90)
        for name in world.node_names[:2]:
            world.crash(name)
            world.start_soon(name)
            await asyncio.sleep(20)
        assert [await counter.increment() for counter in counters] == [2] * 8

    with World(4) as world:
        world.run(main(world), limit_s=400)


def test_what_fails_again_and_again_waits_longer_each_time() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        victim = next(name for name in world.node_names if name != leader_of(world, 1))
        target = host_of(world, victim).groups[1]
        d = (await world.client()).distributed()
        counters = [d.counter(f"c{number}", timeout=20.0) for number in range(8)]

        def is_victim(machine: SlotMachine) -> bool:
            group = host_of(world, victim).groups.get(1)
            return machine is machine_of(target) or (group is not None and machine is machine_of(group))

        with broken("apply", is_victim, RuntimeError("bug")) as times:
            with broken("become", is_victim, RuntimeError("bug")) as loads:
                for _ in range(60):
                    await asyncio.gather(*[counter.increment() for counter in counters])
                    await asyncio.sleep(1)
            assert 4 <= len(times) + len(loads) <= 8, (len(times), len(loads))
        await world.until(lambda: is_refilled(world, victim, 1), timeout_s=90)
        assert [await counter.increment() for counter in counters] == [61] * 8

    with World(5) as world:
        world.run(main(world), limit_s=400)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_replica_of_the_control_group_is_filled_again_too(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ControlMachine.apply

    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        counter = (await world.client()).distributed().counter("c", timeout=20.0)
        await counter.increment()
        leader = leader_of(world, 0)
        victim = leader if who == "leader" else next(name for name in world.node_names if name != leader)
        other = next(name for name in world.node_names if name not in (leader, victim))
        machine = node_of(world, victim).control.machine
        times: list[int] = []

        def wrong(applying: ControlMachine, data: bytes) -> list[object]:
            if applying is machine and not times:
                times.append(1)
                raise RuntimeError("bug")
            return right(applying, data)

        monkeypatch.setattr(ControlMachine, "apply", wrong)
        world.pause(other, 5.0)
        await world.until(lambda: bool(times), timeout_s=20)
        assert any("the control group" in text for text in status_of(world, victim)["missing"])
        await world.until(lambda: is_refilled(world, victim, 0), timeout_s=60)
        assert await counter.increment() == 2
        await asyncio.sleep(5)
        states = [node_of(world, name).control.machine.dump() for name in world.node_names]
        assert states[0] == states[1] == states[2]
        assert all(is_ready(world, name) for name in world.node_names)

    with World(3) as world:
        world.run(main(world), limit_s=300)


def test_a_control_group_that_failed_on_every_node_is_said_by_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = ControlMachine.apply
    failed: dict[int, None] = {}

    def wrong(machine: ControlMachine, data: bytes) -> list[object]:
        if len(failed) < 3 and id(machine) not in failed:
            failed[id(machine)] = None
            raise RuntimeError("bug")
        return right(machine, data)

    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        counter = (await world.client()).distributed().counter("c", timeout=20.0)
        await counter.increment()
        monkeypatch.setattr(ControlMachine, "apply", wrong)
        node_of(world, leader_of(world, 0)).control_group.propose(pack([REGION, "r", 3, None]))
        await world.until(lambda: len(failed) >= 2, timeout_s=60)
        await asyncio.sleep(20)
        for name in world.node_names:
            assert any("the control group" in text for text in status_of(world, name)["missing"]), name
        assert await counter.increment() == 2

    with World(4) as world:
        world.run(main(world), limit_s=300)
