"""Each structure's decisions, clause by clause."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from casty.distributed.machines.base import (
    BARRIER,
    COUNTER,
    DESTROY,
    DESTROYED,
    FENCE,
    KIND_NAMES,
    LOCK,
    MAP,
    MISMATCH,
    NOT_WAITING,
    OK,
    OVERLOADED,
    QUEUE,
    QUEUED,
    SEMAPHORE,
    SET,
    Caller,
    Context,
    Decision,
    Effect,
)
from casty.distributed.machines.counter import COUNTERS
from casty.distributed.machines.registry import STRUCTURES
from casty.limits import MAX_INTEGER_BITS
from casty.wire.pack import pack, unpack

ACQUIRE, TRY, RELEASE = 1, 2, 3


class Entity:
    """One entity driven by hand."""

    def __init__(self, kind: int, max_waiters: int = 100) -> None:
        self.structure = STRUCTURES[kind]
        self.state: Any = None
        self.tokens = count(1)
        self.max_waiters = max_waiters
        self.effects: list[Effect] = []

    def take(self, decision: Decision) -> list[Any]:
        self.state = decision.state
        self.effects += decision.effects
        return decision.reply

    def do(self, session: int, seq: int, *command: Any) -> list[Any]:
        self.structure.check(list(command))
        waiters = 0 if self.state is None else self.structure.waiting(self.state)
        ctx = Context(Caller(session, seq), lambda: next(self.tokens), self.max_waiters, waiters)
        return self.take(self.structure.decide(self.state, command, ctx))

    def ask(self, *query: Any) -> Any:
        self.structure.check_query(list(query))
        return self.structure.query(self.state, query)[1]

    def effects_now(self) -> list[tuple[int, int, list[Any]]]:
        effects, self.effects = [tuple(effect) for effect in self.effects], []
        return effects  # type: ignore[return-value]

    def reload(self) -> None:
        plain = unpack(pack(self.structure.dump(self.state)))
        self.state = self.structure.load(plain)
        assert unpack(pack(self.structure.dump(self.state))) == plain


def test_every_kind_is_in_the_table() -> None:
    assert {kind: structure.name for kind, structure in STRUCTURES.items()} == KIND_NAMES


@pytest.mark.parametrize("kind", list(STRUCTURES))
@pytest.mark.parametrize(
    "command", [None, [], [99], ["a"], [True], 5, [DESTROY, 1], [1, 2, 3, 4, 5, 6], {}, [None]]
)
def test_hostile_commands_are_refused(kind: int, command: Any) -> None:
    with pytest.raises(ValueError):
        STRUCTURES[kind].check(command)
    with pytest.raises(ValueError):
        STRUCTURES[kind].check_query([0] if command == [DESTROY, 1] else command)


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (COUNTER, [1, 1.0]),
        (COUNTER, [1, True]),
        (MAP, [1, "text"]),
        (LOCK, [3, b""]),
        (SEMAPHORE, [1, 0, 1]),
        (SEMAPHORE, [2, 3, 0]),
        (SEMAPHORE, [2, None, 0]),
        (SEMAPHORE, [1, False, 1]),
        (BARRIER, [1, "a", 0]),
        (FENCE, [1, 1, None]),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(kind: int, command: Any) -> None:
    with pytest.raises(ValueError):
        STRUCTURES[kind].check(command)


def test_destroying_what_does_not_exist_is_false() -> None:
    for kind in (kind for kind, structure in STRUCTURES.items() if structure.shapes):
        entity = Entity(kind)
        assert entity.do(1, 1, DESTROY) == [OK, False]
        assert entity.state is None


def test_counter() -> None:
    counter = Entity(COUNTER)
    assert counter.ask(1) == 0
    assert counter.do(1, 1, 1, 2**70) == [OK, 2**70]
    counter.reload()
    assert counter.do(1, 2, 1, -(2**70)) == [OK, 0]
    assert counter.state == 0, "zero is a value, not absence"
    assert counter.do(1, 3, 2, 1, 5) == [OK, False]
    assert counter.do(1, 3, 2, 0, 5) == [OK, True]
    assert counter.do(1, 4, 3) == [OK, 5]
    assert counter.do(1, 4, DESTROY) == [OK, True]
    assert counter.do(1, 5, 2, 0, 0) == [OK, True]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_counter_that_is_longer_than_any_number_of_a_call_can_be_restored(sign: int) -> None:
    counter = Entity(COUNTER)
    longest = sign * (2**MAX_INTEGER_BITS - 1)
    for seq in range(1, 4):
        assert counter.do(1, seq, 1, longest) == [OK, seq * longest]
    again = Entity(COUNTER)
    for command in COUNTERS.rebuild(counter.state):
        assert again.do(1, 1, *command) == [OK, True]
        assert COUNTERS.grows(sign, command) and not COUNTERS.grows(counter.state, command)
    assert again.state == counter.state


def test_map_key() -> None:
    key = Entity(MAP)
    assert key.ask(1) is None
    assert key.do(1, 1, 1, b"a") == [OK, None]
    key.reload()
    assert key.do(1, 2, 1, b"b") == [OK, b"a"]
    assert key.do(1, 3, 2, b"c") == [OK, False]
    assert key.do(1, 3, 3, b"x", b"c") == [OK, False]
    assert key.do(1, 3, 3, b"b", b"c") == [OK, True]
    assert (key.ask(1), key.ask(2)) == (b"c", True)
    assert key.do(1, 4, DESTROY) == [OK, True]
    assert key.ask(2) is False
    assert key.do(1, 5, 3, b"c", b"d") == [OK, False]
    assert key.state is None
    assert key.do(1, 6, 2, b"c") == [OK, True]


def test_set() -> None:
    members = Entity(SET)
    assert members.do(1, 1, 2, b"a") == [OK, False]
    assert members.state is None
    assert members.do(1, 2, 1, b"a") == [OK, True]
    assert members.do(1, 3, 1, b"a") == [OK, False]
    members.reload()
    assert (members.ask(1, b"a"), members.ask(1, b"b"), members.ask(2)) == (True, False, 1)
    assert members.do(1, 4, 2, b"a") == [OK, True]
    assert members.ask(2) == 0
    assert members.do(1, 5, DESTROY) == [OK, True], "an empty set exists until it is destroyed"


def test_queue() -> None:
    queue = Entity(QUEUE)
    assert queue.do(1, 1, 2) == [OK, None]
    assert queue.state is None
    for item in (b"a", b"b"):
        assert queue.do(1, 2, 1, item) == [OK, None]
    queue.reload()
    assert (queue.ask(1), queue.ask(2)) == (b"a", 2)
    assert queue.do(1, 3, 2)[:2] == [OK, b"a"]
    assert queue.do(1, 3, 2)[:2] == [OK, b"b"]
    assert (queue.ask(1), queue.ask(2)) == (None, 0)


def test_fence_refuses_lower_tokens() -> None:
    fence = Entity(FENCE)
    assert fence.ask(1) == [None, 0]
    assert fence.do(1, 1, 1, 5, b"a") == [OK, True]
    assert fence.do(1, 2, 1, 4, b"b") == [OK, False]
    assert fence.do(1, 3, 1, 5, b"c") == [OK, True]
    fence.reload()
    assert fence.do(1, 4, 2, 7) == [OK, True]
    assert fence.do(1, 5, 1, 6, b"d") == [OK, False], "a checked token has been seen"
    assert fence.ask(1) == [b"c", 7]


def test_lock_goes_on_in_the_order_of_requests() -> None:
    lock = Entity(LOCK)
    assert lock.do(1, 1, ACQUIRE) == [OK, 1]
    assert lock.do(2, 1, ACQUIRE) == [QUEUED]
    assert lock.do(1, 2, ACQUIRE) == [QUEUED]
    assert lock.do(3, 1, TRY) == [OK, None]
    lock.reload()
    assert lock.do(2, 2, RELEASE, 1) == [OK, False], "another session's token"
    assert lock.do(1, 3, RELEASE, 1) == [OK, True]
    assert lock.effects_now() == [(2, 1, [OK, 2])]
    assert lock.do(1, 4, RELEASE, 1) == [OK, False], "a late release changes nothing"
    assert lock.ask(1) == 2
    assert lock.do(2, 3, RELEASE, 2) == [OK, True]
    assert lock.effects_now() == [(1, 2, [OK, 3])]


def test_lock_outcomes() -> None:
    lock = Entity(LOCK)
    lock.do(1, 1, ACQUIRE)
    lock.do(2, 1, ACQUIRE)
    outcome = lock.structure.outcome
    assert outcome(lock.state, 1, 1) == [OK, 1]
    assert outcome(lock.state, 2, 1) == [QUEUED]
    assert outcome(lock.state, 3, 1) is None
    lock.do(3, 1, DESTROY)
    # Its repetition is answered what it was answered; that it holds no longer is another question.
    assert outcome(lock.state, 1, 1) == [OK, 1]
    assert not lock.structure.is_held(lock.state, 1, 1)
    assert outcome(lock.state, 2, 1) is None


def test_withdrawing_a_waiter_leaves_the_holder_alone() -> None:
    lock = Entity(LOCK)
    lock.do(1, 1, ACQUIRE)
    lock.do(2, 1, ACQUIRE)
    assert lock.take(lock.structure.cancel(lock.state, 1, 1)) == [NOT_WAITING]
    assert lock.take(lock.structure.cancel(lock.state, 2, 1)) == [OK]
    assert lock.take(lock.structure.cancel(lock.state, 2, 1)) == [NOT_WAITING]
    assert not lock.structure.involves(lock.state, 2)
    assert lock.do(1, 2, RELEASE, 1) == [OK, True]
    assert lock.effects_now() == []
    assert lock.state is None, "nobody holds, nobody waits: nothing is left"


def test_the_bound_on_waiters() -> None:
    lock = Entity(LOCK, max_waiters=1)
    lock.do(1, 1, ACQUIRE)
    lock.do(2, 1, ACQUIRE)
    assert lock.do(3, 1, ACQUIRE) == [OVERLOADED, "max_waiters", 1]
    assert not lock.structure.involves(lock.state, 3)


def test_a_destroyed_hold_blocks_the_name_until_its_owner_knows() -> None:
    lock = Entity(LOCK)
    lock.do(1, 1, ACQUIRE)
    lock.do(2, 1, ACQUIRE)
    assert lock.do(3, 1, DESTROY) == [OK, True]
    assert lock.effects_now() == [(2, 1, [DESTROYED])]
    assert lock.do(3, 2, DESTROY) == [OK, False]
    assert lock.do(3, 3, ACQUIRE) == [QUEUED]
    lock.reload()
    assert lock.do(3, 4, TRY) == [OK, None]
    lock.take(lock.structure.abandon(lock.state, 1, 1))
    assert lock.effects_now() == [(3, 3, [OK, 3])]


def test_a_late_release_confirms_a_destroyed_hold() -> None:
    lock = Entity(LOCK)
    lock.do(1, 1, ACQUIRE)
    lock.do(2, 1, DESTROY)
    lock.do(2, 2, ACQUIRE)
    assert lock.do(1, 2, RELEASE, 1) == [OK, False]
    assert lock.effects_now() == [(2, 2, [OK, 2])]


def test_the_end_of_a_session_ends_its_revoked_holds() -> None:
    lock = Entity(LOCK)
    lock.do(1, 1, ACQUIRE)
    lock.do(2, 1, DESTROY)
    assert lock.structure.involves(lock.state, 1)
    lock.take(lock.structure.end_session(lock.state, 1))
    assert lock.state is None


def test_semaphore_grants_all_or_nothing_in_order() -> None:
    pool = Entity(SEMAPHORE)
    assert pool.do(1, 1, ACQUIRE, 3, 2) == [OK, 1]
    assert pool.do(2, 1, ACQUIRE, 3, 2) == [QUEUED]
    assert pool.do(3, 1, ACQUIRE, 3, 1) == [QUEUED], "one is free, but an earlier and larger request waits"
    assert pool.do(3, 2, TRY, 3, 1) == [OK, None]
    assert pool.ask(1, 3) == 1
    pool.reload()
    assert pool.do(1, 2, RELEASE, 1) == [OK, True]
    assert pool.effects_now() == [(2, 1, [OK, 2]), (3, 1, [OK, 3])]
    assert pool.do(1, 3, RELEASE, 1) == [OK, False]


def test_withdrawing_a_large_request_lets_those_behind_it_go() -> None:
    pool = Entity(SEMAPHORE)
    pool.do(1, 1, ACQUIRE, 3, 2)
    pool.do(2, 1, ACQUIRE, 3, 2)
    pool.do(3, 1, ACQUIRE, 3, 1)
    pool.take(pool.structure.cancel(pool.state, 2, 1))
    assert pool.effects_now() == [(3, 1, [OK, 3])]


def test_permits_belong_to_the_semaphore() -> None:
    pool = Entity(SEMAPHORE)
    pool.do(1, 1, ACQUIRE, 3, 2)
    assert pool.do(2, 1, ACQUIRE, 4, 1) == [MISMATCH, "permits", 3, 4]
    assert pool.structure.query(pool.state, [1, 4]) == [MISMATCH, "permits", 3, 4]
    pool.do(2, 2, DESTROY)
    assert pool.do(2, 3, ACQUIRE, 1, 1) == [QUEUED], "the revoked holds have more than there is now"
    pool.take(pool.structure.end_session(pool.state, 1))
    assert pool.effects_now() == [(2, 3, [OK, 2])]


def test_without_their_number_the_recorded_permits_count() -> None:
    pool = Entity(SEMAPHORE)
    unrecorded = [MISMATCH, "permits", None, None]
    assert pool.do(1, 1, ACQUIRE, None, 1) == pool.do(1, 2, TRY, None, 1) == unrecorded
    assert pool.structure.query(None, [1, None]) == unrecorded
    assert pool.state is None, "asking made nothing"
    pool.do(2, 1, ACQUIRE, 3, 2)
    assert pool.structure.query(pool.state, [1, None]) == [OK, 1]
    assert pool.do(1, 3, TRY, None, 2) == [OK, None]
    assert pool.do(1, 4, ACQUIRE, None, 4) == [MISMATCH, "n", 3, 4], (
        "it would wait for ever, and all behind it"
    )
    assert pool.do(1, 5, ACQUIRE, None, 2) == [QUEUED]
    pool.do(2, 2, DESTROY)
    assert pool.do(1, 6, ACQUIRE, None, 1) == unrecorded, "only revoked holds are left"
    assert pool.structure.query(pool.state, [1, None]) == unrecorded


def test_a_session_gives_back_exactly_its_grants() -> None:
    pool = Entity(SEMAPHORE)
    for seq in (1, 2):
        pool.do(1, seq, ACQUIRE, 4, 1)
    pool.do(2, 1, ACQUIRE, 4, 1)
    pool.do(1, 3, ACQUIRE, 4, 4)
    pool.take(pool.structure.end_session(pool.state, 1))
    assert pool.ask(1, 4) == 3
    assert pool.effects_now() == []
    pool.take(pool.structure.end_session(pool.state, 1))
    assert pool.ask(1, 4) == 3


def test_barrier_trips_for_all_at_once() -> None:
    barrier = Entity(BARRIER)
    assert barrier.do(1, 1, 1, "a", 3) == [QUEUED]
    assert barrier.do(2, 1, 1, "b", 3) == [QUEUED]
    barrier.reload()
    reply = barrier.do(3, 1, 1, "c", 3)
    assert reply[0] == OK
    assert barrier.effects_now() == [(1, 1, reply), (2, 1, reply)]
    assert barrier.do(1, 2, 1, "a", 2) == [QUEUED], "the next generation may expect another number"
    second = barrier.do(2, 2, 1, "b", 2)
    assert second[1] > reply[1]


def test_one_party_alone_does_not_wait() -> None:
    assert Entity(BARRIER).do(1, 1, 1, "a", 1)[0] == OK


def test_the_first_arrival_fixes_expected_until_nobody_waits() -> None:
    barrier = Entity(BARRIER)
    barrier.do(1, 1, 1, "a", 3)
    assert barrier.do(2, 1, 1, "b", 2) == [MISMATCH, "expected", 3, 2]
    barrier.take(barrier.structure.cancel(barrier.state, 1, 1))
    assert barrier.do(2, 2, 1, "b", 2) == [QUEUED]


def test_a_party_counts_once_and_while_any_of_its_requests_waits() -> None:
    barrier = Entity(BARRIER)
    assert barrier.do(1, 1, 1, "a", 2) == [QUEUED]
    assert barrier.do(2, 1, 1, "a", 2) == [QUEUED]
    assert barrier.ask(1) == 1
    barrier.take(barrier.structure.end_session(barrier.state, 1))
    assert barrier.ask(1) == 1
    reply = barrier.do(3, 1, 1, "b", 2)
    assert barrier.effects_now() == [(2, 1, reply)]


def test_destroying_a_barrier_tells_who_waits() -> None:
    barrier = Entity(BARRIER)
    barrier.do(1, 1, 1, "a", 2)
    assert barrier.do(2, 1, DESTROY) == [OK, True]
    assert barrier.effects_now() == [(1, 1, [DESTROYED])]
    assert barrier.state is None


def test_the_bound_on_arrivals() -> None:
    barrier = Entity(BARRIER, max_waiters=1)
    barrier.do(1, 1, 1, "a", 3)
    assert barrier.do(2, 1, 1, "b", 3) == [OVERLOADED, "max_waiters", 1]
    assert not barrier.structure.involves(barrier.state, 2)
    assert barrier.structure.waiting(barrier.state) == 1


def test_permits_belong_to_a_semaphore_as_long_as_it_is_used() -> None:
    pool = Entity(SEMAPHORE)
    pool.do(1, 1, ACQUIRE, 3, 2)
    assert pool.do(1, 2, RELEASE, 1) == [OK, True]
    assert pool.state is None
    assert pool.do(2, 1, ACQUIRE, 4, 4)[0] == OK, "the next user says how many there are"
    assert pool.do(1, 3, TRY, 3, 1) == [MISMATCH, "permits", 4, 3]


def test_a_try_that_finds_a_destroyed_hold_leaves_no_permits_behind() -> None:
    pool = Entity(SEMAPHORE)
    pool.do(1, 1, ACQUIRE, 2, 2)
    pool.do(2, 1, DESTROY)
    assert pool.do(2, 2, TRY, 1, 1) == [OK, None]
    assert pool.do(2, 3, DESTROY) == [OK, False], "it was not made"
    assert pool.do(2, 4, ACQUIRE, 3, 1) == [OK, 2], "of three, the revoked hold has two"
    pool.take(pool.structure.end_session(pool.state, 2))
    pool.take(pool.structure.abandon(pool.state, 1, 1))
    assert pool.state is None


def test_a_barrier_that_nobody_waits_at_leaves_nothing() -> None:
    barrier = Entity(BARRIER)
    assert barrier.do(1, 1, 1, "a", 1)[0] == OK
    assert barrier.state is None
    barrier.do(1, 2, 1, "a", 2)
    barrier.take(barrier.structure.abandon(barrier.state, 1, 2))
    assert barrier.state is None
    for round_ in range(2):
        barrier.do(1, 3 + round_, 1, "a", 2)
        barrier.take(barrier.structure.end_session(barrier.state, 1))
        assert barrier.state is None
