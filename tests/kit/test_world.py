"""What tests stand on does what it says: time, turns, and what becomes of messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.config import SECOND_NS
from tests.kit.clock import ManualClock
from tests.kit.network import Flight, Network, Next, at_once, soon
from tests.kit.world import World


class EchoWorld(World[int]):
    """Whoever hears a number above 0 answers the next lower one; each tick is one more number."""

    tick_ns = SECOND_NS // 2

    def __init__(self) -> None:
        super().__init__(0)
        self.heard: list[tuple[str, int]] = []

    def receive(self, sender: str, to: str, message: int) -> None:
        self.heard.append((to, message))
        if message:
            self.network.send(to, sender, message - 1)

    def tick(self) -> None:
        self.network.send("tick", "b", 0)


def made(**kinds: Any) -> tuple[Network[int], list[int]]:
    heard: list[int] = []
    network: Network[int] = Network(lambda sender, to, message: heard.append(message), **kinds)
    return network, heard


def test_time_stops_after_every_timer_and_at_every_tick_and_timers_go_first() -> None:
    clock, rang = ManualClock(0), list[int]()
    for when_ns in (3, 4, 4, 11):
        clock.call_at(when_ns, rang.append, when_ns)
    stops = [(clock.now(), is_tick, len(rang)) for is_tick in clock.instants(10, 4)]
    assert stops == [(3, False, 1), (4, False, 2), (4, False, 3), (4, True, 3), (8, True, 3)]
    assert (clock.now(), clock.due()) == (10, [11])


def test_skipped_timers_are_late_and_a_turn_runs_none_that_it_arms() -> None:
    clock, rang = ManualClock(0), list[int]()

    def again() -> None:
        rang.append(clock.now())
        clock.call_at(clock.now(), again)

    clock.call_at(SECOND_NS // 2, again)
    clock.skip(2)
    assert rang == []
    clock.run_due()
    assert (rang, clock.live()) == ([2 * SECOND_NS], 1)


async def test_a_hasty_clock_waits_for_nobody_and_keeps_their_order() -> None:
    clock, rang = ManualClock(0, is_hasty=True), list[int]()
    clock.call_at(20 * SECOND_NS, rang.append, 20)
    clock.call_at(10 * SECOND_NS, rang.append, 10)
    clock.call_at(5 * SECOND_NS, rang.append, 5).cancel()
    assert rang == []
    await asyncio.sleep(0)
    assert (rang, clock.now()) == ([10, 20], 20 * SECOND_NS)


async def test_as_time_passes_what_follows_from_timers_and_ticks_comes_to_rest() -> None:
    world = EchoWorld()
    world.clock.call_at(SECOND_NS, world.network.send, "a", "b", 2)
    await world.advance(0.9)
    assert world.heard == [("b", 0)]
    await world.advance(0.2)
    assert world.heard == [("b", 0), ("b", 2), ("a", 1), ("b", 0)]
    await world.advance(0.5, quiet=True)
    assert len(world.heard) == 4 and len(world.network.flights) == 1, "it is under way"
    await world.run()
    assert len(world.heard) == 5


def test_without_a_loop_what_timers_send_arrives_before_the_next_instant() -> None:
    world = EchoWorld()
    for when_ns in (1, 1, 2):
        world.clock.call_at(when_ns, world.network.send, "a", "b", when_ns)
    world.clock.call_at(2, lambda: world.heard.append(("timer", 2)))
    world.pass_s(1)
    first = [("b", 1), ("b", 1), ("a", 0), ("a", 0)]
    assert world.heard == [*first, ("timer", 2), ("b", 2), ("a", 1), ("b", 0)]


async def test_a_world_that_never_comes_to_rest_says_so() -> None:
    world: World[int] = World(receive=lambda sender, to, message: world.network.send(to, sender, message))
    world.turns = 1
    world.network.send("a", "b", 1)
    with pytest.raises(AssertionError, match="never quiet"):
        await world.run()
    with pytest.raises(AssertionError, match="never come to rest"):
        world.network.deliver()


def test_a_message_arrives_once_in_the_order_of_the_test_or_again() -> None:
    network, heard = made()
    for number in (1, 2):
        assert network.send("a", "b", number)
    first, second = network.flights
    network.arrive(second, again=True)
    network.arrive(second)
    assert heard == [2, 2]
    network.deliver()
    assert (heard, network.flights, len(network.sent)) == ([2, 2, 1], [], 2)
    assert first not in network.flights


def test_cut_links_lose_what_arrives_or_take_nothing_where_their_ends_know() -> None:
    lost: list[int] = []
    network, heard = made(lost=lambda sender, to, message: lost.append(message))
    network.cut("a>b", "c-b")
    assert network.send("a", "b", 1) and network.send("b", "a", 2) and network.send("b", "c", 3)
    network.deliver()
    assert (heard, lost) == ([2], [1, 3])
    network.mend("a>b")
    assert not network.is_cut("a", "b") and network.is_cut("b", "c")
    network, heard = made(knows_cuts=True, carry=at_once)
    network.cut("a>b")
    assert not network.send("a", "b", 1) and network.send("b", "a", 2)
    assert (heard, network.sent) == ([2], [Flight("b", "a", 2)])


async def test_what_is_carried_soon_comes_in_the_next_turn_unless_it_is_lost_before() -> None:
    network, heard = made(carry=soon)
    network.send("a", "b", 1)
    assert network.lose(lambda flight: flight.message == 1) == 1
    network.copies = 2
    network.send("a", "b", 2)
    assert heard == []
    await asyncio.sleep(0)
    assert (heard, network.flights) == ([2, 2], [])


def test_what_is_held_back_is_not_under_way_and_comes_when_it_is_released() -> None:
    network, heard = made(carry=at_once)
    network.hold()
    network.send("a", "b", 1)
    network.let_pass()
    network.send("a", "b", 2)
    assert (heard, network.flights, [flight.message for flight in network.held]) == ([2], [], [1])
    network.release()
    assert (heard, network.held) == ([2, 1], [])


def test_the_next_few_of_a_kind_are_lost() -> None:
    network, heard = made(carry=at_once)
    network.loses = Next(2, lambda flight: flight.message % 2 == 0)
    for number in range(8):
        network.send("a", "b", number)
    assert heard == [1, 3, 4, 5, 6, 7]


def test_all_processes_of_a_world_draw_from_one_entropy() -> None:
    world = EchoWorld()
    one, other = world.ports(), world.ports(is_observed=True)
    assert one.clock is other.clock is world.clock
    assert [ports.entropy.token("t", 1) for ports in (one, other, one)] == [b"\x01", b"\x02", b"\x03"]
