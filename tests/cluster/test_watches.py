"""Watches between nodes and clients under faults: each end is told once, and nothing that lives is told of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from casty import (
    ActorContext,
    ActorRef,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    Register,
    ServiceKey,
    Settings,
    Subscribe,
    Terminated,
)
from casty.actor.local import LocalSystem
from casty.address import NodeAddress
from casty.transport.link_watch import MISSED_PINGS
from sim import World

SETTINGS = Settings(slots=8)
NODES = ("node-1", "node-2", "node-3")
SILENT_S = SETTINGS.unreachable_after_s * (1 + 1 / MISSED_PINGS)
"""So long a link that died silently is taken for one that is there."""


class Bench:
    """Three nodes and two clients, and watchers whose ears are lists."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.nodes: list[ClusteredActorSystem] = []
        self.clients: list[ClusterClient] = []

    async def begin(self) -> None:
        self.nodes = await self.world.cluster(3, config=SETTINGS)
        self.clients = [await self.world.client(name) for name in ("c1", "c2")]
        for client in self.clients:
            await client.ready()
        await asyncio.sleep(1)

    def core(self, name: str) -> LocalSystem:
        if name.startswith("node"):
            return self.nodes[int(name[-1]) - 1].core
        actors = self.clients[int(name[-1]) - 1]._actors
        assert actors is not None
        return actors.local

    def target(self, name: str, path: str = "t") -> Any:
        return self.core(name).spawn(Behaviors.ignore(), path)

    def watch(self, name: str, ref: Any, path: str = "w") -> list[object]:
        """Watch from a process the same actor as `ref` of any; what the watcher hears."""
        core, heard = self.core(name), list[object]()
        there: ActorRef[Any] = core.make_ref(ref.address)

        async def start(ctx: ActorContext[Any]) -> Behavior[Any]:
            ctx.watch(there)
            return Behaviors.receive(lambda ctx, message: heard.append(message))

        core.spawn(Behaviors.setup(start), path)
        return heard

    def stop(self, name: str, path: str = "t") -> None:
        self.core(name).cells[path].stop()

    def leader(self) -> int:
        return next(place for place, node in enumerate(self.nodes) if node._node.host.groups[0].is_leading)


def run(body: Callable[[Bench], Awaitable[None]], seed: int = 1) -> None:
    async def main(world: World) -> None:
        bench = Bench(world)
        await bench.begin()
        await body(bench)

    with World(seed) as world:
        world.run(main(world), limit_s=600)


def told_once(heard: list[object]) -> bool:
    return [type(message) for message in heard] == [Terminated]


@pytest.mark.parametrize("watcher", ["node-1", "c1"])
@pytest.mark.parametrize(
    ("home", "cause"),
    [
        *(("node-3", cause) for cause in ("stop", "crash", "leave", "restart")),
        *(("c2", cause) for cause in ("stop", "crash", "leave")),
    ],
)
def test_each_end_is_told_once(watcher: str, home: str, cause: str) -> None:
    async def body(bench: Bench) -> None:
        heard = bench.watch(watcher, bench.target(home))
        await asyncio.sleep(2)
        assert heard == []
        if cause == "stop":
            bench.stop(home)
        elif cause == "crash":
            bench.world.crash(home)
        elif cause == "restart":
            await bench.world.restart(home)
        else:
            await bench.world.stop(home)
        await asyncio.sleep(3 if cause in ("stop", "leave") else 25)
        assert told_once(heard)

    run(body)


@pytest.mark.slow
def test_what_is_gone_already_or_never_was_is_told() -> None:
    async def body(bench: Bench) -> None:
        of_client, of_node = bench.target("c2"), bench.target("node-3")
        bench.world.crash("c2")
        bench.world.crash("node-3")
        await asyncio.sleep(40)
        places = [("node-1", of_client), ("node-1", of_node), ("c1", of_client), ("c1", of_node)]
        heard = [bench.watch(name, ref, f"w{number}") for number, (name, ref) in enumerate(places)]
        nobody = bench.nodes[0].lookup("nobody", node=bench.nodes[1].self_node)
        nowhere = bench.nodes[0].lookup("t", node=NodeAddress("node-9", 25520))
        heard += [bench.watch("node-1", ref, f"v{number}") for number, ref in enumerate((nobody, nowhere))]
        await asyncio.sleep(20)
        assert all(map(told_once, heard)), heard

    run(body)


@pytest.mark.parametrize("seed", range(1, 7))
def test_an_end_during_a_cut_is_told_after_it(seed: int) -> None:
    async def body(bench: Bench) -> None:
        heard = bench.watch("node-2", bench.target("node-1"))
        await asyncio.sleep(1 + seed / 7)
        cut = bench.world.partition(["node-1"], ["node-2"])
        await asyncio.sleep(1)
        bench.stop("node-1")
        await asyncio.sleep(5)
        cut.heal()
        await asyncio.sleep(10)
        assert told_once(heard)

    run(body, seed)


def test_a_minority_tells_no_end_of_a_client_until_it_has_seen_the_majority_for_the_ttl() -> None:
    async def body(bench: Bench) -> None:
        alone = NODES[bench.leader() - 1]
        majority = [name for name in NODES if name != alone]
        of_client = bench.target("c1")
        ears = [bench.watch(name, of_client) for name in (alone, majority[0])]
        await asyncio.sleep(1)
        cut = bench.world.partition([alone], majority)
        await asyncio.sleep(SILENT_S)
        bench.world.crash("c1")
        await asyncio.sleep(SILENT_S + SETTINGS.session_ttl_s + 2)
        assert told_once(ears[1]), "the majority judges"
        assert ears[0] == [], "it may be linked with the others"
        cut.heal()
        await asyncio.sleep(SETTINGS.session_ttl_s + 4)
        assert told_once(ears[0])

    run(body)


@pytest.mark.parametrize("how", ["one way", "both ways"])
@pytest.mark.parametrize("after_s", [1, 6])
def test_an_end_goes_around_a_cut_that_lasts(after_s: int, how: str) -> None:
    """Two nodes have no link, and the third one, which judges them, has links to both."""

    async def body(bench: Bench) -> None:
        home, other = (name for place, name in enumerate(NODES) if place != bench.leader())
        told, wanted = bench.watch(other, bench.target(home)), bench.watch(home, bench.target(other, "u"))
        await asyncio.sleep(1)
        if how == "one way":
            bench.world.cut(home, other)
        else:
            bench.world.partition([home], [other])
        await asyncio.sleep(after_s)
        bench.stop(home)
        bench.stop(other, "u")
        late = bench.watch(other, bench.target(home, "v"), "late")
        await asyncio.sleep(2 if after_s > SILENT_S else SILENT_S + 2)
        assert told_once(told)
        assert told_once(wanted)
        assert late == []
        bench.stop(home, "v")
        await asyncio.sleep(2)
        assert told_once(late), "watched, and ended, over the third node"

    run(body)


def test_a_client_whose_links_are_gone_for_less_than_the_ttl_is_not_lost() -> None:
    async def body(bench: Bench) -> None:
        of_client, of_node = bench.target("c1"), bench.target("node-1")
        ears = [bench.watch("node-2", of_client), bench.watch("c2", of_client)]
        heard = bench.watch("c1", of_node)
        await asyncio.sleep(1)
        cut = bench.world.isolate("c1")
        await asyncio.sleep(3)
        bench.stop("node-1")
        await asyncio.sleep(7)
        cut.heal()
        await asyncio.sleep(10)
        assert ears == [[], []], "it lives"
        assert told_once(heard), "and what it watched ended meanwhile"
        bench.stop("c1")
        await asyncio.sleep(3)
        assert all(map(told_once, ears))

    run(body)


def test_a_subscription_of_a_client_outlives_a_reset_of_its_links() -> None:
    key = ServiceKey[Any]("svc")

    async def body(bench: Bench) -> None:
        heard: list[int] = []
        core = bench.core("c1")
        ear = core.spawn(Behaviors.receive(lambda ctx, listing: heard.append(len(listing.instances))), "ear")
        at_node: Any = bench.nodes[0].receptionist
        core.make_ref(at_node.address).tell(Subscribe(key, ear))
        await asyncio.sleep(1)
        for name in NODES:
            bench.world.reset_links("c1", name)
        await asyncio.sleep(5)
        bench.nodes[1].receptionist.tell(Register(key, bench.nodes[1].spawn(Behaviors.ignore(), "i")))
        await asyncio.sleep(3)
        assert heard[-1] == 1

    run(body)


@pytest.mark.parametrize("how", ["pause", "cut"])
def test_a_node_that_was_taken_for_lost_loses_nothing_of_its_own(how: str) -> None:
    async def body(bench: Bench) -> None:
        own, other, of_client = bench.target("node-3"), bench.target("node-1"), bench.target("c1")
        ears = [
            bench.watch("node-3", ref, f"w{number}") for number, ref in enumerate((own, other, of_client))
        ]
        await asyncio.sleep(1)
        if how == "pause":
            bench.world.pause("node-3", 14)
            await asyncio.sleep(25)
        else:
            cut = bench.world.isolate("node-3")
            await asyncio.sleep(20)
            cut.heal()
            await asyncio.sleep(10)
        assert ears == [[], [], []]
        for name in ("node-3", "node-1", "c1"):
            bench.stop(name)
        await asyncio.sleep(3)
        assert all(map(told_once, ears)), ears

    run(body)


def test_a_watcher_that_the_leader_alone_took_for_lost_hears_of_an_end_after_that() -> None:
    async def body(bench: Bench) -> None:
        leader = bench.leader()
        here, there = (NODES[place] for place in range(3) if place != leader)
        heard = bench.watch(here, bench.target(there))
        back = bench.watch(there, bench.target(here, "back"), "back-watcher")
        await asyncio.sleep(1)
        cut = bench.world.partition([here], [NODES[leader]])
        await asyncio.sleep(20)
        assert told_once(back), "that is what the cluster says"
        cut.heal()
        await asyncio.sleep(10)
        assert heard == []
        bench.stop(there)
        await asyncio.sleep(3)
        assert told_once(heard)
        number = bench.core(here).cells["back"].number
        assert bench.core(here).watching.table.watchers_of(number) == 0, "nobody is left who watches it"

    run(body)


@pytest.mark.slow
def test_a_full_link_loses_no_notice() -> None:
    async def body(bench: Bench) -> None:
        heard = bench.watch("node-2", bench.target("node-1"))
        bench.target("node-2", "sink")
        sink = bench.nodes[0].lookup("sink", node=bench.nodes[1].self_node)
        assert sink is not None
        await asyncio.sleep(1)
        clog = bench.world.cut("node-1", "node-2")
        letters = bench.core("node-1").dead_letters
        while bench.core("node-1").dead_letters == letters:
            sink.tell(bytes(900_000))
        for _ in range(20_000):
            sink.tell(bytes(100))
        bench.stop("node-1")
        await asyncio.sleep(0.5)
        clog.heal()
        await asyncio.sleep(5)
        assert told_once(heard)

    run(body)


def test_at_rest_no_process_has_a_row() -> None:
    async def body(bench: Bench) -> None:
        names = ("node-1", "node-2", "c1", "c2")
        for home in names:
            ref = bench.target(home)
            for number, watcher in enumerate(names):
                bench.watch(watcher, ref, f"{home}-{number}")
        await asyncio.sleep(2)
        for home in names[::2]:
            bench.stop(home)
        for home in names[1::2]:
            for number, watcher in enumerate(names):
                bench.core(watcher).cells[f"{home}-{number}"].stop()
        await asyncio.sleep(5)
        for name in names:
            table: Any = bench.core(name).watching.table
            kept = (table._talks, table.mine, table._guards, table.held, table._by_node, table.shares._rows)
            assert not any(kept) and table._timer is None, name

    run(body)
