"""What survives what: one test for each row of the table in docs/guarantees.md that no other test proves whole."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from casty import Behavior, Behaviors, ClusteredActorSystem, ShardEnvelope
from casty.config import Settings
from casty.errors import CastyError, OutcomeUnknown, Superseded, Unavailable
from sim import World
from tests.cluster.recovering import node_of, recover, run, start_recovered

TTL_S = 6.0
SETTINGS = Settings(slots=4, session_ttl_s=TTL_S, start_timeout_s=20.0)
NAMES = ("node-1", "node-2", "node-3")
LIVES = itertools.count(1)


class Lives:
    """Counts, per activation of an entity: each answer is (activation, messages that it has seen, where)."""

    def __init__(self, nodes: list[ClusteredActorSystem]) -> None:
        self.heard: list[int] = []
        """The activations that handled a message, one for each message."""
        for node in nodes:
            self.spawn(node)

    def spawn(self, node: ClusteredActorSystem) -> Any:
        return node.spawn(Behaviors.sharded(lambda _: self._behavior(node.node_id), num_shards=4), "lives")

    def _behavior(self, where: str) -> Behavior[Any]:
        async def start(_ctx: Any) -> Behavior[Any]:
            life, seen = next(LIVES), [0]

            async def received(_ctx: Any, reply_to: Any) -> None:
                seen[0] += 1
                self.heard.append(life)
                reply_to.tell((life, seen[0], where))

            return Behaviors.receive(received)

        return Behaviors.setup(start)

    @staticmethod
    async def ask(system: Any, key: str, timeout: float = 15.0) -> Any:
        is_node = isinstance(system, ClusteredActorSystem)
        ref: Any = system.lookup("lives") if is_node else system.entity_ref("lives", num_shards=4)
        return await system.ask(ref, lambda reply: ShardEnvelope(key, reply), timeout=timeout)


async def three(world: World, **options: Any) -> tuple[Any, Any, Lives]:
    nodes = await world.cluster(3, config=SETTINGS, **options)
    lives = Lives(nodes)
    client = await world.client()
    await client.ready()
    return client, client.distributed(), lives


def leader_of(world: World, group: int, among: tuple[str, ...] = NAMES) -> str | None:
    led = [name for name in among if world.processes[name].is_up and group in node_of(world, name).host.groups
           and node_of(world, name).host.groups[group].is_leading]  # fmt: skip
    return led[0] if led else None


@pytest.mark.parametrize("seed", range(9935300, 9935304))
def test_one_node_of_three_dies(seed: int) -> None:
    async def main(world: World) -> None:
        client, structures, _ = await three(world)
        counter = structures.counter("c")
        for number in range(1, 6):
            assert await counter.increment() == number
        before = await Lives.ask(client, "e")
        assert (await Lives.ask(client, "e"))[:2] == (before[0], 2)
        led = leader_of(world, 0)
        assert led is not None
        dead = led if seed % 2 else before[2]
        calls = [asyncio.ensure_future(counter.increment()) for _ in range(10)]
        await asyncio.sleep(0.001)
        world.crash(dead)
        began_ns = world.now_ns
        rest = tuple(name for name in NAMES if name != dead)
        await world.until(lambda: leader_of(world, 0, rest) is not None, timeout_s=2)
        assert world.now_ns - began_ns <= 2_000_000_000
        assert sorted(await asyncio.gather(*calls)) == list(range(6, 16)), "each once, none lost"
        after = await Lives.ask(client, "e")
        if dead == before[2]:
            assert after[0] != before[0] and after[1] == 1 and after[2] != dead, (
                "elsewhere, without its state"
            )

    run(seed, main)


@pytest.mark.parametrize("seed", range(9935310, 9935314))
def test_a_node_pauses_and_comes_back(seed: int) -> None:
    async def main(world: World) -> None:
        client, structures, lives = await three(world)
        counter = structures.counter("c")
        await counter.increment()
        life, _, home = await Lives.ask(client, "e")
        world.pause(home)
        lost = asyncio.ensure_future(
            Lives.ask(client, "e", timeout=30.0)
        )  # on its way to the one that is paused
        await asyncio.sleep(8)
        assert await counter.increment() == 2
        assert (await Lives.ask(client, "e"))[0] != life, "another activation, on a node that runs"
        heard = len(lives.heard)
        world.resume(home)
        await asyncio.sleep(3)
        await asyncio.wait([lost], timeout=30)
        assert life not in lives.heard[heard:], "the former one handles nothing any more"
        node = node_of(world, home)
        terms = {number: group.core.term for number, group in node.host.groups.items() if group.is_leading}
        for name in NAMES:
            for number, term in terms.items():
                assert node_of(world, name).host.groups[number].core.term <= term, "it led on no longer"
        assert await structures.counter("c").get() == 2
        assert (await Lives.ask(client, "e"))[0] != life

    run(seed, main)


@pytest.mark.parametrize("seed", range(9935320, 9935324))
def test_a_minority_is_cut_off(seed: int) -> None:
    async def main(world: World) -> None:
        client, structures, lives = await three(world)
        assert await structures.counter("c").increment() == 1
        _, _, home = await Lives.ask(client, "e")
        system: Any = world.processes[home].value
        mine = system.distributed().counter("c", timeout=4.0)
        await mine.get()
        rest = [name for name in NAMES if name != home]
        cut = world.partition([home], [*rest, "client-1"])
        began_ns = world.now_ns
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await world.processes[home].run(mine.increment())
        assert world.now_ns - began_ns < 4_500_000_000, "a typed error within the caller's timeout"
        await asyncio.sleep(4)
        heard = len(lives.heard)
        with pytest.raises((CastyError, TimeoutError)):
            await world.processes[home].run(Lives.ask(system, "e", timeout=2.0))
        assert lives.heard[heard:] == [], "the minority stopped its own"
        assert leader_of(world, 0, tuple(rest)) is not None
        assert await structures.counter("c", timeout=15).increment() in (2, 3)
        assert (await Lives.ask(client, "e"))[2] in rest, "those with the majority go on"
        cut.heal()
        await asyncio.sleep(5)
        assert await structures.counter("c").get() in (2, 3)

    run(seed, main)


def test_a_majority_is_lost_for_good_in_memory() -> None:
    async def main(world: World) -> None:
        _, structures, _ = await three(world)
        assert await structures.counter("c").increment() == 1
        world.crash("node-2")
        world.crash("node-3")
        with pytest.raises(CastyError):
            await structures.counter("c", timeout=5.0).increment()
        await asyncio.sleep(60)
        node = node_of(world, "node-1")
        rows = node.status()["lost"]
        assert len(rows) == 5 and all(row["unreachable"] == ["node-2", "node-3"] for row in rows)
        # Others come under their names, blank: nobody founds or fills anything anew by itself.
        for name in ("node-2", "node-3"):
            with pytest.raises((CastyError, TimeoutError)):
                await world.start(name)
            world.crash(name)
        assert all(not group.is_leading for group in node.host.groups.values())
        with pytest.raises(Unavailable):
            await structures.counter("c", timeout=5.0).get()

    run(9935330, main, limit_s=400)


def test_all_processes_restart_with_disks() -> None:
    async def main(world: World) -> None:
        client, structures, lives = await three(world, data_dir="disk")
        assert await structures.counter("c").increment() == 1
        life, _, _ = await Lives.ask(client, "e")
        generation = node_of(world, "node-1").control.machine.generation
        for name in NAMES:
            world.crash(name)
        await asyncio.gather(*[world.start(name) for name in NAMES])
        for name in NAMES:
            node: Any = world.processes[name].value
            lives.spawn(node)
        assert node_of(world, "node-1").control.machine.generation == generation
        assert await structures.counter("c", timeout=30).increment() == 2
        after = await Lives.ask(client, "e", timeout=30.0)
        assert after[0] != life and after[1] == 1, "fresh"

    run(9935340, main)


def test_a_client_dies_and_all_that_it_had_goes_after_its_time_to_live() -> None:
    async def main(world: World) -> None:
        _, structures, _ = await three(world)
        other = await world.client("doomed")
        theirs = other.distributed()
        process = world.processes["doomed"]
        await process.run(theirs.lock("l").acquire())
        await process.run(theirs.semaphore("s", 1).acquire())
        mine = structures.lock("waited")
        await mine.acquire()
        ending = [
            process.spawn(theirs.barrier("b", node_id="theirs").arrive(2)),
            process.spawn(theirs.lock("waited").acquire()),
        ]
        await asyncio.sleep(1)
        assert not any(task.done() for task in ending)
        world.crash("doomed")
        began_ns = world.now_ns
        await structures.lock("l", timeout=60.0).acquire()
        waited_s = (world.now_ns - began_ns) / 1e9
        assert TTL_S / 2 < waited_s < 2 * TTL_S, waited_s
        await structures.semaphore("s", 1, timeout=60.0).acquire()
        await mine.release()
        await structures.lock("waited", timeout=60.0).acquire()
        with pytest.raises(TimeoutError):
            await structures.barrier("b", node_id="mine", timeout=3.0).arrive(2)

    run(9935350, main)


def test_entities_are_fresh_after_the_loss_of_all_memory() -> None:
    async def main(world: World) -> None:
        client, _, lives = await three(world)
        life, _, _ = await Lives.ask(client, "e")
        for name in NAMES:
            world.crash(name)
        await asyncio.gather(*[world.start(name) for name in NAMES])
        for name in NAMES:
            system: Any = world.processes[name].value
            lives.spawn(system)
        after = await Lives.ask(client, "e", timeout=40.0)
        assert after[0] != life and after[1] == 1

    run(9935360, main)


def test_entities_of_a_recovered_cluster_are_fresh() -> None:
    """And those of the former one are over with the process, which ends when it meets the new one."""

    async def main(world: World) -> None:
        client, _, lives = await three(world, data_dir="disk")
        life, _, _ = await Lives.ask(client, "e")
        for name in NAMES:
            world.crash(name)
        await start_recovered(world, await recover(world, ["node-1"], "node-1"), "node-1")
        system: Any = world.processes["node-1"].value
        lives.spawn(system)
        after = await Lives.ask(client, "e", timeout=40.0)
        assert after[0] != life and after[1:] == (1, "node-1")
        ends = await asyncio.gather(world.start("node-2"), world.start("node-3"), return_exceptions=True)
        assert all(isinstance(end, Superseded) for end in ends)
        assert (await Lives.ask(client, "e"))[:2] == (after[0], 2)

    run(9935370, main)
