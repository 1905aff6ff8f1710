"""The world: crashes, pauses, restarts, the trace."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from casty.runtime import current
from sim import CrashedError, TraceEvent, World
from sim.kernel.trace import Trace
from sim.net.partitions import Partition
from sim.world.process import Process


class Tick(NamedTuple):
    """A process ran."""

    number: int


class Ticker:
    """Reports once a second, and whether its clean-up ran."""

    def __init__(self) -> None:
        self.cleaned: list[str] = []

    async def setup(self, process: Process) -> Ticker:
        self.task = asyncio.create_task(self.run())
        return self

    async def run(self) -> None:
        number = 0
        try:
            while True:
                current().observe(Tick(number))
                number += 1
                await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cleaned.append("cancelled")
            raise
        finally:
            self.cleaned.append("finally")

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def ticks(world: World) -> list[tuple[float, object]]:
    return [(entry.t_ns / 1e9, entry.event[0]) for entry in world.trace if entry.kind == "Tick"]


def test_crash_runs_not_a_line() -> None:
    ticker = Ticker()

    async def main(world: World) -> None:
        world.add_node("a", ticker.setup)
        await world.start("a")
        await asyncio.sleep(2.5)
        world.crash("a")
        await asyncio.sleep(10)
        assert ticker.cleaned == []
        assert [number for _, number in ticks(world)] == [0, 1, 2]

    with World(1) as world:
        world.run(main(world))
        before = world.digest()
    assert world.digest() == before


def test_crash_within_its_own_callback_has_no_further_effect() -> None:
    async def main(world: World) -> None:
        sent: list[str] = []

        async def suicide(process: Process) -> None:
            process.world.crash("a")
            asyncio.get_running_loop().call_soon(sent.append, "soon")
            asyncio.get_running_loop().call_later(1, sent.append, "later")
            await asyncio.sleep(0)
            sent.append("after")

        world.add_node("a", suicide)
        with pytest.raises(CrashedError):
            await world.start("a")
        await asyncio.sleep(5)
        assert sent == []

    with World(1) as world:
        world.run(main(world))


def test_pause_holds_and_resume_catches_up() -> None:
    ticker = Ticker()

    async def main(world: World) -> None:
        world.add_node("a", ticker.setup)
        await world.start("a")
        await asyncio.sleep(0.5)
        world.pause("a", 5.0)
        await asyncio.sleep(6)
        # Its timer ran out while it was held: it fires late, once, and the next one a second after that.
        assert ticks(world) == [(0.0, 0), (5.5, 1)]

    with World(1) as world:
        world.run(main(world))


def test_a_pause_ends_with_its_incarnation() -> None:
    ticker = Ticker()

    async def main(world: World) -> None:
        world.add_node("a", ticker.setup)
        await world.start("a")
        world.pause("a", 5.0)
        await world.restart("a")
        world.pause("a")
        await asyncio.sleep(20)
        assert world.processes["a"].is_paused
        await world.quiesce(1.0)
        assert not world.processes["a"].is_paused

    with World(1) as world:
        world.run(main(world))


def test_restart_identities() -> None:
    async def main(world: World) -> list[str]:
        async def setup(process: Process) -> str:
            process.disk = process.disk or current().entropy.token("disk", 4).hex()
            return current().entropy.token("incarnation", 8).hex()

        process = world.add_node("a", setup)
        tokens = [await world.start("a"), await world.restart("a")]
        disk = process.disk
        assert process.node_id == "a"
        tokens.append(await world.restart("a", identity="new"))
        assert process.node_id == "a.2"
        assert process.disk != disk
        with pytest.raises(ValueError, match="identity"):
            await world.restart("a", identity="other")
        assert len(dict.fromkeys(tokens)) == 3
        return [str(token) for token in tokens]

    runs = []
    for _ in range(2):
        with World(1) as world:
            runs.append(world.run(main(world)))
    assert runs[0] == runs[1]


def test_stop_is_graceful() -> None:
    ticker = Ticker()

    async def main(world: World) -> None:
        world.add_node("a", ticker.setup)
        await world.start("a")
        await asyncio.sleep(1.5)
        await world.stop("a")
        assert ticker.cleaned == ["cancelled", "finally"]
        assert not world.processes["a"].is_up

    with World(1) as world:
        world.run(main(world))


def test_awaiting_a_process_that_crashes() -> None:
    async def main(world: World) -> None:
        world.add_node("a", Ticker().setup)
        await world.start("a")
        world.after(1.0, world.crash, "a")
        with pytest.raises(CrashedError, match="a crashed"):
            await world.processes["a"].run(asyncio.sleep(100))
        with pytest.raises(CrashedError, match="not running"):
            await world.processes["a"].run(asyncio.sleep(100))

    with World(1) as world:
        world.run(main(world))


def test_cancelling_the_wait_cancels_the_work() -> None:
    ticker = Ticker()

    async def main(world: World) -> None:
        async def idle(process: Process) -> None:
            return None

        process = world.add_node("a", idle)
        await world.start("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.run(ticker.run()), 1.5)
        await asyncio.sleep(0)
        assert ticker.cleaned == ["cancelled", "finally"]

    with World(1) as world:
        world.run(main(world))


def test_run_until_and_until() -> None:
    ticker = Ticker()
    with World(1) as world:
        world.add_node("a", ticker.setup)
        world.run(world.start("a"))
        world.run_until(3.5)
        assert len(ticks(world)) == 4
        world.run_until(lambda: len(ticks(world)) == 7)
        assert world.now_ns == 6_000_000_000
        world.run(world.until(lambda: len(ticks(world)) == 9, timeout_s=5))
        with pytest.raises(TimeoutError):
            world.run(world.until(lambda: False, timeout_s=5))


def test_nodes_have_their_own_entropy_and_clock() -> None:
    async def main(world: World) -> None:
        async def setup(process: Process) -> tuple[int, int]:
            runtime = current()
            return runtime.clock.now(), runtime.entropy.below("x", 10**12)

        for name in ("a", "b"):
            world.add_node(name, setup)
        first, second = await world.start("a"), await world.start("b")
        assert isinstance(first, tuple) and isinstance(second, tuple)
        assert first[0] != second[0] and first[1] != second[1]

    with World(1) as world:
        world.run(main(world))


def test_trace_listeners_hear_at_once() -> None:
    heard: list[TraceEvent] = []
    ticker = Ticker()
    with World(1) as world:
        world.trace.subscribe(heard.append)
        world.add_node("a", ticker.setup)
        world.run(world.start("a"))
        assert [entry.kind for entry in heard] == ["Started", "Tick"]


def test_digest_covers_time_node_kind_fields_and_order() -> None:
    def digest(*entries: tuple[int, str, tuple[object, ...]]) -> str:
        trace = Trace()
        for entry in entries:
            trace.add(*entry)
        return trace.digest()

    one, other = (1, "a", Tick(1)), (1, "b", Tick(1))
    digests = [
        digest(one, other), digest(other, one), digest(one), digest((2, "a", Tick(1)), other),
        digest((1, "a", Tick(2)), other), digest((1, "a", (1,)), other),
    ]  # fmt: skip
    assert len(dict.fromkeys(digests)) == len(digests)
    assert digest(one) == digest(one) and digest(one).startswith("1:")
    with pytest.raises(TypeError, match="no stable form"):
        digest((1, "a", (object(),)))


def test_digest_may_be_asked_in_between() -> None:
    whole, parts = Trace(), Trace()
    for number in range(10):
        for trace in (whole, parts):
            trace.add(number, "a", Tick(number))
        parts.digest()
    assert whole.digest() == parts.digest()


def test_shapes_of_partitions() -> None:
    names = ["a", "b", "c", "d", "e"]
    ring = Partition.ring(names)
    assert ("a", "b") not in ring and ("a", "e") not in ring and ("a", "c") in ring and len(ring) == 10
    bridge = Partition.bridge(names)
    assert ("a", "d") in bridge and ("d", "a") in bridge
    assert all("c" not in pair for pair in bridge)


def test_buggify_is_drawn_per_site() -> None:
    async def main(world: World) -> list[int]:
        counts: list[int] = []

        async def setup(process: Process) -> None:
            buggify = current().buggify
            counts.extend(sum(buggify(f"site-{site}") for _ in range(100)) for site in range(40))

        world.add_node("a", setup)
        await world.start("a")
        return counts

    with World(1, has_buggify=True) as world:
        counts = world.run(main(world))
    assert 3 <= sum(count > 0 for count in counts) <= 20
    assert all(count < 60 for count in counts)
    with World(1) as world:
        assert sum(world.run(main(world))) == 0
