"""What is said of watches: each way in which an end may be told too early, twice, late or never is a violation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.actor.ref import RemoteActorRef
from casty.address import ActorAddress
from casty.config import Settings
from casty.events import LinkDown, LinkUp, MemberChanged, TopologyChanged
from sim.checks.step.leaving import LEAVES_WITHIN_S, Leaving
from sim.checks.step.lives import Life, Lives
from sim.checks.step.watches import SOON_S, Watches
from sim.checks.violation import Violation
from sim.kernel.events import FaultBegan, FaultEnded
from sim.world.world import World

SETTINGS = Settings(session_ttl_s=6.0, unreachable_after_s=1.0, down_after_s=2.0)


async def nothing(process: Any) -> object:
    return process


class Party:
    """Two nodes and a client with an actor each, watched from the first node."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.found: list[Violation] = []
        self.lives = Lives(world)
        self.watches = Watches(world, self.lives, SETTINGS, self.found.append)
        self.actors: dict[str, Life] = {}

    async def begin(self) -> None:
        for name in ("node-1", "node-2", "client-1"):
            self.world.add_node(name, nothing)
            await self.world.start(name)
            self.actors[name] = self.live(name)
        self.lives.client_is(self.world.processes["client-1"], "client-x")

    def live(self, name: str) -> Life:
        ref = RemoteActorRef[Any](ActorAddress("sim", "/a", name, 1, name), lambda address, message: None)
        return self.lives.began(self.world.processes[name], "/a", ref)

    def watch(self, name: str) -> Life:
        target = self.actors[name]
        self.watches.begun(self.actors["node-1"], target.ref, target, is_by_path=False)
        return target

    def stop(self, name: str) -> None:
        self.lives.stopped(self.world.processes[name], "/a")

    def tell(self, target: Life) -> None:
        watcher = self.actors["node-1"]
        watcher.reads(self.world.now_ns)
        self.watches.heard(watcher, target.ref)
        watcher.free_ns = self.world.now_ns

    def speak(self, speaker: Life) -> None:
        self.watches.speaks(self.actors["node-1"].label, speaker.process.incarnation.label, 1)

    def hear(self, speaker: Life) -> None:
        listener, sender = self.actors["node-1"], speaker.process.incarnation.label
        self.watches.said(listener, speaker.label, sender, 1)

    @property
    def numbers(self) -> list[int]:
        return [violation.number for violation in self.found]


async def once(party: Party) -> list[int]:
    target = party.watch("node-2")
    party.stop("node-2")
    party.tell(target)
    return []


async def twice(party: Party) -> list[int]:
    await once(party)
    party.tell(party.actors["node-2"])
    return [55]


async def by_path_and_by_life(party: Party) -> list[int]:
    target, watcher = party.actors["node-2"], party.actors["node-1"]
    address = ActorAddress("sim", "/a", "node-2", 1)
    path = RemoteActorRef[Any](address, lambda address, message: None)
    party.watches.begun(watcher, path, None, is_by_path=True)
    party.watch("node-2")
    party.stop("node-2")
    party.tell(target)
    party.watches.heard(watcher, path)
    return []


async def of_who_lives(party: Party) -> list[int]:
    party.tell(party.watch("node-2"))
    return [55]


async def of_who_was_given_up(party: Party) -> list[int]:
    target = party.watch("node-2")
    party.world.record("node-1", MemberChanged("node-2", "down"))
    party.tell(target)
    return []


async def of_who_was_given_up_long_ago(party: Party) -> list[int]:
    party.world.record("node-1", MemberChanged("node-2", "down"))
    await asyncio.sleep(1)
    party.world.record("node-1", MemberChanged("node-2", "up"))
    await asyncio.sleep(1)
    party.tell(party.watch("node-2"))
    return [55]


async def of_who_was_given_up_as_a_client_knows(party: Party) -> list[int]:
    world, target, watcher = party.world, party.actors["node-2"], party.actors["client-1"]
    for event in (MemberChanged("node-2", "down"), TopologyChanged(1, 4), MemberChanged("node-2", "up")):
        world.record("node-1", event)
    world.record("node-1", TopologyChanged(1, 6))
    await asyncio.sleep(1)
    for version in (4, 6):  # it was held, and hears of the judgement long after it
        world.record("client-1", TopologyChanged(1, version))
        await asyncio.sleep(1)
        party.watches.begun(watcher, target.ref, target, is_by_path=False)
        party.watches.heard(watcher, target.ref)
    return [55]


async def of_a_client_in_reach(party: Party) -> list[int]:
    target = party.watch("client-1")
    party.world.record("node-1", LinkUp("client-x#1"))
    await asyncio.sleep(10)
    party.world.record("node-1", LinkDown("client-x#1", "cut"))
    await asyncio.sleep(SETTINGS.session_ttl_s / 2)
    party.tell(target)
    return [55]


async def out_of_reach(party: Party) -> Life:
    target = party.watch("client-1")
    party.world.record("node-1", LinkUp("client-x#1"))
    party.world.record("node-1", LinkDown("client-x#1", "cut"))
    await asyncio.sleep(SETTINGS.session_ttl_s)
    return target


async def of_a_client_out_of_reach(party: Party) -> list[int]:
    party.tell(await out_of_reach(party))
    return []


async def of_a_client_that_was_out_of_reach_by_who_was_busy(party: Party) -> list[int]:
    party.actors["node-1"].reads(party.world.now_ns + 1)
    target = await out_of_reach(party)
    party.world.record("node-1", LinkUp("client-x#1"))
    await asyncio.sleep(1)
    party.actors["node-1"].free_ns = party.world.now_ns
    party.tell(target)
    return []


async def of_a_client_that_was_out_of_reach_by_who_was_free(party: Party) -> list[int]:
    target = await out_of_reach(party)
    party.world.record("node-1", LinkUp("client-x#1"))
    await asyncio.sleep(1)
    party.tell(target)
    return [55]


async def of_a_client_through_another_node(party: Party) -> list[int]:
    target = party.watch("client-1")
    for node, peer in (("node-1", "node-2"), ("node-2", "node-1")):
        for _ in range(2):
            party.world.record(node, LinkUp(f"{peer}#1"))
    party.world.record("node-2", LinkUp("client-x#1"))
    await asyncio.sleep(2 * SETTINGS.session_ttl_s)
    party.tell(target)
    return [55]


async def of_a_client_that_is_too_young(party: Party) -> list[int]:
    await asyncio.sleep(SETTINGS.session_ttl_s)
    party.lives.client_is(party.world.processes["client-1"], "client-y")
    target = party.watch("client-1")
    await asyncio.sleep(SETTINGS.session_ttl_s / 2)
    party.tell(target)
    return [55]


async def never(party: Party) -> list[int]:
    await asyncio.sleep(10)
    party.watch("node-2")
    party.stop("node-2")
    await asyncio.sleep(SOON_S + 0.1)
    return [55]


async def late_over_a_fault(party: Party) -> list[int]:
    await asyncio.sleep(10)
    party.watch("node-2")
    party.world.record("nemesis", FaultBegan("link_loss", ("node-1", "node-2")))
    party.stop("node-2")
    await asyncio.sleep(SOON_S + 0.1)
    party.world.record("nemesis", FaultEnded("link_loss", ("node-1", "node-2")))
    assert len(list(party.watches.overdue(party.world.now_ns))) == 1
    return []


async def behind_its_end(party: Party) -> list[int]:
    target = party.watch("node-2")
    party.world.record("node-2", LinkUp("node-1#1"))
    await asyncio.sleep(1)
    party.speak(target)
    party.stop("node-2")
    party.tell(target)
    party.hear(target)
    return [55]


async def behind_its_end_on_a_former_link(party: Party) -> list[int]:
    target = party.watch("node-2")
    party.speak(target)
    party.stop("node-2")
    await asyncio.sleep(1)
    party.world.record("node-2", LinkUp("node-1#1"))
    party.tell(target)
    party.hear(target)
    return []


@pytest.mark.parametrize(
    "timeline",
    [
        once, twice, by_path_and_by_life, of_who_lives, of_who_was_given_up, of_who_was_given_up_long_ago,
        of_who_was_given_up_as_a_client_knows,
        of_a_client_in_reach, of_a_client_out_of_reach, of_a_client_that_was_out_of_reach_by_who_was_busy,
        of_a_client_that_was_out_of_reach_by_who_was_free, of_a_client_through_another_node,
        of_a_client_that_is_too_young, never, late_over_a_fault, behind_its_end, behind_its_end_on_a_former_link,
    ],
    ids=lambda timeline: timeline.__name__,
)  # fmt: skip
def test_an_end_is_told_once_and_in_time(timeline: Any) -> None:
    async def main(party: Party) -> list[int]:
        await party.begin()
        expected: list[int] = await timeline(party)
        return expected

    with World(1) as world:
        party = Party(world)
        assert world.run(main(party)) == party.numbers, party.found


def test_who_leaves_is_measured_without_the_time_in_which_it_is_held() -> None:
    async def main(world: World) -> tuple[object, object]:
        world.add_node("node-1", nothing)
        await world.start("node-1")
        leaving = Leaving(world, "node-1")
        world.pause("node-1", LEAVES_WITHIN_S)
        await asyncio.sleep(2 * LEAVES_WITHIN_S - 0.1)
        in_time = leaving.gone()
        await asyncio.sleep(0.2)
        return in_time, leaving.gone()

    with World(1) as world:
        in_time, late = world.run(main(world))
        assert in_time is None
        assert isinstance(late, Violation)
        assert late.number == 56
