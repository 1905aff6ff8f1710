"""Keys with a time to live, and who watches maps, over what happens to a cluster."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest

from casty import ClusterClient, Dict, Distributed, Settings
from casty.cluster.slots import feed
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.schema import LAPSE
from casty.errors import NotStarted, OutcomeUnknown, Unavailable
from casty.structures import MapChange, MapState, MapWatch
from examples import rate_limiter
from sim import World
from sim.world.clusters import NODE_PORT, _node_setup
from sim.world.journal import SimJournal

NODES = 3
SETTINGS = Settings(slots=2, heartbeat_s=0.1, election_min_s=0.5, election_max_s=0.75, session_ttl_s=4.0)
LATE_S = 2.0
"""How much later than its time a key may end where its leader was lost: an election, and what nobody counted."""


def run(body: Callable[[World], Any], seed: int = 9_927_001, limit_s: float = 240.0) -> None:
    with World(seed) as world:
        world.run(body(world), limit_s=limit_s)
        assert world.errors == []


def node_of(world: World, name: str) -> Any:
    system: Any = world.processes[name].value
    return system._node


def leaders(world: World) -> dict[int, str]:
    """Return the node that leads each slot."""
    found: dict[int, str] = {}
    for name in world.node_names:
        if world.processes[name].value is not None:
            for number, group in node_of(world, name).host.groups.items():
                if number and group.is_leading:
                    found[number - 1] = name
    return found


def slot_of(entries: Dict[Any, Any], key: object) -> int:
    slot: int = entries._port.slot_of(2, entries._entity_of(key)) or 0
    return slot


def machines(world: World) -> list[Any]:
    return [
        replica.machine
        for name in world.node_names
        for replica in node_of(world, name).requests.slots.values()
    ]


async def begin(world: World, **options: Any) -> Dict[str, int]:
    await world.cluster(NODES, config=SETTINGS, **options)
    return (await world.client()).distributed().map[str, int]("m")


def now_s(world: World) -> float:
    return world.now_ns / 1e9


async def ends(world: World, entries: Dict[str, int], key: str) -> float:
    """Wait until a key is gone; return when."""
    while await entries.get(key) is not None:
        await asyncio.sleep(0.01)
    return now_s(world)


def test_a_key_ends_in_time_whoever_asks_and_when_nobody_does() -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        since = now_s(world)
        await entries.put("asked", 1, ttl_s=1.0)
        stored = now_s(world)
        await entries.put("unasked", 2, ttl_s=1.0)
        await asyncio.sleep(0.9)
        assert await entries.get("asked") == 1
        gone = await ends(world, entries, "asked")
        assert since + 1.0 <= gone <= stored + 1.0 + 0.05
        await asyncio.sleep(3 * SETTINGS.heartbeat_s)
        assert all(not machine.entities and machine.ends.next() is None for machine in machines(world))

    run(main)


def test_whoever_changes_a_key_that_is_over_finds_nothing() -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        for key in ("put", "absent", "swap", "delete", "touch", "persist"):
            await entries.put(key, 1, ttl_s=0.05)
        await asyncio.sleep(0.05 + 0.02)
        # No heartbeat has come since: each of these finds the end first.
        assert await entries.put("put", 2) is None
        assert await entries.put_if_absent("absent", 2)
        assert not await entries.compare_and_set("swap", 1, 2)
        assert not await entries.delete("delete")
        assert not await entries.touch("touch", 1.0)
        assert not await entries.persist("persist")

    run(main)


@pytest.mark.parametrize("seed", range(9_927_010, 9_927_014))
def test_a_time_to_live_goes_on_under_the_next_leader(seed: int) -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        since = now_s(world)
        await entries.put("k", 1, ttl_s=6.0)
        await asyncio.sleep(3.0)
        world.crash(leaders(world)[slot_of(entries, "k")])
        left = await entries.ttl("k")
        assert left is not None and left <= 6.0 - 3.0 + 0.2, "what has passed is not counted again"
        gone = await ends(world, entries, "k")
        assert since + 6.0 <= gone <= since + 6.0 + LATE_S

    run(main, seed)


def test_a_time_to_live_goes_on_where_a_slot_is_handed_over() -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        since = now_s(world)
        await entries.put("k", 1, ttl_s=6.0)
        await asyncio.sleep(3.0)
        await world.stop(leaders(world)[slot_of(entries, "k")])
        gone = await ends(world, entries, "k")
        assert since + 6.0 <= gone <= since + 6.0 + LATE_S

    run(main)


def test_a_time_to_live_goes_on_after_all_nodes_restarted_with_their_disks() -> None:
    async def main(world: World) -> None:
        entries = await begin(world, data_dir="disk")
        since = now_s(world)
        await entries.put("k", 1, ttl_s=60.0)
        await entries.put("plain", 1)
        await asyncio.sleep(30.0)
        for name in world.node_names:
            world.crash(name)
        await asyncio.sleep(5.0)
        await asyncio.gather(*[world.start(name) for name in world.node_names])
        left = await entries.ttl("k")
        assert left is not None
        # What was not in the log any more when all ended counts again: a sixteenth of what was left at most.
        assert 20.0 < left <= 60.0 - 30.0 + 60.0 / 16 + 1.0
        gone = await ends(world, entries, "k")
        assert since + 60.0 <= gone <= since + 60.0 + 5.0 + 60.0 / 16 + 5.0
        assert await entries.get("plain") == 1

    run(main)


def test_very_many_keys_end_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        for first in range(0, 600, 60):
            puts = [entries.put(f"key {number}", number, ttl_s=5.0) for number in range(first, first + 60)]
            await asyncio.gather(*puts)
        assert await entries.size() == 600
        sizes: list[int] = []
        sound = SlotMachine._lapse

        def lapse(machine: Any, time: int, names: Any) -> Any:
            sizes.append(len(names))
            return sound(machine, time, names)

        monkeypatch.setattr(SlotMachine, "_lapse", lapse)
        await asyncio.sleep(6.0)
        assert await entries.size() == 0
        assert max(sizes) <= 128 and sum(sizes) == NODES * 600

    run(main)


def test_nobody_tells_the_time_where_no_key_has_a_time_to_live() -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        await entries.put("k", 1)
        await asyncio.sleep(30.0)
        logs = [
            group.core.log for name in world.node_names for group in node_of(world, name).host.groups.values()
        ]
        assert not [entry for log in logs for entry in log.entries if entry.data[1:2] == bytes([LAPSE])]

    run(main)


# -- watches


class Mirror:
    """What a watcher makes of what it is told."""

    def __init__(self, watch: MapWatch[str, int]) -> None:
        self.watch = watch
        self.values: dict[str, int] = {}
        self.changes: list[MapChange[str, int]] = []
        self.states = 0
        self.again = 0
        self.task = asyncio.create_task(self.follow())

    async def follow(self) -> None:
        async for event in self.watch:
            if isinstance(event, MapState):
                self.states += 1
                self.again += not event.is_first
                for key in [key for key in self.values if event.covers(key)]:
                    del self.values[key]
                self.values.update(event.entries)
            else:
                self.changes.append(event)
                if event.kind == "put":
                    assert event.value is not None
                    self.values[event.key] = event.value
                else:
                    self.values.pop(event.key, None)


async def mirror(world: World, watch: MapWatch[str, int], slots: int) -> Mirror:
    found = Mirror(watch)
    await world.until(lambda: found.states >= slots, timeout_s=10.0)
    return found


async def end(found: Mirror) -> None:
    await found.watch.aclose()
    await found.task


@pytest.mark.parametrize("seed", range(9_927_020, 9_927_024))
def test_a_watcher_ends_up_with_what_is_there_whoever_dies(seed: int) -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        other = (await world.client()).distributed().map[str, int]("m")
        found = await mirror(world, other.watch(), SETTINGS.slots)
        stored: dict[str, int] = {}
        for number in range(60):
            key = f"key {number % 5}"
            if number in (20, 40):
                name = leaders(world)[slot_of(entries, key)]
                world.crash(name)
                await world.restart(name)
            await entries.put(key, number, ttl_s=600.0 if number % 2 else None)
            stored[key] = number
        await world.until(lambda: found.values == stored, timeout_s=10.0)
        await end(found)
        if not found.again:
            assert [(change.key, change.value) for change in found.changes if change.key == "key 0"] == [
                ("key 0", number) for number in range(0, 60, 5)
            ]

    run(main, seed)


def test_nothing_is_lost_where_a_leader_changed_and_nothing_happened() -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        await entries.put("k", 1)
        found = await mirror(world, entries.watch("k"), 1)
        await world.stop(leaders(world)[slot_of(entries, "k")])
        await entries.put("k", 2)
        await world.until(lambda: found.values == {"k": 2}, timeout_s=10.0)
        assert found.again == 0 and found.changes == [MapChange("k", "put", 2)]
        await end(found)

    run(main)


def test_a_slow_watcher_holds_up_nobody_and_is_told_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEPT", 8)

    async def main(world: World) -> None:
        entries = await begin(world)
        slow, quick = entries.watch("k"), await mirror(world, entries.watch("k"), 1)
        assert await anext(slow) == MapState((), True, lambda key: True)
        for number in range(20):
            await entries.put("k", number)
        await world.until(lambda: quick.values == {"k": 19}, timeout_s=5.0)
        assert quick.again == 0 and len(quick.changes) == 20
        state = await anext(slow)
        assert isinstance(state, MapState) and not state.is_first and state.entries == (("k", 19),)
        await entries.put("k", 20)
        assert await anext(slow) == MapChange("k", "put", 20)
        await slow.aclose()
        await end(quick)

    run(main)


def test_a_large_map_is_told_page_by_page() -> None:
    async def main(world: World) -> None:
        await world.cluster(NODES, config=SETTINGS)
        entries = (await world.client()).distributed().map[str, bytes]("m")
        keys = [f"key {number:03}" for number in range(40)]
        await asyncio.gather(*[entries.put(key, bytes(60_000)) for key in keys])
        told: dict[str, int] = {}
        pages = 0
        async with entries.watch() as events:
            while len(told) < len(keys):
                event = await anext(events)
                assert isinstance(event, MapState) and event.is_first
                pages += 1
                held = [key for key, _ in event.entries]
                assert [key for key in keys if event.covers(key)] == sorted(held)
                told |= dict.fromkeys(held, pages)
        assert pages > SETTINGS.slots

    run(main)


def test_a_watch_goes_on_when_its_client_was_cut_off() -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        watcher = await world.client()
        found = await mirror(world, watcher.distributed().map[str, int]("m").watch(), SETTINGS.slots)
        name = [name for name in world.processes if name.startswith("client")][-1]
        world.pause(name, 20.0)
        for number in range(10):
            await entries.put("k", number, ttl_s=1.0)
        await asyncio.sleep(25.0)
        await entries.put("k", 77)
        await world.until(lambda: found.values == {"k": 77}, timeout_s=30.0)
        await end(found)

    run(main)


@pytest.mark.parametrize("slots", [1, 5])
def test_a_watch_of_a_map_goes_on_in_a_generation_with_another_number_of_slots(slots: int) -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        client = (await world.client()).distributed().map[str, int]("m", timeout=60.0)
        for number in range(20):
            await entries.put(f"old {number}", number)
        found = await mirror(world, client.watch(), SETTINGS.slots)
        await world.until(lambda: len(found.values) == 20, timeout_s=10.0)
        names = list(world.node_names)
        for name in names:
            world.crash(name)
            options = {"config": dataclasses.replace(SETTINGS, slots=slots)}
            world.processes[name].setup = _node_setup([(name, NODE_PORT) for name in names], options)
        await asyncio.gather(*[world.restart(name) for name in names])
        stored = {f"new {number}": number for number in range(20)}
        for key, number in stored.items():
            await client.put(key, number)
        await world.until(lambda: found.values == stored, timeout_s=30.0)
        await client.delete("new 3")
        await world.until(lambda: "new 3" not in found.values, timeout_s=10.0)
        assert len(found.watch._slots) == slots
        await end(found)

    run(main)


def test_a_watch_ends_with_its_client_and_leaves_nothing_behind() -> None:
    async def main(world: World) -> None:
        entries = await begin(world)
        await entries.put("k", 1)
        watcher = await world.client()
        watch = watcher.distributed().map[str, int]("m").watch()
        found = await mirror(world, watch, SETTINGS.slots)
        await watcher.__aexit__(None, None, None)
        with pytest.raises(NotStarted):
            await found.task
        await asyncio.sleep(feed.KEPT_FOR_NS / 1e9 + 1.0)
        for name in world.node_names:
            assert node_of(world, name).memory.budget.usage.buffers < 1_000
            assert all(
                replica.maps.size_bytes == 0 for replica in node_of(world, name).requests.slots.values()
            )

    run(main)


# -- the example


@pytest.mark.parametrize("seed", range(9_927_030, 9_927_034))
def test_the_rate_limiter_lets_nobody_call_too_often_whoever_dies(seed: int) -> None:
    """No window of the true time has more calls in it that certainly began and ended there."""

    async def main(world: World) -> None:
        await world.cluster(NODES, config=SETTINGS)
        limiters = [
            (await world.client()).distributed().map[str, int]("windows", timeout=2.0) for _ in range(3)
        ]
        allowed: list[float] = []
        refused = 0

        async def call(windows: Dict[str, int]) -> None:
            nonlocal refused
            began_s = now_s(world)
            try:
                is_in = await rate_limiter.is_allowed(windows, "alice")
            except (OutcomeUnknown, Unavailable):
                return
            if is_in and now_s(world) - began_s < 0.1:
                allowed.append(now_s(world))
            refused += not is_in

        async def calls(windows: Dict[str, int]) -> None:
            for _ in range(60):
                await call(windows)
                await asyncio.sleep(0.1)

        def crash() -> None:
            world.crash(leaders(world)[slot_of(limiters[0], "alice")])

        world.after(3.0, crash)
        await asyncio.gather(*map(calls, limiters))
        at_once = [
            sum(first <= at < first + rate_limiter.WINDOW_S - 0.1 for at in allowed) for first in allowed
        ]
        assert refused > 20 and len(allowed) > 10
        # A window may end and the next begin in between: then there are the calls of two.
        assert max(at_once) <= 2 * rate_limiter.LIMIT

    run(main, seed)


# -- journals


async def journaled(world: World, client: ClusterClient, journal: SimJournal) -> Dict[str, int]:
    return Distributed(client, journal=journal).map[str, int]("m")


def test_with_a_journal_a_time_to_live_begins_anew_where_all_memory_was_lost() -> None:
    async def main(world: World) -> None:
        await world.cluster(NODES, config=SETTINGS)
        journal = SimJournal()
        client = await world.client()
        entries = await journaled(world, client, journal)
        await entries.put("over", 1, ttl_s=0.5)
        await entries.put("k", 1, ttl_s=20.0)
        await entries.put("touched", 1)
        await entries.touch("touched", 30.0)
        await entries.put("kept", 1, ttl_s=20.0)
        await entries.persist("kept")
        await ends(world, entries, "over")
        await asyncio.sleep(10.0)
        for name in world.node_names:
            world.crash(name)
        await asyncio.gather(*[world.restart(name) for name in world.node_names])
        again = await journaled(world, await world.client(), journal)
        assert await again.get("over") is None, "that it ended is on record, as somebody saw it"
        since = now_s(world)
        assert await again.get("k") == 1
        assert await again.ttl("kept") == math.inf
        left = await again.ttl("touched")
        assert left is not None and 29.0 < left <= 30.02
        assert {key: value async for key, value in again.items()} == {"k": 1, "touched": 1, "kept": 1}
        gone = await ends(world, again, "k")
        assert since + 20.0 - 0.1 <= gone <= since + 21.0

    run(main)


def test_with_a_journal_a_watcher_is_told_what_is_on_record() -> None:
    async def main(world: World) -> None:
        await world.cluster(NODES, config=SETTINGS)
        journal = SimJournal()
        entries = await journaled(world, await world.client(), journal)
        plain = (await world.client()).distributed().map[str, int]("m")
        await entries.put("k", 1)
        found = await mirror(world, entries.watch(), SETTINGS.slots)
        await plain.put("k", 2)  # committed, and on record with the next use by somebody with the journal
        await world.until(lambda: found.values == {"k": 2}, timeout_s=10.0)
        events = [
            event
            for name in journal.inner._events
            if name.startswith("map:")
            for event in journal.inner._events[name]
        ]
        assert len(events) >= 3, "the beginning of the life, and both changes"
        await end(found)

    run(main)
