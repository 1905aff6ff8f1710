"""Who hears when a member comes, falls silent, answers again, goes down or comes back as another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from casty import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    EventStreamSubscribe,
    MemberLeft,
    MemberUp,
    ReachableMember,
    Settings,
    Terminated,
    UnreachableMember,
)
from casty.actor.local import LocalSystem
from casty.cluster.actors.member_events import Membership
from casty.cluster.control.machine import FOUND, JOIN, SILENT, STATUS, ControlMachine
from casty.cluster.control.topology import LeaderTable, MemberInfo, Topology, from_plain, of_machine, to_plain
from casty.runtime import current
from casty.wire.pack import pack, unpack
from sim import World

KINDS = (MemberUp, MemberLeft, UnreachableMember, ReachableMember)
SETTINGS = Settings(slots=8)


# -- the control entry


def machine() -> ControlMachine:
    made = ControlMachine()
    document = {
        "id": "x", "founder": "a", "name": "n", "generation": 1, "cluster_id": "c", "slots": 2, "replication": 3,
        "settings": {"session_ttl_s": 15.0, "drift": 0.01},
        "founders": [["a", "1", "a", 1, [None, 100, []]], ["b", "1", "b", 1, [None, 100, []]]],
    }  # fmt: skip
    made.apply(pack([FOUND, document]))
    return made


def silent(made: ControlMachine, node_id: str, incarnation: str, is_silent: bool) -> bool:
    """Apply a verdict; True if anything changed."""
    before = made.version
    assert made.apply(pack([SILENT, node_id, incarnation, is_silent])) == [0]
    return made.version > before


def test_silence_is_recorded_once_and_only_of_the_present_process() -> None:
    made = machine()
    assert silent(made, "b", "1", True)
    assert not silent(made, "b", "1", True)
    assert not silent(made, "b", "2", False)
    assert not silent(made, "z", "1", True)
    again = ControlMachine()
    again.load(made.dump())
    assert again.members == made.members
    assert again.members["b"].is_silent
    plain: Any = unpack(pack(to_plain(of_machine(again, LeaderTable()))))
    assert [row.is_silent for row in from_plain(plain, LeaderTable()).members.values()] == [False, True]
    made.apply(pack([JOIN, "b", "2", "b", 1, [None, 100, []]]))
    assert not made.members["b"].is_silent


def test_a_process_that_was_given_up_before_it_was_up_may_join_again() -> None:
    made = machine()
    made.apply(pack([JOIN, "c", "1", "c", 1, [None, 100, []]]))
    made.apply(pack([STATUS, "c", "1", "removed"]))
    made.apply(pack([JOIN, "c", "1", "c", 1, [None, 100, []]]))
    assert made.members["c"].status == "joining"
    made.apply(pack([STATUS, "c", "1", "up"]))
    made.apply(pack([STATUS, "c", "1", "down"]))
    made.apply(pack([STATUS, "c", "1", "removed"]))
    made.apply(pack([JOIN, "c", "1", "c", 1, [None, 100, []]]))
    assert made.members["c"].status == "joining"


# -- what one process makes of topologies


def follow(*steps: tuple[str, str, bool] | None) -> list[str]:
    """Let one member go through (incarnation, status, is silent); None takes it out. Returns the events."""
    local = LocalSystem("n", current())
    heard: list[str] = []
    for kind in KINDS:
        local.event_stream.tell(EventStreamSubscribe(kind, lambda event: heard.append(type(event).__name__)))
    membership = Membership(local)
    for version, step in enumerate(steps):
        members = {} if step is None else {"b": MemberInfo("b", step[0], "b", 1, step[1], step[2])}
        membership.follow(Topology(1, "c", version, 15.0, 0.01, members, (), {}, {}, LeaderTable()))
    return heard


UP, DOWN, LEFT, OUT, BACK = "MemberUp", "", "MemberLeft", "UnreachableMember", "ReachableMember"


@pytest.mark.parametrize(
    ("steps", "heard"),
    [
        ([("1", "joining", False), ("1", "up", False), ("1", "up", False)], [UP]),
        ([("1", "up", False), ("1", "up", True), ("1", "down", True)], [UP, OUT]),
        ([("1", "up", False), ("1", "down", False), ("1", "up", False)], [UP, OUT, BACK]),
        ([("1", "up", True), ("1", "down", True), ("1", "down", False), ("1", "up", False)], [OUT, UP, BACK]),
        ([("1", "up", False), ("1", "up", True), ("1", "up", False)], [UP, OUT, BACK]),
        ([("1", "up", False), ("1", "down", True), ("2", "joining", False), ("2", "up", False)], [UP, OUT, BACK, UP]),
        ([("1", "up", False), ("2", "joining", False), ("2", "up", False)], [UP, UP]),
        ([("1", "up", False), ("1", "removed", False), None], [UP, LEFT]),
        ([("1", "up", False), None], [UP, LEFT]),
    ],
)  # fmt: skip
async def test_each_change_is_told_once(steps: Any, heard: list[str]) -> None:
    assert follow(*steps) == heard


# -- clusters


@dataclass
class Diary:
    """What one system heard of one member, and when."""

    world: World
    heard: list[tuple[str, str, float]] = field(default_factory=list)

    def listen(self, stream: ActorRef[Any]) -> Diary:
        for kind in KINDS:
            stream.tell(EventStreamSubscribe(kind, self.take))
        return self

    def take(self, event: Any) -> None:
        self.heard.append((type(event).__name__, event.member.id, self.world.now_ns / 1e9))

    def of(self, node_id: str) -> list[str]:
        return [kind for kind, member, _ in self.heard if member == node_id]

    def at_s(self, kind: str) -> float:
        return next(at for known, _, at in self.heard if known == kind)


def run(body: Callable[[World], Any]) -> None:
    with World(1) as world:
        world.run(body(world), limit_s=300.0)
        assert world.errors == []


async def leader_of(nodes: list[ClusteredActorSystem]) -> int:
    state = await nodes[0].wait_for(len(nodes), timeout=20.0)
    return [node.self_node for node in nodes].index(state.leader)


def test_every_node_and_client_hears_of_a_paused_node_within_four_seconds_and_of_its_return() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3, config=SETTINGS)
        client = await world.client()
        await client.ready()
        leader = await leader_of(nodes)
        paused, other = (index for index in range(3) if index != leader)
        diaries = [Diary(world).listen(nodes[index].event_stream) for index in (leader, other)]
        diaries.append(Diary(world).listen(await stream_of(client)))
        await asyncio.sleep(2)
        name = f"node-{paused + 1}"
        began_s = world.now_ns / 1e9
        world.pause(name, 6.0)
        await asyncio.sleep(5)
        for diary in diaries:
            assert diary.of(name) == ["UnreachableMember"]
            assert 2.7 < diary.at_s("UnreachableMember") - began_s < 4.0
        for node in (nodes[leader], nodes[other]):
            state = await node.get_cluster_state()
            assert state.unreachable == (nodes[paused].self_node,)
            assert [member.status.value for member in state.members] == ["up"] * 3
        assert client.topology is not None
        assert client.topology.unreachable == (nodes[paused].self_node,)
        await asyncio.sleep(4)
        for diary in diaries:
            assert diary.of(name) == ["UnreachableMember", "ReachableMember"]
            assert diary.at_s("ReachableMember") - began_s < 8.0
        assert (await nodes[leader].get_cluster_state()).unreachable == ()

    run(main)


async def stream_of(client: ClusterClient) -> ActorRef[Any]:
    """Return the event stream that a client's actors see."""
    streams: list[ActorRef[Any]] = []

    def take(ctx: ActorContext[Any], message: object) -> None:
        streams.append(ctx.system.event_stream)

    client.spawn(Behaviors.receive(take), "listener").tell(1)
    await asyncio.sleep(0.1)
    return streams[0]


def test_a_dead_leader_is_unreachable_too_and_its_successor_is_reachable_again() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3, config=SETTINGS)
        leader = await leader_of(nodes)
        name = f"node-{leader + 1}"
        diary = Diary(world).listen(nodes[(leader + 1) % 3].event_stream)
        world.crash(name)
        await asyncio.sleep(8)
        assert diary.of(name) == ["UnreachableMember"]
        await asyncio.sleep(8)
        assert diary.of(name) == ["UnreachableMember"]
        await world.restart(name)
        await asyncio.sleep(3)
        assert diary.of(name) == ["UnreachableMember", "ReachableMember", "MemberUp"]
        others = [kind for kind, member, _ in diary.heard if member != name]
        assert others == []

    run(main)


def test_a_new_leader_does_not_take_a_silent_member_for_an_answering_one() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(5, config=SETTINGS)
        leader = await leader_of(nodes)
        dead, witness = (leader + 1) % 5, (leader + 2) % 5
        diary = Diary(world).listen(nodes[witness].event_stream)
        world.crash(f"node-{dead + 1}")
        await asyncio.sleep(5)
        world.crash(f"node-{leader + 1}")
        await asyncio.sleep(20)
        assert diary.of(f"node-{dead + 1}") == ["UnreachableMember"]
        assert diary.of(f"node-{leader + 1}") == ["UnreachableMember"]

    run(main)


def test_a_node_joins_a_cluster_that_is_old() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3, config=SETTINGS)
        diary = Diary(world).listen(nodes[0].event_stream)
        await asyncio.sleep(30)
        await world.start(added(world, "late"))
        await nodes[0].wait_for(4, timeout=5.0)
        await asyncio.sleep(15)
        assert diary.heard[0][:2] == ("MemberUp", "late:25520")
        assert len(diary.heard) == 1

    run(main)


def added(world: World, name: str) -> str:
    async def setup(process: Any) -> ClusteredActorSystem:
        seeds = [("node-1", 25520), (process.name, 25520)]
        node = ClusteredActorSystem(
            name="sim", host=process.name, port=25520, seed_nodes=seeds, config=SETTINGS
        )
        return await node.__aenter__()

    world.add_node(name, setup)
    return name


def test_watches_survive_silence_and_end_when_the_node_is_down() -> None:
    async def main(world: World) -> None:
        nodes = await world.cluster(3, config=SETTINGS)
        leader = await leader_of(nodes)
        away = (leader + 1) % 3
        nodes[away].spawn(Behaviors.ignore(), "watched")
        ref = nodes[leader].lookup("watched", node=nodes[away].self_node)
        assert ref is not None
        heard: list[object] = []

        async def start(ctx: ActorContext[Any]) -> Behavior[Any]:
            ctx.watch(ref)
            return Behaviors.receive(lambda ctx, message: heard.append(message))

        nodes[leader].spawn(Behaviors.setup(start), "watcher")
        await asyncio.sleep(1)
        world.pause(f"node-{away + 1}", 6.0)
        await asyncio.sleep(9)
        assert heard == []
        world.pause(f"node-{away + 1}", 30.0)
        await asyncio.sleep(12)
        assert heard == [Terminated(ref)]

    run(main)
