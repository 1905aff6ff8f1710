"""Members that come, leave, die and are replaced under other names, while clients count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings
from casty.cluster.control.machine import STATUS
from casty.errors import Unavailable
from casty.wire.pack import pack
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process

SLOTS = 8
DOWN_S = 3.0
SETTINGS = Settings(slots=SLOTS, unreachable_after_s=1.5, down_after_s=DOWN_S)


def joining(seeds: list[str]) -> Callable[[Process], Any]:
    async def join(process: Process) -> ClusteredActorSystem:
        system = ClusteredActorSystem(
            name=CLUSTER_NAME, host=process.name, port=NODE_PORT, node_id=process.node_id,
            seed_nodes=[(name, NODE_PORT) for name in seeds], config=SETTINGS,
        )  # fmt: skip
        return await system.__aenter__()

    return join


async def add(world: World, name: str, *seeds: str) -> None:
    world.add_node(name, joining(list(seeds)))
    world.node_names.append(name)
    await world.start(name)


def members(world: World, at: str) -> dict[str, str]:
    system: Any = world.processes[at].value
    return {row["id"]: row["status"] for row in system.status()["members"]}


def replicas(world: World, at: str) -> dict[str, int]:
    system: Any = world.processes[at].value
    replicas = [slot["replicas"] for slot in system.status()["slots"]]
    return {name: sum(name in row for row in replicas) for name in members(world, at)}


async def until(world: World, within_s: float, is_so: Callable[[], bool]) -> None:
    end_ns = world.now_ns + within_s * 1e9
    while not is_so():
        assert world.now_ns < end_ns, f"not so within {within_s} s"
        await asyncio.sleep(0.1)


class Counting:
    """A client that counts in every slot all the time."""

    def __init__(self, world: World, client: ClusterClient) -> None:
        self._d = client.distributed()
        self.failed: list[str] = []
        self.counts: dict[str, int] = {}
        self._is_over = False
        self._tasks = [asyncio.create_task(self._count(f"c{number}")) for number in range(3 * SLOTS)]

    async def _count(self, name: str) -> None:
        counter = self._d.counter(name)
        while not self._is_over:
            try:
                value = await counter.increment()
            except Exception as error:
                self.failed.append(f"{name}: {error!r}")
                continue
            self.counts[name] = self.counts.get(name, 0) + 1
            if value != self.counts[name]:
                self.failed.append(f"{name}: {value} after {self.counts[name]} increments")
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)
        for name, count in self.counts.items():
            assert await self._d.counter(name).get() == count
        assert self.failed == []


@pytest.mark.parametrize("seed", range(3))
def test_every_node_is_replaced_under_another_name_and_nothing_is_lost(seed: int) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        counting = Counting(world, await world.client())
        there = list(world.node_names)
        for number in range(4, 7):
            victim, newcomer = there.pop(0), f"node-{number}"
            world.crash(victim)
            world.node_names.remove(victim)
            await add(world, newcomer, *there)
            there.append(newcomer)
            # The next one must not die before the place of this one is taken everywhere.
            await until(
                world, 20, lambda: all(replicas(world, there[0]).get(name) == SLOTS for name in there)
            )
        # The others are forgotten: nothing names them, and nothing lacks them.
        await until(world, 12 * DOWN_S, lambda: list(members(world, there[0])) == there)
        await counting.end()

    with World(seed) as world:
        world.run(main(world), limit_s=300)


@pytest.mark.parametrize("seed", range(3))
def test_three_become_five_and_four_and_no_call_fails(seed: int) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        counting = Counting(world, await world.client())
        for name in ("node-4", "node-5"):
            await add(world, name, "node-1", "node-2", "node-3")
        spread = {f"node-{number}": (4, 5) for number in range(1, 6)}
        await until(
            world, 30, lambda: all(n in spread[name] for name, n in replicas(world, "node-1").items())
        )
        await world.processes["node-1"].run(_leave(world, "node-1"))
        await world.stop("node-1")
        await until(world, 30, lambda: set(replicas(world, "node-2").values()) == {6})
        left = ["node-2", "node-3", "node-4", "node-5"]
        await until(world, 10, lambda: list(members(world, "node-2")) == left)
        await counting.end()

    with World(seed) as world:
        world.run(main(world), limit_s=300)


async def _leave(world: World, name: str) -> None:
    system: Any = world.processes[name].value
    await system.leave(20)


def test_a_node_that_was_removed_while_it_was_cut_off_joins_again() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        await add(world, "node-4", "node-1", "node-2", "node-3")
        others = ["node-1", "node-2", "node-3"]
        await until(world, 30, lambda: replicas(world, "node-1")["node-4"] > 0)
        cut = world.partition(["node-4"], others)
        await until(world, 12 * DOWN_S, lambda: "node-4" not in members(world, "node-1"))
        cut.heal()
        await until(world, 30, lambda: members(world, "node-1").get("node-4") == "up")
        await until(world, 30, lambda: replicas(world, "node-1")["node-4"] > 0)
        assert members(world, "node-4")["node-4"] == "up"

    with World(5) as world:
        world.run(main(world), limit_s=300)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 9])
def test_who_has_left_is_told_so_by_whoever_leads_and_does_not_come_back(seed: int) -> None:
    """The answer that it is over may be lost: whoever asks again is a stranger by then."""

    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        await add(world, "node-4", "node-1", "node-2", "node-3")
        process: Any = world.processes["node-4"]
        node = process.value._node
        node.leaving.has_begun = True
        node.leaving._on_asked = lambda: None  # it would stop as soon as it hears
        entry = pack([STATUS, "node-4", node.incarnation, "leaving"])
        leader = world.processes["node-1"].value._node.control_leader()  # type: ignore[attr-defined]
        assert await process.run(node.control_calls.write(entry, 5, leader)) == [0, "leaving"]
        await until(world, 10, lambda: "node-4" not in members(world, "node-1"))
        assert await process.run(node.control_calls.write(entry, 5, leader)) == [0, None]
        await asyncio.sleep(4 * DOWN_S)
        assert "node-4" not in members(world, "node-1")

    with World(seed) as world:
        world.run(main(world), limit_s=120)


def told_that_it_is_over(world: World, name: str) -> bool:
    """Whether the leader of the control group would tell so a stranger who asks to leave."""
    anybody, leaver = world.processes["node-1"].value, world.processes[name].value
    leader: Any = world.processes[anybody._node.control_leader()].value  # type: ignore[attr-defined]
    entry = pack([STATUS, name, leaver._node.incarnation, "leaving"])  # type: ignore[attr-defined]
    over: bool = leader._node.requests._is_over(leader._node.host.groups[0], entry)
    return over


@pytest.mark.parametrize("is_removed", [False, True])
def test_who_leaves_and_is_back_after_a_pause_ends_once_no_group_needs_it(is_removed: bool) -> None:
    """It is one of the two that are left in some slots; also an operator may have taken it for dead."""

    async def main(world: World) -> None:
        await world.cluster(5, config=SETTINGS)
        client = await world.client()
        names = [f"c{number}" for number in range(3 * SLOTS)]
        for name in names:
            await client.distributed().counter(name).increment()
        process, leaves = world.processes["node-3"], None
        if not is_removed:
            leaves = process.spawn(_leave(world, "node-3"))
            await until(world, 5, lambda: members(world, "node-1")["node-3"] == "leaving")
        world.pause("node-3")
        world.crash("node-2")
        await until(world, 30, lambda: members(world, "node-1")["node-3"] == "down")
        if is_removed:
            operator: Any = world.processes["node-1"].value
            remove = operator._node.commands.do("remove", "node-3")
            assert await world.processes["node-1"].run(remove) == (True, "node-3 is removed")
        await asyncio.sleep(2 * DOWN_S)
        assert "node-3" in members(world, "node-1"), "slots need it"
        assert not told_that_it_is_over(world, "node-3")
        world.resume("node-3")
        await (leaves or process.spawn(_leave(world, "node-3")))
        await world.stop("node-3")
        for name in names:
            assert await asyncio.wait_for(client.distributed().counter(name).get(), 30) == 1

    with World(11) as world:
        world.run(main(world), limit_s=300)


def test_the_last_member_leaves_by_stopping_and_one_of_two_takes_everything_along() -> None:
    async def main(world: World) -> None:
        await add(world, "node-1", "node-1")
        await add(world, "node-2", "node-1")
        client = await world.client()
        assert await client.distributed().counter("c").increment() == 1
        await world.processes["node-1"].run(_leave(world, "node-1"))
        await world.stop("node-1")
        assert await client.distributed().counter("c").increment() == 2
        await until(world, 10, lambda: list(members(world, "node-2")) == ["node-2"])
        began_ns = world.now_ns
        await world.processes["node-2"].run(_leave(world, "node-2"))
        assert world.now_ns - began_ns < 4e9

    with World(6) as world:
        world.run(main(world), limit_s=120)


def test_who_cannot_leave_says_why_and_goes_on() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        world.crash("node-2")
        world.crash("node-3")
        with pytest.raises(TimeoutError, match="node-1 has not left after 5"):
            await world.processes["node-1"].run(_leave_within(world, "node-1", 5))
        system: Any = world.processes["node-1"].value
        assert system.status()["members"], "it goes on"

    async def _leave_within(world: World, name: str, within_s: float) -> None:
        system: Any = world.processes[name].value
        await system.leave(within_s)

    with World(7) as world:
        world.run(main(world), limit_s=120)


def test_an_operator_drains_a_node_and_removes_one_that_is_dead() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        await add(world, "node-4", "node-1", "node-2", "node-3")
        operator: Any = world.processes["node-1"].value
        tell = operator._node.commands.do
        run = world.processes["node-1"].run
        assert await run(tell("remove", "node-3")) == (
            False, "node-3 is up: only a member that is down is removed; drain it, or stop it first",
        )  # fmt: skip
        assert (await run(tell("remove", "nobody")))[0] is False
        stopped = world.processes["node-4"].spawn(world.processes["node-4"].value.wait_stopped())  # type: ignore[attr-defined]
        assert await run(tell("drain", "node-4")) == (True, "node-4 is leaving")
        await asyncio.wait_for(stopped, 30)
        world.crash("node-3")
        await until(world, 30, lambda: members(world, "node-1")["node-3"] == "down")
        assert await run(tell("remove", "node-3")) == (True, "node-3 is removed")
        await until(world, 30, lambda: list(members(world, "node-1")) == ["node-1", "node-2"])
        # Of two members each slot has one.
        await until(world, 30, lambda: set(replicas(world, "node-1").values()) == {SLOTS // 2})

    with World(8) as world:
        world.run(main(world), limit_s=120)


def test_a_client_that_lost_everybody_says_so_and_comes_back_by_a_name_that_outlives_nodes() -> None:
    leads_to = "node-1"

    def now(address: tuple[str, int]) -> tuple[str, int]:
        return (leads_to if address[0] == "door" else address[0], address[1])

    async def come(process: Process) -> ClusterClient:
        client = ClusterClient(
            contact_points=[("door", NODE_PORT)], system_name=CLUSTER_NAME, address_map=now
        )
        return await client.__aenter__()

    async def main(world: World) -> None:
        nonlocal leads_to

        def lost_link(name: str) -> bool:
            return any(entry.node == name and entry.kind == "LinkDown" for entry in world.trace)

        await world.cluster(1, config=SETTINGS)
        world.add_node("asleep", come)
        client: Any = await world.start("asleep")
        counter = client.distributed().counter("c", timeout=3.0)
        assert await counter.increment() == 1
        world.pause("asleep")
        await until(world, 20, lambda: lost_link("node-1"))
        await add(world, "node-2", "node-1")
        system: Any = world.processes["node-1"].value
        await world.processes["node-1"].run(system.leave(60))
        await until(world, 20, lambda: list(members(world, "node-2")) == ["node-2"])
        world.crash("node-1")
        world.resume("asleep")
        await until(world, 20, lambda: lost_link("asleep"))
        with pytest.raises(Unavailable, match=r"; linked with nobody: door:25520: .*; it was not applied"):
            await counter.increment()
        leads_to = "node-2"
        assert await counter.increment() == 2

    with World(5) as world:
        world.run(main(world), limit_s=200)


def test_a_client_that_knows_only_who_was_removed_looks_there_as_well() -> None:
    """Who was removed is often back under its address, and a client that was away has nobody else to ask."""

    async def come(process: Process) -> ClusterClient:
        client = ClusterClient(
            contact_points=[("node-1", NODE_PORT)], system_name=CLUSTER_NAME, client_host=process.name
        )
        return await client.__aenter__()

    def known(client: Any) -> dict[str, str]:
        return {name: one.status for name, one in client._client_core.topology().members.items()}

    async def main(world: World) -> None:
        await world.cluster(1, config=SETTINGS)
        world.add_node("asleep", come)
        client: Any = await world.start("asleep")
        counter = client.distributed().counter("c", timeout=10.0)
        await add(world, "node-2", "node-1")
        await until(world, 20, lambda: known(client) == {"node-1": "up", "node-2": "up"})
        assert await counter.increment() == 1
        leaves = world.processes["node-2"].spawn(_leave(world, "node-2"))
        await world.until(lambda: known(client) == {"node-1": "up", "node-2": "removed"}, timeout_s=20)
        assert list(client._client_core.peers) == ["node-1:25520"], (
            "while others are there it leaves it alone"
        )
        world.pause("asleep")
        cut_off = world.partition(["asleep"], ["node-1", "node-2", "node-3"])
        await leaves
        await world.stop("node-2")
        await add(world, "node-3", "node-1")
        await world.processes["node-1"].run(_leave(world, "node-1"))
        await world.stop("node-1")
        world.processes["node-2"].setup = joining(["node-3"])
        await world.restart("node-2")
        await until(world, 20, lambda: members(world, "node-3").get("node-2") == "up")
        cut_off.heal()
        world.resume("asleep")
        assert await counter.increment() == 2
        await until(
            world, 20, lambda: set(client._client_core.peers) == {f"node-{n}:25520" for n in (1, 2, 3)}
        )

    with World(6) as world:
        world.run(main(world), limit_s=200)
