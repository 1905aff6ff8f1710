"""Heartbeats: only rows that are equal on both sides renew a lease, from the instant at which they were asked for."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.multiraft.heartbeats import EQUAL, FULL
from casty.consensus import Role
from casty.errors import RemoteProtocolError
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.hosts import MS, TTL_NS, Frame, HostWorld

LEASE_MS = 990
"""A lease right after its heartbeat was sent: an election timeout, less the drift of two clocks."""


def led(*keys: str, groups: int = 1) -> HostWorld:
    """Return processes whose first one leads every group, with a lease that has run out."""
    world = HostWorld(*keys)
    for number in range(1, groups + 1):
        world.group(number, *keys)
        world.lead(keys[0], number)
    world.clock.skip(1.1)
    return world


def under_way(world: HostWorld, kind: int) -> list[tuple[str, str, Any]]:
    """Return the frames of a kind that are on their way, unpacked."""
    return [
        (flight.sender, flight.to, unpack(flight.message[1]))
        for flight in world.network.flights
        if flight.message[0] == kind
    ]


def test_one_heartbeat_for_each_peer_whatever_the_number_of_groups() -> None:
    world = led("a", "b", "c", groups=3)
    world.heartbeat("a")
    assert [(flight.to, flight.message[0]) for flight in world.network.flights] == [
        ("b", frames.HEARTBEAT), ("c", frames.HEARTBEAT),
    ]  # fmt: skip
    world.network.deliver()
    assert [world.lease_ms("a", number) for number in (1, 2, 3)] == [LEASE_MS] * 3


def test_who_leads_nothing_asks_nobody() -> None:
    world = led("a", "b")
    world.heartbeat("b")
    assert world.network.flights == []


def test_a_lease_counts_from_when_the_heartbeat_was_sent_and_not_from_its_answer() -> None:
    world = led("a", "b", "c")
    world.heartbeat("a")
    world.clock.skip(0.4)
    world.network.deliver()
    assert world.lease_ms("a") == LEASE_MS - 400


def test_an_answer_that_is_late_or_doubled_takes_nothing_back_and_adds_nothing() -> None:
    world = led("a", "b", "c")
    world.heartbeat("a")
    world.clock.skip(0.3)
    world.heartbeat("a")
    world.network.deliver(1)
    world.network.repeat()
    world.network.reverse()
    world.network.deliver()
    assert world.lease_ms("a") == LEASE_MS


def test_without_a_majority_there_is_no_lease() -> None:
    world = led("a", "b", "c", "d", "e")
    world.network.cut("a-b", "a-c", "a-d")
    world.round("a")
    assert world.lease_ms("a") == 0
    world.network.heal()
    world.network.cut("a-b", "a-c")
    world.round("a")
    assert world.lease_ms("a") == LEASE_MS


def test_a_follower_has_heard_its_leader_and_does_not_stand_against_it() -> None:
    world = led("a", "b", "c")
    world.heartbeat("a")
    world.network.deliver(1)
    heard_ns = world.at["b"].host.rounds.heard["a"]
    assert heard_ns == world.clock.now()
    world.clock.skip(0.9)
    world.core("b").tick(world.clock.now())
    assert world.core("b").role is Role.FOLLOWER


def test_rows_that_differ_renew_nothing_for_that_group_and_everything_for_the_others() -> None:
    world = led("a", "b", groups=2)
    host = world.at["b"].host
    host.remove(2)
    world.heartbeat("a")
    world.network.deliver(2)
    assert "a" not in host.rounds.heard, "the leader of all of them was not heard of"
    assert [rows for _, _, (_, rows) in under_way(world, frames.ROWS)] == [
        [[1, 7, 1, 0, 0, 0], [2, 7, 1, 0, 0, 0]]
    ]
    world.network.deliver(1)
    assert [equal for _, _, (_, equal) in under_way(world, frames.ROWS_ACK)] == [[[1, 0]]]
    world.network.deliver(1)
    assert (world.lease_ms("a", 1), world.lease_ms("a", 2)) == (LEASE_MS, 0)


def test_the_group_that_differs_is_asked_by_an_append() -> None:
    world = led("a", "b", groups=2)
    world.at["b"].host.remove(2)
    world.heartbeat("a")
    world.network.deliver(3)
    before = len(under_way(world, frames.CONSENSUS))
    world.network.deliver(1)
    appends = [item for _, to, items in under_way(world, frames.CONSENSUS) for item in items if to == "b"]
    assert before == 0 and [item[0] for item in appends] == [2]


def test_a_former_leader_is_told_that_it_differs_and_gets_no_lease() -> None:
    world = led("a", "b", "c")
    world.clock.skip(3.0)
    world.network.cut("a-b", "a-c")
    world.lead("b")
    world.network.heal()
    world.heartbeat("a")
    world.network.deliver(1)
    answers = under_way(world, frames.HEARTBEAT_ACK)
    assert [(sender, flags & EQUAL) for sender, _, (_, flags) in answers] == [("b", 0), ("c", 0)]
    world.network.deliver()
    assert world.core("a").role is not Role.LEADER and world.lease_ms("a") == 0


def test_a_replica_that_its_process_began_anew_is_another_one() -> None:
    world = HostWorld("a", "b")
    world.group(1, "a", "b~2")
    world.lead("a")
    world.clock.skip(1.1)
    world.heartbeat("a")
    world.network.deliver(1)
    [(_, _, (_, flags))] = under_way(world, frames.HEARTBEAT_ACK)
    assert flags == EQUAL, "a row names the number of the replica"
    world.network.deliver()
    assert world.lease_ms("a") == LEASE_MS
    world.at["b"].host.groups[1].replica_number = 3
    world.clock.skip(1.1)
    world.heartbeat("a")
    world.network.deliver(3)
    [(_, _, (_, equal))] = under_way(world, frames.ROWS_ACK)
    assert equal == []


def test_the_leading_replica_is_named_as_well() -> None:
    world = HostWorld("a", "b")
    world.group(1, "a~2", "b")
    world.lead("a")
    world.clock.skip(1.1)
    world.heartbeat("a")
    world.network.deliver(1)
    [(_, _, (_, flags))] = under_way(world, frames.HEARTBEAT_ACK)
    assert flags == EQUAL
    world.network.deliver()
    world.at["a"].host.groups[1].replica_number = 1
    world.clock.skip(1.1)
    world.heartbeat("a")
    world.network.deliver(1)
    [(_, _, (_, flags))] = under_way(world, frames.HEARTBEAT_ACK)
    assert flags & EQUAL == 0


@pytest.mark.parametrize("is_full", [True, False])
def test_an_answer_says_whether_there_is_memory_for_more(is_full: bool) -> None:
    world = led("a", "b")
    world.at["b"].fill(is_full=is_full)
    world.heartbeat("a")
    world.network.deliver(1)
    [(_, _, (_, flags))] = under_way(world, frames.HEARTBEAT_ACK)
    assert bool(flags & FULL) is is_full
    world.network.deliver()
    assert list(world.at["a"].budget.full_peers) == (["b"] if is_full else [])


def test_who_is_asked_no_more_counts_as_having_room() -> None:
    world = led("a", "b")
    world.at["b"].fill(is_full=True)
    world.round("a")
    world.at["a"].host.remove(1)
    world.heartbeat("a")
    assert not world.at["a"].budget.full_peers


def test_the_failure_detector_hears_every_answer_also_one_that_differs() -> None:
    world = led("a", "b", "c", groups=2)
    world.at["c"].host.remove(2)
    world.round("a")
    assert world.at["a"].answered[:2] == ["b", "c"]
    assert world.at["a"].answered.count("c") == 2, "to the rows as well"


def test_what_was_heard_is_forgotten_after_a_time_to_live() -> None:
    world = led("a", "b")
    world.round("a")
    rounds = world.at["a"].host.rounds
    assert list(rounds.answered) == ["b"]
    world.clock.skip_to(world.clock.now() + TTL_NS)
    world.network.cut("a-b")
    world.heartbeat("a")
    assert list(rounds.answered) == ["b"], "no sooner"
    world.clock.skip(0.001)
    world.heartbeat("a")
    assert not rounds.answered


def test_a_lease_that_a_read_waits_for_is_looked_at_when_answers_come() -> None:
    world = led("a", "b", "c")
    core = world.core("a")
    core.read(world.clock.now(), 7)
    assert core.wants_round
    world.at["a"].host.settle()
    world.round("a")
    assert not core.wants_round


BAD_FRAMES: list[Frame] = [
    (frames.HEARTBEAT, pack(1)),
    (frames.HEARTBEAT, pack([1])),
    (frames.HEARTBEAT, pack(["1", b""])),
    (frames.HEARTBEAT_ACK, pack([1, None])),
    (frames.HEARTBEAT_ACK, pack([1, True])),
    (frames.ROWS, pack([1, 7])),
    (frames.ROWS_ACK, pack([1, {}])),
]


@pytest.mark.parametrize("frame", BAD_FRAMES, ids=[f"{kind} {body.hex()}" for kind, body in BAD_FRAMES])
def test_nonsense_is_a_remote_protocol_error(frame: Frame) -> None:
    world = led("a", "b")
    with pytest.raises(RemoteProtocolError, match="heartbeat: expected"):
        world.at["a"].take("b", frame)


@pytest.mark.parametrize("row", [7, [], [1], [1, 7, 1, 0, 0], ["1", 7, 1, 0, 0, 0], [99, 7, 1, 0, 0, 0]])
def test_a_row_that_is_none_or_of_an_unknown_group_is_not_equal(row: object) -> None:
    world = led("a", "b")
    world.at["b"].take("a", (frames.ROWS, pack([1, [row]])))
    [(_, _, (_, equal))] = under_way(world, frames.ROWS_ACK)
    assert equal == []


def test_rows_of_one_who_does_not_lead_are_not_equal() -> None:
    world = led("a", "b", "c")
    row = [1, 7, 1, 0, 0, 0]
    for sender, expected in (("a", [[1, 0]]), ("c", [])):
        world.at["b"].take(sender, (frames.ROWS, pack([1, [row]])))
        [(_, _, (_, equal))] = under_way(world, frames.ROWS_ACK)
        assert equal == expected
        world.network.lose()


@pytest.mark.parametrize("equal", [[[1]], [["1", 0]], [7], [[1, 0, 0]], [[2, 0]], []])
def test_an_answer_to_rows_that_names_something_else_renews_nothing(equal: list[Any]) -> None:
    world = led("a", "b")
    sent_ns = world.clock.now() - 100 * MS
    world.at["a"].take("b", (frames.ROWS_ACK, pack([sent_ns, equal])))
    assert world.lease_ms("a") == 0
    world.at["a"].take("b", (frames.ROWS_ACK, pack([sent_ns, [[1, 0]]])))
    assert world.lease_ms("a") == LEASE_MS - 100
