"""What receivers remember of senders goes when those are gone, and not before nothing of them can be on its way."""

from __future__ import annotations

from casty.address import NodeAddress
from casty.cluster.actors import senders
from casty.cluster.actors.region_router import WAIT_NS
from casty.cluster.actors.senders import KEPT_NS, Heard, Senders
from sim.checks.step.leftovers import rows_of
from tests.kit.clock import ManualClock

KEPT_S = KEPT_NS / 1e9


class Process:
    def __init__(self, most: int = 10) -> None:
        self.clock = ManualClock()
        self.gone: dict[str, None] = {}
        self.known: dict[str, NodeAddress] = {}
        self.senders = Senders(self.clock, lambda key: key not in self.gone, self.known.get)
        self.heard = [Heard(self.senders, most) for _ in range(3)]

    def rows(self) -> tuple[int, int]:
        """How many numbers are remembered, and of how many senders."""
        found = rows_of(*self.heard, self.senders)
        assert found["cluster.actors.senders.Heard.last"] == found.get(
            "cluster.actors.senders._Sender.receivers", 0
        )
        return found["cluster.actors.senders.Heard.last"], found["cluster.actors.senders.Senders.known"]


def test_no_message_waits_for_its_leader_as_long_as_its_sender_is_remembered() -> None:
    assert KEPT_NS > WAIT_NS


def test_only_rising_numbers_of_a_sender_are_taken() -> None:
    heard = Process().heard[0]
    assert [heard.is_overtaken("a#1", number) for number in (1, 3, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert not heard.is_overtaken("b#1", 1)


def test_what_a_stranger_said_in_the_name_of_a_process_does_not_count_for_it() -> None:
    """Numbers of a process that was not known yet were kept, and what it sent itself came too late beside them."""
    process = Process()
    heard = process.heard[0]
    assert not heard.is_overtaken("a#1?rogue:9", 1000)
    assert not heard.is_overtaken("a#1?", 1000), "nor what a client said that has its name"
    assert not heard.is_overtaken("a#1", 1)
    process.known["a#1"] = NodeAddress("host", 9)
    assert not heard.is_overtaken("a#1", 2)
    assert not heard.is_overtaken("a#1?rogue:9", 1001)
    assert not heard.is_overtaken("a#1", 3)


def test_a_node_keeps_its_order_while_it_becomes_known() -> None:
    process = Process()
    heard = process.heard[0]
    assert not heard.is_overtaken("a#1?host:9", 4)
    process.known["a#1"] = NodeAddress("host", 9)
    assert heard.is_overtaken("a#1", 3), "it was sent before it was known"
    assert not heard.is_overtaken("a#1", 6)
    assert heard.is_overtaken("a#1?host:9", 5), "a node that does not know it yet passed it on"
    assert process.rows() == (1, 1)


def test_whoever_is_there_is_remembered_for_ever_and_whoever_is_gone_for_a_while() -> None:
    process = Process()
    for receiver in process.heard:
        receiver.is_overtaken("a#1", 5)
        receiver.is_overtaken("b#1", 5)
    process.gone["a#1"] = None
    process.clock.advance(KEPT_S - 1)
    assert process.rows() == (6, 2)
    process.clock.advance(1)
    assert process.rows() == (3, 1)
    process.clock.advance(10 * KEPT_S)
    assert process.rows() == (3, 1)
    assert process.heard[2].is_overtaken("b#1", 4)
    process.gone["b#1"] = None
    process.clock.advance(2 * KEPT_S)
    assert process.rows() == (0, 0)


def test_a_sender_that_still_sends_is_not_forgotten_though_nobody_knows_it() -> None:
    process = Process()
    process.gone["a#1"] = None
    for number in range(1, 10):
        assert not process.heard[0].is_overtaken("a#1", number)
        process.clock.advance(KEPT_S - 1)
    assert process.heard[0].is_overtaken("a#1", 9)


def test_receivers_that_end_take_their_rows_along() -> None:
    process = Process()
    for receiver in process.heard:
        receiver.is_overtaken("a#1", 1)
    for receiver in process.heard:
        receiver.close()
    assert process.rows() == (0, 0)


def test_a_receiver_remembers_so_many_and_forgets_the_longest_silence_first() -> None:
    process = Process(most=2)
    for number, source in enumerate(("a#1", "b#1", "a#1", "c#1"), 1):
        process.heard[0].is_overtaken(source, number)
    assert process.rows() == (2, 2)
    assert process.heard[0].is_overtaken("a#1", 2)
    assert not process.heard[0].is_overtaken("b#1", 1)


def test_very_many_rows_go_in_pieces() -> None:
    process = Process()
    receivers = [Heard(process.senders, 10) for _ in range(senders.ROWS_A_TURN + 500)]
    process.heard = receivers
    for receiver in receivers:
        receiver.is_overtaken("a#1", 1)
    process.gone["a#1"] = None
    process.clock.advance(KEPT_S)
    assert process.rows() == (500, 1)
    process.clock.advance(1)
    assert process.rows() == (0, 0)
