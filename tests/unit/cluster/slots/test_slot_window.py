"""What a session may make its slot remember: bounded whatever its gateway sends, never in the way of a true one."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.cluster.multiraft.proposals import BUSY
from casty.cluster.slots.applied import MIN_OUTCOMES
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import (
    ABANDON,
    CANCEL,
    COMMAND,
    OPEN,
    check_entry,
    check_keepalive,
)
from casty.cluster.slots.session_record import SlotSession, size_of
from casty.cluster.slots.window import MORE_ROOM, Window
from casty.distributed.machines.base import (
    BARRIER,
    COUNTER,
    DESTROY,
    LOCK,
    MAP,
    OK,
    OVERLOADED,
    QUEUED,
    SEMAPHORE,
    STALE,
)
from casty.distributed.machines.counter import ADD
from casty.distributed.machines.map import PUT
from casty.errors import OutcomeUnknown, RemoteProtocolError
from casty.wire.pack import pack
from tests.kit.clock import settle
from tests.kit.gateways import Answers
from tests.unit.cluster.replica_calls import acquire, add, arrive, opened, release, run, task
from tests.unit.cluster.replica_world import NODES, TTL_S, Client, ReplicaWorld

REPLIES = 16
ROOM = MORE_ROOM * REPLIES
TRUE_WINDOW = REPLIES - REPLIES // 4
"""Numbers that a true gateway has under way at once."""

ACQUIRE, RELEASE, ARRIVE = 1, 3, 1


class Untrue:
    """Writes what it likes to the leader of a slot, under sessions of its own."""

    def __init__(self, **options: Any) -> None:
        self.world = ReplicaWorld(max_window_replies=REPLIES, **options)
        self.taken = Answers()
        self.calls = self.two = 0
        self.one, self.two = (self.ask(OPEN, name, b"g")[1] for name in (b"1", b"2"))

    def put(self, *entry: object) -> None:
        self.calls += 1
        leader = self.world.leader
        assert leader is not None
        group = cast(Any, self.world.groups[leader])
        proof = b"2" if len(entry) > 1 and entry[1] == self.two else b"1"
        self.world.replicas[leader].write(group, pack(list(entry)), proof, self.taken, self.calls)

    def ask(self, *entry: object) -> list[Any]:
        self.put(*entry)
        self.world.commit()
        return self.taken.latest[self.calls]

    def keep_alive(self, low: int, abandoned: list[list[object]]) -> None:
        leader = self.world.leader
        assert leader is not None
        group = cast(Any, self.world.groups[leader])
        self.world.replicas[leader].keep_alive(group, [0, 1, self.one, [], [], abandoned, low, b"1"])

    def session(self, number: int) -> SlotSession:
        return cast(SlotSession, self.world.machine.sessions[number])

    def check(self) -> None:
        """Everything that is remembered of a session lies in its window."""
        for session in self.world.machine.sessions.values():
            low = session.low
            for table in (session.replies, session.withdrawn):
                assert all(low <= seq < low + ROOM for seq in table), (low, list(table))
            assert not any(seq in session.replies for seq in session.withdrawn)
            assert all(seq >= session.wait_low for seq in session.outcomes)
            assert session.reply_bytes == sum(size_of(reply) for reply in session.replies.values())


# -- an untrue gateway


def test_a_number_far_ahead_is_refused_and_creeping_marks_keep_nothing() -> None:
    untrue = Untrue()
    one = untrue.one
    assert untrue.ask(COMMAND, one, 10**9, 1, 1, COUNTER, b"n", [ADD, 1])[0] == BUSY
    assert untrue.ask(COMMAND, one, REPLIES, 1, 1, COUNTER, b"n", [ADD, 1]) == [OK, 1]
    for seq in range(1, 200):
        if seq != REPLIES:
            untrue.ask(COMMAND, one, seq, seq, 1, COUNTER, b"n", [ADD, 1])
    assert list(untrue.session(one).replies) == [199]
    untrue.check()


def test_replies_are_forgotten_in_whatever_order_they_came() -> None:
    untrue = Untrue()
    for seq in (9, 3, 12, 5):
        untrue.ask(COMMAND, untrue.one, seq, 1, 1, COUNTER, b"n", [ADD, 1])
    untrue.ask(COMMAND, untrue.one, 13, 6, 1, COUNTER, b"n", [ADD, 1])
    assert list(untrue.session(untrue.one).replies) == [9, 12, 13]
    untrue.check()


def test_a_number_below_its_own_mark_does_nothing() -> None:
    untrue = Untrue()
    assert untrue.ask(COMMAND, untrue.one, 5, 9, 1, COUNTER, b"n", [ADD, 1]) == [STALE]
    assert not untrue.session(untrue.one).replies


def test_creeping_marks_do_not_pass_the_bytes() -> None:
    untrue = Untrue(max_window_bytes=1024)
    one = untrue.one
    untrue.ask(COMMAND, untrue.two, 1, 1, 1, MAP, b"k", [PUT, bytes(1000)])
    kept = []
    for low in range(1, 200):
        for ahead in range(1, REPLIES):
            untrue.ask(COMMAND, one, low + ahead, low, 1, MAP, b"k", [PUT, bytes(1000)])
        kept.append(untrue.session(one).reply_bytes)
    assert max(kept) < 1024 + 2 * 1100
    untrue.check()


def test_big_numbers_count_for_what_they_are() -> None:
    untrue = Untrue(max_window_bytes=1024)
    big = 1 << 4_000
    assert untrue.ask(COMMAND, untrue.one, 1, 1, 1, COUNTER, b"n", [ADD, big]) == [OK, big]
    assert untrue.ask(COMMAND, untrue.one, 2, 1, 1, COUNTER, b"n", [ADD, big]) == [OK, 2 * big]
    assert untrue.ask(COMMAND, untrue.one, 3, 1, 1, COUNTER, b"n", [ADD, big])[0] == BUSY
    assert untrue.ask(COMMAND, untrue.one, 3, 3, 1, COUNTER, b"n", [ADD, big]) == [OK, 3 * big]


@pytest.mark.parametrize("entry", [
    [COMMAND, 1, 2**63, 1, 1, COUNTER, b"n", [ADD, 1]], [COMMAND, 1, 1, 2**70, 1, COUNTER, b"n", [ADD, 1]],
    [COMMAND, 1, 1, 1, 2**70, COUNTER, b"n", [ADD, 1]], [CANCEL, 1, 2**63, LOCK, b"l"], [CANCEL, 1, -1, LOCK, b"l"],
    [ABANDON, 1, 2**63, []], [ABANDON, 1, 1, [[2**63, LOCK, b"l"]]], [ABANDON, 1, 1, [[-1, LOCK, b"l"]]],
    [OPEN, bytes(1025), b"g"], [OPEN, b"a", bytes(1025)],
])  # fmt: skip
def test_what_would_be_kept_is_small(entry: list[object]) -> None:
    with pytest.raises(RemoteProtocolError, match=r"slot entry .*: expected (a number|at most)"):
        check_entry(pack(entry))


@pytest.mark.parametrize("low", [-1, 2**63, "1", None])
def test_a_keep_alive_has_a_mark(low: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="keep-alive, field 6: expected"):
        check_keepalive([0, 1, 1, [], [], [], low])
    with pytest.raises(RemoteProtocolError, match="keep-alive, field 5, row 0, field 0: expected"):
        check_keepalive([0, 1, 1, [], [], [[2**63, LOCK, b"l"]], 1])


def test_released_holds_are_forgotten_with_the_mark() -> None:
    """Each leaves a number behind that must do nothing; none of them may lie far ahead."""
    untrue = Untrue()
    for seq in range(1, 300):
        held = untrue.ask(COMMAND, untrue.one, seq + 10, seq, 1, LOCK, b"l", [ACQUIRE])
        if held[0] == OK:
            untrue.ask(COMMAND, untrue.one, seq, seq, 1, LOCK, b"l", [RELEASE, held[1]])
    untrue.check()


def test_made_up_withdrawals_of_a_keep_alive_are_left_out() -> None:
    untrue = Untrue()
    untrue.ask(COMMAND, untrue.one, 2, 1, 1, LOCK, b"l", [ACQUIRE])
    for first in range(1, 20_000, 1_000):
        untrue.keep_alive(1, [[seq, LOCK, b"l"] for seq in range(first, first + 1_000)])
        untrue.world.commit()
    session = untrue.session(untrue.one)
    assert len(session.withdrawn) == ROOM
    assert (LOCK, b"l") not in untrue.world.machine.entities, "what is remembered is withdrawn all the same"
    leader = untrue.world.replicas["a"].leader
    assert leader is not None
    assert sum(len(seqs) for seqs in leader._withdrawing.values()) <= 2 * ROOM
    untrue.check()


def test_a_keep_alive_with_creeping_marks_is_not_remembered_by_the_leader_for_ever() -> None:
    untrue = Untrue()
    for low in range(1, 40 * ROOM, ROOM):
        untrue.keep_alive(low, [[seq, LOCK, b"l"] for seq in range(low, low + ROOM)])
        untrue.world.commit()
    leader = untrue.world.replicas["a"].leader
    assert leader is not None
    assert sum(len(seqs) for seqs in leader._withdrawing.values()) <= 2 * ROOM
    untrue.check()


def test_outcomes_that_nobody_confirms_are_bounded_and_room_comes_with_confirmation() -> None:
    untrue = Untrue(max_waiters=8)
    one, two, seq = untrue.one, untrue.two, 0
    reply: list[Any] = [QUEUED]
    while reply == [QUEUED]:
        seq += 1
        assert seq <= MIN_OUTCOMES + 8
        reply = untrue.ask(COMMAND, one, seq, seq, 1, BARRIER, b"b", [ARRIVE, "p", 2])
        untrue.ask(COMMAND, two, seq, seq, seq, BARRIER, b"b", [ARRIVE, "q", 2])
    assert reply[0] == BUSY
    assert len(untrue.session(one).outcomes) == MIN_OUTCOMES
    assert untrue.ask(COMMAND, one, seq, seq, 1, LOCK, b"l", [ACQUIRE])[0] == BUSY
    assert untrue.ask(COMMAND, one, seq, seq, 1, LOCK, b"l", [DESTROY])[0] == OK, (
        "nothing that frees is refused"
    )
    assert untrue.ask(COMMAND, one, seq + 1, seq + 1, seq, LOCK, b"l", [ACQUIRE])[0] == OK


def test_an_outcome_of_what_nobody_waits_for_any_more_is_not_kept() -> None:
    untrue = Untrue()
    untrue.ask(COMMAND, untrue.one, 1, 1, 1, BARRIER, b"b", [ARRIVE, "p", 2])
    untrue.ask(COMMAND, untrue.one, 2, 1, 9, COUNTER, b"n", [ADD, 1])
    untrue.ask(COMMAND, untrue.two, 1, 1, 1, BARRIER, b"b", [ARRIVE, "q", 2])
    assert not untrue.session(untrue.one).outcomes
    assert untrue.ask(COMMAND, untrue.one, 1, 1, 9, BARRIER, b"b", [ARRIVE, "p", 2]) != [QUEUED]
    untrue.check()


def test_a_trip_that_was_confirmed_is_not_arrived_at_again() -> None:
    """Its number is above a mark that an older request holds down, and a copy of it comes late."""
    untrue = Untrue()
    arrival = [COMMAND, untrue.one, 2, 1, 2, BARRIER, b"b", [ARRIVE, "p", 2]]
    assert untrue.ask(*arrival) == [QUEUED]
    untrue.ask(COMMAND, untrue.two, 1, 1, 1, BARRIER, b"b", [ARRIVE, "q", 2])
    untrue.ask(COMMAND, untrue.one, 3, 1, 3, COUNTER, b"n", [ADD, 1])
    assert untrue.ask(*arrival) != [QUEUED]
    assert (BARRIER, b"b") not in untrue.world.machine.entities


def test_holds_of_a_session_are_bounded() -> None:
    machine = SlotMachine(MachineLimits(max_entities=3, max_waiters=2), 1)
    machine.apply(1, pack([OPEN, b"a", b"g"]))
    replies = [
        machine.apply(1 + seq, pack([COMMAND, 1, seq, seq, 1, SEMAPHORE, b"s", [ACQUIRE, 1 << 60, 1]])).reply
        for seq in range(1, 10)
    ]
    assert [reply[0] for reply in replies] == [OK] * 5 + [OVERLOADED] * 4
    assert machine.apply(20, pack([COMMAND, 1, 10, 10, 1, SEMAPHORE, b"s", [RELEASE, 1]])).reply == [OK, True]
    assert (
        machine.apply(21, pack([COMMAND, 1, 11, 11, 1, SEMAPHORE, b"s", [ACQUIRE, 1 << 60, 1]])).reply[0]
        == OK
    )


numbers = st.integers(0, 3 * ROOM) | st.integers(0, 2 * REPLIES)
marks = st.integers(0, 2 * ROOM) | st.integers(0, REPLIES)
commands: list[tuple[int, list[object]]] = [
    (COUNTER, [ADD, 1]), (COUNTER, [DESTROY]), (LOCK, [ACQUIRE]), (LOCK, [DESTROY]),
    (SEMAPHORE, [ACQUIRE, 99, 1]), *((SEMAPHORE, [RELEASE, seq]) for seq in range(1, REPLIES)),
    (BARRIER, [ARRIVE, "p", 2]), (BARRIER, [ARRIVE, "q", 2]),
]  # fmt: skip
lies = st.one_of(
    st.tuples(st.just("command"), numbers, marks, marks, st.sampled_from(commands)),
    st.tuples(st.just("cancel"), numbers),
    st.tuples(st.just("keep alive"), marks, st.lists(numbers, max_size=20)),
    st.tuples(st.just("commit"), st.integers(1, 9)),
    st.tuples(st.just("elect"), st.sampled_from(NODES), st.integers(0, 9)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(lies, max_size=80))
def test_whatever_an_untrue_gateway_sends_under_whatever_leaders(timeline: list[Any]) -> None:
    untrue = Untrue()
    for kind, *rest in timeline:
        if kind == "command":
            seq, low, wait_low, (structure, command) = rest
            untrue.put(COMMAND, untrue.one, seq, low, wait_low, structure, b"e", command)
        elif kind == "cancel":
            untrue.put(CANCEL, untrue.one, rest[0], LOCK, b"e")
        elif kind == "keep alive":
            untrue.keep_alive(rest[0], [[seq, LOCK, b"e"] for seq in rest[1]])
        elif kind == "commit":
            untrue.world.commit(rest[0])
        else:
            untrue.world.elect(rest[0], survivors=rest[1])
        untrue.check()
    untrue.world.commit()
    untrue.check()
    copy = SlotMachine(MachineLimits(), 7)
    copy.load(untrue.world.machine.dump())
    assert copy.dump() == untrue.world.machine.dump()


# -- a true gateway


def drop_requests(world: ReplicaWorld) -> None:
    world.network.lose(lambda one: one.message.to_node)


def reconnect(client: Client) -> None:
    for node_id in NODES:
        client.link_down(node_id)
    for node_id in NODES:
        client.link_up(node_id)


def permit(client: Client, permits: int) -> Any:
    return task(client.gateway.wait(SEMAPHORE, b"s", [ACQUIRE, permits, 1], timeout_s=5.0))


async def holding(world: ReplicaWorld, client: Client, count: int) -> list[Any]:
    return [(await run(world, permit(client, count)))[1] for _ in range(count)]


def give_back(client: Client, grant: Any, timeout_s: float) -> Any:
    command = [RELEASE, grant.seq]
    return task(client.gateway.release(SEMAPHORE, b"s", grant, command, timeout_s=timeout_s))


async def test_the_oldest_gets_through_however_much_was_answered_behind_it() -> None:
    world = ReplicaWorld(max_window_replies=REPLIES)
    client = await opened(world)
    grants = await holding(world, client, 30)
    oldest = add(client, timeout_s=None)
    await settle()
    drop_requests(world)
    behind = [add(client, timeout_s=None) for _ in range(TRUE_WINDOW - 1)]
    await world.run()
    assert all(call.done() for call in behind)
    releases = [give_back(client, grant, 60.0) for grant in grants]
    await world.run()
    assert not oldest.done()
    assert all(call.done() for call in releases)
    reconnect(client)
    await world.advance(1)
    assert oldest.done()


async def test_the_oldest_gets_through_however_long_the_replies_behind_it_are() -> None:
    world = ReplicaWorld(max_window_replies=REPLIES, max_window_bytes=1024)
    client = await opened(world)
    oldest = add(client, timeout_s=None)
    await settle()
    drop_requests(world)
    behind = []
    for _ in range(5):
        behind.append(task(client.gateway.command(MAP, b"k", [PUT, bytes(900)], timeout_s=None)))
        await world.run()
    assert not all(call.done() for call in behind)
    reconnect(client)
    await world.advance(1)
    assert oldest.done()
    assert all(call.done() for call in behind)


async def test_more_holds_than_the_window_has_room_for_are_given_up_at_once() -> None:
    """A client that was out of reach for a TTL lost them all; every one is free afterwards."""
    world = ReplicaWorld(max_window_replies=REPLIES)
    client = await opened(world)
    grants = await holding(world, client, 3 * ROOM)
    client.gateway.core.keep_alive.lose_all(client.gateway.sessions_by_slot[0], "lost", abandon=True)
    assert not any(grant.is_valid for grant in grants)
    await world.advance(TTL_S)
    assert (SEMAPHORE, b"s") not in world.machine.entities
    assert not client.gateway.sessions_by_slot[0].abandoned


async def test_more_releases_than_the_window_has_room_for_are_lost_and_made_good() -> None:
    world = ReplicaWorld(max_window_replies=REPLIES)
    client = await opened(world)
    grants = await holding(world, client, 3 * ROOM)
    releases = [give_back(client, grant, 1.0) for grant in grants]
    for _ in range(30):
        await settle()
        drop_requests(world)
        await world.advance(0.05, quiet=True)
    assert all(isinstance(call.exception(), OutcomeUnknown) for call in releases)
    await world.advance(2 * TTL_S)
    assert (SEMAPHORE, b"s") not in world.machine.entities
    assert client.gateway.sessions_by_slot[0].is_idle()
    assert await run(world, add(client)) == [OK, 1]


async def test_a_client_whose_calls_are_all_lost_does_not_fill_its_window_with_withdrawals() -> None:
    """Only its keep-alives come through, so only they can say what need not be remembered any more."""
    world = ReplicaWorld(max_window_replies=REPLIES)
    client = await opened(world)
    for _ in range(2 * MORE_ROOM):
        calls = [add(client, timeout_s=0.5) for _ in range(TRUE_WINDOW)]
        await settle()
        drop_requests(world)
        await world.advance(0.6, quiet=True)
        assert all(isinstance(call.exception(), OutcomeUnknown) for call in calls)
        await world.advance(TTL_S)
        assert client.gateway.sessions_by_slot[0].is_idle()
        assert len(world.machine.sessions[1].withdrawn) <= 2 * TRUE_WINDOW
    assert await run(world, add(client)) == [OK, 1]


async def test_outcomes_of_more_than_the_window_has_room_for_are_confirmed() -> None:
    world = ReplicaWorld(max_window_replies=REPLIES)
    client, other = await opened(world), await opened(world, "o")
    await run(world, acquire(other))
    _, second = await run(world, acquire(other, name=b"m"))
    patient = acquire(client, timeout_s=None)
    await world.run()
    waiting = [acquire(client, timeout_s=None, name=b"m") for _ in range(3 * ROOM)]
    await world.run()
    await run(world, task(other.gateway.command(LOCK, b"m", [DESTROY], timeout_s=5.0)))
    await world.advance(0.1)  # they are told in parts
    assert all(call.done() for call in waiting)
    del second
    await world.advance(TTL_S)
    session = world.machine.sessions[client.gateway.sessions_by_slot[0].number]
    assert not session.outcomes
    assert not client.gateway.sessions_by_slot[0].abandoned
    assert not patient.done()
    patient.cancel()


async def test_thousands_that_wait_are_granted_one_after_the_other() -> None:
    world = ReplicaWorld(max_window_replies=REPLIES)
    client, other = await opened(world), await opened(world, "o")
    _, grant = await run(world, acquire(other))
    waiting = [acquire(client, timeout_s=None) for _ in range(1_500)]
    await world.run()
    await run(world, release(other, grant))
    for call in waiting:
        await world.run()
        _, grant = call.result()
        release(client, grant, timeout_s=60.0)
    await world.advance(1)
    assert world.machine.entities.get((LOCK, b"l")) is None or not world.machine.entities[LOCK, b"l"].grants


async def test_thousands_that_arrived_are_tripped_at_once_under_the_next_leader() -> None:
    world = ReplicaWorld(max_window_replies=REPLIES)
    client, other = await opened(world), await opened(world, "o")
    arrivals = [arrive(client, "c", 2, timeout_s=None) for _ in range(1_500)]
    await world.run()
    world.elect("b")
    client.hear()
    other.hear()
    await world.advance(0.1)  # they follow the leader in parts
    assert not any(call.done() for call in arrivals)
    await run(world, arrive(other, "o", 2))
    await world.advance(0.1)  # they are told in parts
    assert all(call.result()[0][0] == OK for call in arrivals)
    await run(world, add(client))
    assert not world.machine.sessions[client.gateway.sessions_by_slot[0].number].outcomes


@pytest.mark.parametrize(
    ("low", "seq", "is_taken"), [(1, 16, True), (1, 17, False), (2, 17, True), (50, 49, True)]
)
def test_the_window_is_a_distance(low: int, seq: int, is_taken: bool) -> None:
    window, session = Window(REPLIES, 1024), SlotSession(b"a", b"g")
    assert window.takes(session, [COMMAND, 1, seq, low, 1, COUNTER, b"n", [ADD, 1]]) is is_taken
    assert window.takes(session, [COMMAND, 1, seq, low, 1, COUNTER, b"n", [DESTROY]])
    assert window.takes_withdrawal(session, ROOM + low - 1, low)
    assert not window.takes_withdrawal(session, ROOM + low, low)
    session.waits[ROOM + low] = (LOCK, b"l")
    assert window.takes_withdrawal(session, ROOM + low, low), "a leader with a wider window let it in"
