"""Event-sourced entities of a region: they outlive their node, all nodes with disks, and a lack of room."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from casty import (
    ActorContext,
    Behavior,
    Behaviors,
    ClusterClient,
    ClusteredActorSystem,
    InMemoryJournal,
    Persisted,
    Settings,
    ShardEnvelope,
    SnapshotEvery,
    message,
)
from casty.cluster.slots.machine import SlotMachine
from casty.distributed.machines.base import EVENTS
from casty.distributed.machines.events import EventLog, Home, home_of, log_name
from casty.errors import CastyError, MessageTooLarge, Overloaded
from casty.wire.codec import default_codec
from casty.wire.pack import pack
from sim import World
from sim.workloads.population import actors_of

SHARDS = 4


@message(name="test.entity_events.added")
@dataclass(frozen=True)
class Added:
    cents: int


class Bank:
    """What all nodes host, and what their entities did."""

    def __init__(self, **region: Any) -> None:
        self.region = region
        self.lives: list[tuple[str, str]] = []
        self.more: dict[str, Any] = {}
        self.ends: list[str] = []

    def host(self, node: ClusteredActorSystem) -> None:
        def account(entity_id: str) -> Behavior[Any]:
            self.lives.append((node.node_id, entity_id))
            sourced = Behaviors.event_sourced(
                entity_id=entity_id,
                initial_state=0,
                on_event=self.on_event,
                on_command=self.on_command,
                **self.more,
            )
            return Behaviors.with_lifecycle(sourced, post_stop=partial(self.ended, entity_id))

        node.spawn(Behaviors.sharded(account, num_shards=SHARDS, **self.region), "bank")

    async def ended(self, entity_id: str, ctx: Any) -> None:
        self.ends.append(entity_id)

    def on_event(self, cents: int, event: Added) -> int:
        return cents + event.cents

    async def on_command(
        self, ctx: ActorContext[Any], cents: int, message: list[Any]
    ) -> Persisted[Any] | None:
        what, argument, reply_to = message
        match what:
            case "add":
                reply_to.tell(cents + argument)
                return Behaviors.persisted([Added(argument)])
            case "events":
                return Behaviors.persisted([Added(1)] * argument, then=reply_to.tell)
            case "node":
                reply_to.tell(ctx.system.node_id)  # type: ignore[attr-defined]
            case "child":
                child = ctx.spawn(self.child(), "child")
                child.tell(reply_to)
            case "slow":
                await asyncio.sleep(argument)
                reply_to.tell(cents)
            case _:
                reply_to.tell(cents)
        return None

    def child(self) -> Behavior[Any]:
        def on_command(ctx: Any, count: int, reply_to: Any) -> Persisted[int]:
            return Behaviors.persisted([1], then=reply_to.tell)

        return Behaviors.event_sourced(
            entity_id="visits", initial_state=0, on_event=int.__add__, on_command=on_command
        )


async def ask(
    client: ClusterClient, entity_id: str, what: str = "get", argument: Any = 0, timeout: float = 10.0
) -> Any:
    ref = client.entity_ref("bank", num_shards=SHARDS)
    envelope: Any = lambda reply_to: ShardEnvelope(entity_id, [what, argument, reply_to])  # noqa: E731
    return await client.ask(ref, envelope, timeout=timeout)


async def asked_again(client: ClusterClient, entity_id: str) -> Any:
    """Ask again what was sent to a node that died: a message is sent once."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await ask(client, entity_id, timeout=1.0)
            except TimeoutError:
                await asyncio.sleep(0.1)


async def founded(world: World, bank: Bank, nodes: int = 3, **settings: Any) -> ClusterClient:
    systems = await world.cluster(nodes, config=Settings(slots=2, **settings))
    for system in systems:
        bank.host(system)
    # A slot that is handed over ends its entities, whatever they do.
    node: Any = systems[0]._node
    slots = node.control.machine.slots
    await world.until(
        lambda: [row.preferred for row in slots] == [node.leaders.leader_of(at) for at in range(len(slots))],
        timeout_s=30,
    )
    return await world.client()


def run(seed: int, main: Any) -> None:
    with World(seed) as world:
        world.run(main(world), limit_s=300)


def logs_of(world: World, entity_id: str, log_id: str | None = None) -> list[EventLog]:
    """Return each replica's log of an entity."""
    from casty.actor.sharding import shard_of

    name = log_name(
        Home("bank", shard_of(entity_id, SHARDS), entity_id, entity_id if log_id is None else log_id)
    )
    machines: list[SlotMachine] = [
        replica.machine
        for node in world.node_names
        if world.processes[node].is_up
        for replica in world.processes[node].value._node.requests.slots.values()
    ]
    return [machine.entities[EVENTS, name] for machine in machines if (EVENTS, name) in machine.entities]


@pytest.mark.parametrize("seed", range(9_915_000, 9_915_004))
def test_an_entity_outlives_its_node_and_nothing_acknowledged_is_lost(seed: int) -> None:
    async def main(world: World) -> None:
        bank = Bank()
        bank.more["snapshot_policy"] = SnapshotEvery(3) if seed % 2 else None
        client = await founded(world, bank)
        for number in range(1, 8):
            assert await ask(client, "a", "add", 1) == number
        home = await ask(client, "a", "node")
        world.crash(home)
        assert await asked_again(client, "a") == 7
        assert await ask(client, "a", "add", 1) == 8
        await asyncio.sleep(2)
        codec = default_codec()
        for log in logs_of(world, "a"):
            before = 0 if log.snapshot is None else codec.decode(log.snapshot)
            assert log.number == 8
            assert before == log.base
            assert [codec.decode(event) for event in log.tail] == [Added(1)] * (8 - log.base)
        assert len(logs_of(world, "a")) == 2

    run(seed, main)


def test_all_nodes_end_at_once_and_their_disks_have_the_events() -> None:
    async def main(world: World) -> None:
        bank = Bank()
        settings = Settings(slots=2, snapshot_entries=10)
        for system in await world.cluster(3, config=settings, data_dir="disk"):
            bank.host(system)
        client = await world.client()
        for _ in range(30):
            await ask(client, "a", "add", 2)
        for name in world.node_names:
            world.crash(name)
        await asyncio.gather(*[world.start(name) for name in world.node_names])
        for name in world.node_names:
            bank.host(world.processes[name].value)
        again = await world.client()
        assert await ask(again, "a", timeout=30) == 60

    run(9_915_010, main)


def test_each_child_of_an_entity_may_have_a_log_of_its_own() -> None:
    async def main(world: World) -> None:
        bank = Bank()
        client = await founded(world, bank, nodes=1)
        assert await ask(client, "a", "child") == 1
        assert await ask(client, "a", "add", 5) == 5
        assert [log.number for log in logs_of(world, "a", "visits")] == [1]
        assert [log.number for log in logs_of(world, "a")] == [1]

    run(9_915_011, main)


def test_what_is_too_large_is_a_typed_error_and_the_entity_goes_on() -> None:
    async def main(world: World) -> None:
        bank = Bank()
        client = await founded(
            world, bank, nodes=1, max_value_bytes=2_000, max_frame_bytes=65_536, snapshot_chunk_bytes=2_000
        )
        assert await ask(client, "a", "add", 5) == 5
        with pytest.raises(MessageTooLarge):
            await ask(client, "a", "events", 1_000)
        with pytest.raises(MessageTooLarge, match="at most 1000 events"):
            await ask(client, "a", "events", 1_001)
        assert await ask(client, "a", "add", 5) == 10

    run(9_915_012, main)


def test_a_log_keeps_within_its_bound_by_snapshots_of_its_own() -> None:
    async def main(world: World) -> None:
        bank = Bank()
        client = await founded(world, bank, nodes=1)
        for number in range(1, 25):
            assert await ask(client, "a", "events", 100) == 100 * number
        (log,) = logs_of(world, "a")
        assert log.number == 2_400
        assert len(log.tail) < 600
        assert await ask(client, "a") == 2_400

    run(9_915_013, main)


def test_a_client_cannot_write_a_log() -> None:
    async def main(world: World) -> None:
        client = await founded(world, Bank())
        await ask(client, "a", "add", 1)
        port: Any = client.structures
        name = log_name(Home("bank", 0, "a", "a"))
        assert home_of(name) is not None
        for command in ([1, b"thief"], [2, b"thief", 0, [pack(1)]], [0]):
            with pytest.raises(CastyError, match="expected a kind of structure that clients write"):
                await port.command(EVENTS, name, command, timeout_s=5)
        assert await ask(client, "a", "add", 1) == 2

    run(9_915_014, main)


def test_a_journal_in_a_region_is_the_log() -> None:
    async def main(world: World) -> None:
        bank = Bank()
        bank.more["journal"] = journal = InMemoryJournal()
        client = await founded(world, bank)
        for number in range(1, 5):
            assert await ask(client, "a", "add", 1) == number
        world.crash(await ask(client, "a", "node"))
        assert await asked_again(client, "a") == 4
        assert [row.event for row in await journal.load("a")] == [Added(1)] * 4
        assert logs_of(world, "a") == []

    run(9_915_015, main)


def test_idle_entities_are_unloaded_and_come_back_with_what_they_know() -> None:
    async def main(world: World) -> None:
        bank = Bank(idle_timeout=2.0)
        client = await founded(world, bank)
        await ask(client, "a", "add", 3)
        await asyncio.sleep(1.5)
        await ask(client, "b", "add", 4)
        slow = asyncio.ensure_future(ask(client, "c", "slow", 4.0))
        await asyncio.sleep(1.2)
        assert bank.ends == ["a"]
        await asyncio.sleep(2.5)
        assert bank.ends == ["a", "b"], "one that is at work is not idle"
        assert await slow == 0
        assert await ask(client, "a") == 3
        assert [entity_id for _, entity_id in bank.lives] == ["a", "b", "c", "a"]
        await asyncio.sleep(10)
        assert sorted(bank.ends) == ["a", "a", "b", "c"]

    run(9_915_016, main)


@pytest.mark.parametrize("seed", range(9_915_020, 9_915_024))
def test_more_entities_than_may_live_take_turns_and_lose_nothing(seed: int) -> None:
    async def main(world: World) -> None:
        bank = Bank(max_activations=3)
        client = await founded(world, bank, nodes=1)
        ids = [f"e{number}" for number in range(10)]
        asks = [ask(client, entity_id, "add", 1, timeout=60) for _ in range(6) for entity_id in ids]
        totals = await asyncio.gather(*asks)
        assert sorted(totals) == sorted([number for number in range(1, 7) for _ in ids])
        host = actors_of(world.processes["node-1"].value).host
        assert host.entities <= 3
        assert [await ask(client, entity_id) for entity_id in ids] == [6] * 10
        assert len(bank.lives) > 10

    run(seed, main)


def test_the_one_that_was_used_least_recently_goes_first() -> None:
    async def main(world: World) -> None:
        bank = Bank(max_activations=2)
        client = await founded(world, bank, nodes=1)
        for entity_id in ("a", "b", "a", "c"):
            await ask(client, entity_id)
        assert bank.ends == ["b"]
        slow = asyncio.ensure_future(ask(client, "a", "slow", 3.0))
        await ask(client, "c")
        await asyncio.sleep(0.1)
        await ask(client, "d")
        assert bank.ends == ["b", "c"], "one that is at work is spared where another is free"
        await slow

    run(9_915_030, main)


def test_entities_without_events_are_not_unloaded_to_make_room() -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1, config=Settings(slots=2))

        def counting(entity_id: str) -> Behavior[Any]:
            return Behaviors.receive(lambda ctx, message: message[2].tell(entity_id))

        node.spawn(Behaviors.sharded(counting, num_shards=SHARDS, max_activations=2), "bank")
        client = await world.client()
        assert [await ask(client, entity_id) for entity_id in "ab"] == ["a", "b"]
        with pytest.raises(Overloaded, match="max_activations: 2 entities"):
            await ask(client, "c")
        assert await ask(client, "a") == "a"

    run(9_915_031, main)


@pytest.mark.parametrize("limits", [{"idle_timeout": 0.01}, {"idle_timeout": -1}, {"max_activations": 0}])
def test_limits_are_checked(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(limits))}: expected"):
        Behaviors.sharded(lambda entity_id: Behaviors.ignore(), **limits)
