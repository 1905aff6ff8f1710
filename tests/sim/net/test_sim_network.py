"""The network: byte streams, and everything that can happen to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from casty.ports import Link
from casty.runtime import current
from sim import NetworkProfile, World
from sim.world.process import Process

PORT = 700


class End:
    """One end of a link; remembers what it got, and when."""

    def __init__(self, link: Link, world: World) -> None:
        self.link = link
        self.world = world
        self.pieces: list[bytes] = []
        self.times_ns: list[int] = []
        self.lost: list[BaseException | None] = []
        self.lost_ns = 0

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def data_received(self, data: bytes) -> None:
        assert not self.lost
        self.pieces.append(data)
        self.times_ns.append(self.world.now_ns)

    def link_lost(self, reason: BaseException | None) -> None:
        self.lost.append(reason)
        self.lost_ns = self.world.now_ns


class Pair:
    """Two processes, ``a`` listening and ``b`` with a link to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accepted: list[End] = []
        self.near: End

    async def open(self) -> None:
        world = self.world
        world.add_node("a", self._listen)
        world.add_node("b", self._dial)
        await world.start("a")
        await world.start("b")
        await asyncio.sleep(0.1)

    @property
    def far(self) -> End:
        return self.accepted[-1]

    def _accept(self, link: Link) -> End:
        self.accepted.append(End(link, self.world))
        return self.accepted[-1]

    async def _listen(self, process: Process) -> object:
        return await current().transport.listen("a", PORT, self._accept)

    async def _dial(self, process: Process) -> object:
        return await self.dial()

    async def dial(self) -> End:
        ends: list[End] = []

        def on_link(link: Link) -> End:
            ends.append(End(link, self.world))
            return ends[0]

        await current().transport.dial("a", PORT, on_link)
        self.near = ends[0]
        return ends[0]


def play(body: Callable[[World, Pair], Coroutine[Any, Any, None]], seed: int = 1, **profile: int) -> None:
    async def main(world: World) -> None:
        pair = Pair(world)
        await pair.open()
        await body(world, pair)

    with World(seed, network=NetworkProfile(**profile)) as world:
        world.run(main(world), limit_s=10_000)
        assert world.errors == []


def test_bytes_arrive_in_order_after_a_latency() -> None:
    async def body(world: World, pair: Pair) -> None:
        sent_ns = world.now_ns
        for index in range(50):
            pair.near.link.write(b"%d," % index)
            await asyncio.sleep(0.00001)
        pair.far.link.write(b"back")
        await asyncio.sleep(1)
        assert pair.far.data == b"".join(b"%d," % index for index in range(50))
        assert pair.near.data == b"back"
        assert pair.far.times_ns[0] - sent_ns >= 100_000

    play(body)


def test_writes_of_one_instant_travel_together() -> None:
    async def body(world: World, pair: Pair) -> None:
        for _ in range(5):
            pair.near.link.write(b"x")
        await asyncio.sleep(1)
        assert pair.far.pieces == [b"xxxxx"]

    play(body)


def test_an_idle_link_costs_nothing() -> None:
    async def body(world: World, pair: Pair) -> None:
        before = world.loop.callbacks_run
        await asyncio.sleep(100_000 / 100)
        assert world.loop.callbacks_run - before < 5

    play(body)


def test_fragmentation_keeps_the_stream() -> None:
    async def body(world: World, pair: Pair) -> None:
        for index in range(20):
            pair.near.link.write(bytes(range(100)))
            await asyncio.sleep(0.001 * (index % 2))
        pair.near.link.close()
        await asyncio.sleep(1)
        assert pair.far.data == bytes(range(100)) * 20
        assert len(pair.far.pieces) > 30
        assert pair.far.lost == [None]

    play(body, fragment_ppm=1_000_000)


def test_close_reaches_both_sides_after_the_data() -> None:
    async def body(world: World, pair: Pair) -> None:
        pair.near.link.write(b"last words")
        pair.near.link.close()
        pair.near.link.write(b"vanishes")
        await asyncio.sleep(1)
        assert pair.far.data == b"last words"
        assert pair.near.lost == pair.far.lost == [None]

    play(body)


def test_abort_is_a_reset_for_the_other_side() -> None:
    async def body(world: World, pair: Pair) -> None:
        pair.near.link.abort()
        await asyncio.sleep(1)
        assert pair.near.lost == [None]
        assert isinstance(pair.far.lost[0], ConnectionResetError)

    play(body)


def test_reset_leaves_half_written_bytes() -> None:
    async def body(world: World, pair: Pair) -> None:
        sent = bytes(range(200))
        pair.near.link.write(sent)
        assert world.reset_links("a", "b") == 1
        pair.near.link.write(b"too late")
        await asyncio.sleep(1)
        assert sent.startswith(pair.far.data) and len(pair.far.data) < 200
        assert isinstance(pair.near.lost[0], ConnectionResetError)
        assert isinstance(pair.far.lost[0], ConnectionResetError)

    play(body)


def test_half_open_swallows_and_says_nothing() -> None:
    async def body(world: World, pair: Pair) -> None:
        assert world.half_open("a", "b") == 1
        pair.near.link.write(b"lost")
        pair.far.link.write(b"lost")
        pair.near.link.close()
        await asyncio.sleep(600)
        assert pair.far.data == pair.near.data == b""
        assert pair.near.lost == [None] and pair.far.lost == []

    play(body)


def test_a_cut_holds_bytes_until_it_heals() -> None:
    async def body(world: World, pair: Pair) -> None:
        pair.near.link.write(b"in flight ")
        cut = world.partition(["a"], ["b"])
        await asyncio.sleep(1)
        pair.near.link.write(b"while cut ")
        pair.near.link.write(b"and more")
        await asyncio.sleep(60)
        assert pair.far.data == b""
        cut.heal()
        cut.heal()
        await asyncio.sleep(5)
        assert pair.far.data == b"in flight while cut and more"

    play(body)


@pytest.mark.parametrize("healed_after_s", [0.0, 0.01, 0.05, 0.2, 1.0])
def test_a_cut_keeps_the_order_of_a_stream(healed_after_s: float) -> None:
    """What was written while cut overtook what was under way when it began, and pieces of it."""

    async def body(world: World, pair: Pair) -> None:
        world.spike("b", "a", 0.1, jitter_s=0.3)
        sent = b""
        for number in range(40):
            data = b"<%d>" % number * 20
            sent += data
            pair.near.link.write(data)
            if number == 10:
                world.spoil("b", "a", fragment_ppm=500_000)
            if number == 20:
                cut = world.partition(["a"], ["b"])
            await asyncio.sleep(0.01)
        await asyncio.sleep(healed_after_s)
        cut.heal()
        pair.near.link.write(b"end")
        await asyncio.sleep(60)
        assert pair.far.data == sent + b"end"

    play(body)


def test_cuts_add_up() -> None:
    async def body(world: World, pair: Pair) -> None:
        first, second = world.cut("b", "a"), world.isolate("b")
        pair.near.link.write(b"x")
        first.heal()
        await asyncio.sleep(5)
        assert pair.far.data == b""
        second.heal()
        await asyncio.sleep(5)
        assert pair.far.data == b"x"

    play(body)


def test_one_way_cut() -> None:
    async def body(world: World, pair: Pair) -> None:
        world.cut("b", "a")
        pair.near.link.write(b"stuck")
        pair.far.link.write(b"passes")
        await asyncio.sleep(5)
        assert (pair.far.data, pair.near.data) == (b"", b"passes")

    play(body)


def test_spike_and_slow_path() -> None:
    async def body(world: World, pair: Pair) -> None:
        spike = world.spike("b", "a", 3.0)
        pair.near.link.write(b"x")
        await asyncio.sleep(2.9)
        assert pair.far.data == b""
        await asyncio.sleep(0.2)
        assert pair.far.data == b"x"
        spike.heal()
        world.slow("b", "a", 1000)
        for _ in range(4):
            pair.near.link.write(bytes(1000))
            await asyncio.sleep(0.001)
        await asyncio.sleep(2.5)
        assert len(pair.far.data) == 2001
        await asyncio.sleep(2)
        assert len(pair.far.data) == 4001

    play(body)


def test_a_slow_path_that_recovers_sends_its_backlog_on() -> None:
    async def body(world: World, pair: Pair) -> None:
        slow = world.slow("b", "a", 100)
        tighter = world.slow("b", "a", 10)
        for index in range(50):
            pair.near.link.write(bytes([index]) * 100)
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert pair.far.data == b""
        tighter.heal()
        await asyncio.sleep(3.5)
        assert 200 <= len(pair.far.data) <= 400
        slow.heal()
        await asyncio.sleep(0.1)
        assert pair.far.data == b"".join(bytes([index]) * 100 for index in range(50))

    play(body)


def test_a_backlog_does_not_overtake_what_is_late_for_another_reason() -> None:
    async def body(world: World, pair: Pair) -> None:
        spike = world.spike("b", "a", 2.0)
        pair.near.link.write(b"first")
        world.slow("b", "a", 10)
        await asyncio.sleep(0.001)
        pair.near.link.write(b"second")
        spike.heal()
        world.network.heal()
        await asyncio.sleep(1)
        pair.near.link.write(b"third")
        await asyncio.sleep(0.5)
        assert pair.far.data == b""
        await asyncio.sleep(1)
        assert pair.far.data == b"firstsecondthird"

    play(body)


def test_loss_costs_time_never_bytes() -> None:
    async def body(world: World, pair: Pair) -> None:
        began_ns = world.now_ns
        for index in range(100):
            pair.near.link.write(bytes([index]))
            await asyncio.sleep(0.001)
        await asyncio.sleep(20)
        assert pair.far.data == bytes(range(100))
        assert pair.far.times_ns[-1] - began_ns > 300_000_000

    play(body, loss_ppm=200_000)


def test_backpressure_shows() -> None:
    async def body(world: World, pair: Pair) -> None:
        world.pause("a")
        pair.near.link.write(bytes(1_000_000))
        await asyncio.sleep(1)
        assert pair.near.link.buffered_bytes > 500_000
        world.resume("a")
        await asyncio.sleep(1)
        assert pair.near.link.buffered_bytes == 0
        assert len(pair.far.data) == 1_000_000

    play(body)


def test_refused_when_nobody_listens_and_unknown_names() -> None:
    async def body(world: World, pair: Pair) -> None:
        async def dial(host: str, port: int) -> None:
            await current().transport.dial(host, port, lambda link: End(link, world))

        with pytest.raises(ConnectionRefusedError):
            await world.processes["b"].run(dial("a", 1))
        with pytest.raises(OSError, match="not known"):
            await world.processes["b"].run(dial("nowhere", 1))

    play(body)


def test_dialling_into_a_cut_waits_and_can_be_given_up() -> None:
    async def body(world: World, pair: Pair) -> None:
        world.partition(["a"], ["b"])
        with pytest.raises(TimeoutError):
            await world.processes["b"].run(asyncio.wait_for(pair.dial(), 1))
        accepted = len(pair.accepted)
        began_ns = world.now_ns
        with pytest.raises(TimeoutError):
            await world.processes["b"].run(pair.dial())
        assert world.now_ns - began_ns > 60_000_000_000
        assert len(pair.accepted) == accepted

    play(body)


def test_dialling_succeeds_when_the_cut_heals() -> None:
    async def body(world: World, pair: Pair) -> None:
        cut = world.partition(["a"], ["b"])
        world.after(2.0, cut.heal)
        end = await world.processes["b"].run(pair.dial())
        end.link.write(b"hello")
        await asyncio.sleep(1)
        assert pair.far.data == b"hello"

    play(body)


def test_binding_rules() -> None:
    async def body(world: World, pair: Pair) -> None:
        async def listen(host: str, port: int) -> tuple[str, int]:
            listener = await current().transport.listen(host, port, lambda link: End(link, world))
            address = listener.address
            await listener.close()
            return address

        run = world.processes["a"].run
        assert (await run(listen("0.0.0.0", 0)))[1] >= 40_000
        assert await run(listen("10.9.9.9", 5)) == ("10.9.9.9", 5)
        with pytest.raises(OSError, match="in use"):
            await run(listen("", PORT))
        with pytest.raises(OSError, match="cannot assign"):
            await run(listen("b", 5))

    play(body)


def test_crash_resets_links_and_frees_the_port() -> None:
    async def body(world: World, pair: Pair) -> None:
        world.crash("a")
        await asyncio.sleep(1)
        assert isinstance(pair.near.lost[0], ConnectionResetError)
        assert pair.far.lost == []
        await world.start("a")
        end = await world.processes["b"].run(pair.dial())
        end.link.write(b"again")
        await asyncio.sleep(1)
        assert pair.far.data == b"again"

    play(body)


def test_power_loss_is_silent_until_the_machine_is_back() -> None:
    async def body(world: World, pair: Pair) -> None:
        world.crash("a", power_loss=True)
        pair.near.link.write(b"?")
        await asyncio.sleep(30)
        assert pair.near.lost == []
        await world.start("a")
        await asyncio.sleep(1)
        assert pair.near.lost == []
        pair.near.link.write(b"?")
        await asyncio.sleep(1)
        assert isinstance(pair.near.lost[0], ConnectionResetError)

    play(body)


def test_one_more_message_changes_no_other_fate() -> None:
    def arrival(has_extra: bool) -> list[int]:
        times: list[int] = []

        async def body(world: World, pair: Pair) -> None:
            if has_extra:
                pair.near.link.write(b"extra")
            await asyncio.sleep(0.01)
            pair.far.link.write(b"x")
            await asyncio.sleep(1)
            times.extend(pair.near.times_ns)

        play(body, seed=9)
        return times

    assert arrival(False) == arrival(True)


def test_harms_of_one_path_add_up_and_end_one_by_one() -> None:
    with World(1) as world:
        path = world.network.path("a", "b")
        first = world.spoil("a", "b", spike_ns=5, loss_ppm=7, bytes_per_s=100)
        second = world.spoil("a", "b", spike_ns=3, loss_ppm=4, bytes_per_s=900)
        assert (path.spike_ns, path.loss_ppm, path.bytes_per_s) == (8, 7, 100)
        first.heal()
        assert (path.spike_ns, path.loss_ppm, path.bytes_per_s) == (3, 4, 900)
        first.heal()
        world.network.heal()
        second.heal()
        assert (path.spike_ns, path.loss_ppm, path.bytes_per_s) == (0, 0, 0)
