"""Structures against models simple enough to be seen right, under random commands, faults and reloads."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from casty.distributed.machines.base import (
    BARRIER,
    COUNTER,
    DESTROY,
    DESTROYED,
    FENCE,
    LOCK,
    MAP,
    NOT_WAITING,
    OK,
    QUEUED,
    SEMAPHORE,
    SET,
    Caller,
    Context,
    Decision,
)
from casty.distributed.machines.registry import STRUCTURES
from casty.wire.pack import pack, unpack

PROFILE = settings(max_examples=25, stateful_step_count=30, deadline=None)
SESSIONS = st.integers(1, 4)
ACQUIRE, TRY, RELEASE = 1, 2, 3
Key = tuple[int, int]


class Machine(RuleBasedStateMachine):
    """One entity of `kind`, and what its callers heard."""

    kind = 0

    def __init__(self) -> None:
        super().__init__()
        self.structure = STRUCTURES[self.kind]
        self.state: Any = None
        self.token = 0
        self.seq = 0
        self.heard: dict[Key, list[Any]] = {}

    def next_token(self) -> int:
        self.token += 1
        return self.token

    def take(self, decision: Decision) -> list[Any]:
        self.state = decision.state
        for effect in decision.effects:
            key = (effect.session, effect.seq)
            assert self.heard[key] == [QUEUED], "an outcome comes once, and only to a request that waits"
            self.heard[key] = effect.reply
        return decision.reply

    def do(self, session: int, *command: Any) -> tuple[Key, list[Any]]:
        self.structure.check(list(command))
        self.seq += 1
        key = (session, self.seq)
        ctx = Context(Caller(*key), self.next_token)
        reply = self.take(self.structure.decide(self.state, command, ctx))
        self.heard[key] = reply
        return key, reply

    def ask(self, *query: Any) -> Any:
        return self.structure.query(self.state, query)[1]

    @precondition(lambda self: self.state is not None)
    @rule()
    def reload(self) -> None:
        plain = unpack(pack(self.structure.dump(self.state)))
        self.state = self.structure.load(plain)
        assert unpack(pack(self.structure.dump(self.state))) == plain


class CounterMachine(Machine):
    kind = COUNTER

    def __init__(self) -> None:
        super().__init__()
        self.model: int | None = None

    @rule(delta=st.integers())
    def add(self, delta: int) -> None:
        self.model = (self.model or 0) + delta
        assert self.do(1, 1, delta)[1] == [OK, self.model]

    @rule(expected=st.integers(-2, 2), value=st.integers(-2, 2))
    def compare_and_set(self, expected: int, value: int) -> None:
        is_equal = (self.model or 0) == expected
        assert self.do(1, 2, expected, value)[1] == [OK, is_equal]
        self.model = value if is_equal else self.model

    @rule()
    def destroy(self) -> None:
        assert self.do(1, DESTROY)[1] == [OK, self.model is not None]
        self.model = None

    @invariant()
    def same(self) -> None:
        assert self.ask(1) == (self.model or 0)


class MapMachine(Machine):
    kind = MAP

    def __init__(self) -> None:
        super().__init__()
        self.model: bytes | None = None

    @rule(value=st.binary(max_size=2))
    def put(self, value: bytes) -> None:
        assert self.do(1, 1, value)[1] == [OK, self.model]
        self.model = value

    @rule(value=st.binary(max_size=2))
    def put_if_absent(self, value: bytes) -> None:
        assert self.do(1, 2, value)[1] == [OK, self.model is None]
        self.model = value if self.model is None else self.model

    @rule(expected=st.binary(max_size=1), value=st.binary(max_size=1))
    def compare_and_set(self, expected: bytes, value: bytes) -> None:
        is_equal = self.model == expected
        assert self.do(1, 3, expected, value)[1] == [OK, is_equal]
        self.model = value if is_equal else self.model

    @rule()
    def delete(self) -> None:
        assert self.do(1, DESTROY)[1] == [OK, self.model is not None]
        self.model = None

    @invariant()
    def same(self) -> None:
        assert (self.ask(1), self.ask(2)) == (self.model, self.model is not None)


class SetMachine(Machine):
    kind = SET

    def __init__(self) -> None:
        super().__init__()
        self.model: list[bytes] = []

    @rule(member=st.binary(max_size=1))
    def add(self, member: bytes) -> None:
        is_new = member not in self.model
        assert self.do(1, 1, member)[1] == [OK, is_new]
        self.model += [member] if is_new else []

    @rule(member=st.binary(max_size=1))
    def remove(self, member: bytes) -> None:
        is_there = member in self.model
        assert self.do(1, 2, member)[1] == [OK, is_there]
        self.model = [other for other in self.model if other != member]

    @rule()
    def destroy(self) -> None:
        self.do(1, DESTROY)
        self.model = []

    @invariant()
    def same(self) -> None:
        assert self.ask(2) == len(self.model)
        assert all(self.ask(1, member) for member in self.model)


class FenceMachine(Machine):
    kind = FENCE

    def __init__(self) -> None:
        super().__init__()
        self.model: tuple[bytes | None, int] = (None, 0)

    @rule(token=st.integers(0, 9), value=st.binary(max_size=2))
    def write(self, token: int, value: bytes) -> None:
        is_accepted = token >= self.model[1]
        assert self.do(1, 1, token, value)[1] == [OK, is_accepted]
        self.model = (value, token) if is_accepted else self.model

    @rule(token=st.integers(0, 9))
    def check(self, token: int) -> None:
        is_accepted = token >= self.model[1]
        assert self.do(1, 2, token)[1] == [OK, is_accepted]
        self.model = (self.model[0], token) if is_accepted else self.model

    @invariant()
    def same(self) -> None:
        assert self.ask(1) == list(self.model)


class LineMachine(Machine):
    """The model of a semaphore, of which a lock is a case: lists in the order of requests."""

    permits = 3

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Key, int]] = []
        self.granted: list[tuple[Key, int]] = []
        self.revoked: list[tuple[Key, int]] = []
        self.ended: list[Key] = []
        self.last_token = 0

    def command(self, operation: int, n: int) -> list[int]:
        return [operation, self.permits, n]

    def release_command(self, key: Key) -> list[int]:
        return [RELEASE, key[1]]

    @property
    def exists(self) -> bool:
        return bool(self.waiting or self.granted)

    def free(self) -> int:
        return self.permits - sum(n for _, n in self.granted + self.revoked)

    def promote(self) -> None:
        while self.waiting and self.waiting[0][1] <= self.free():
            self.granted.append(self.waiting.pop(0))

    def drop(self, key: Key) -> None:
        for table in (self.waiting, self.granted, self.revoked):
            table[:] = [item for item in table if item[0] != key]
        self.promote()

    def sample(self, data: st.DataObject, table: list[tuple[Key, int]]) -> Key:
        return data.draw(st.sampled_from(table))[0]

    @rule(session=SESSIONS, n=st.integers(1, 3))
    def acquire(self, session: int, n: int) -> None:
        n = min(n, self.permits)
        fits = not self.waiting and n <= self.free()
        key, reply = self.do(session, *self.command(ACQUIRE, n))
        assert (reply[0] == OK) is fits
        (self.granted if fits else self.waiting).append((key, n))

    @rule(session=SESSIONS, n=st.integers(1, 3))
    def try_acquire(self, session: int, n: int) -> None:
        n = min(n, self.permits)
        fits = not self.waiting and n <= self.free()
        key, reply = self.do(session, *self.command(TRY, n))
        assert (reply[1] is not None) is fits
        if fits:
            self.granted.append((key, n))

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        key = self.sample(data, self.granted)
        command = self.release_command(key)
        self.drop(key)
        self.ended.append(key)
        assert self.do(key[0], *command)[1] == [OK, True]

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def release_late(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.ended))
        assert self.do(key[0], *self.release_command(key))[1] == [OK, False]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = self.sample(data, self.waiting)
        self.drop(key)
        assert self.take(self.structure.cancel(self.state, *key)) == [OK]

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def cancel_too_late(self, data: st.DataObject) -> None:
        key = self.sample(data, self.granted)
        assert self.take(self.structure.cancel(self.state, *key)) == [NOT_WAITING]

    @precondition(lambda self: self.waiting or self.granted or self.revoked)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        key = self.sample(data, self.waiting + self.granted + self.revoked)
        was_granted = any(key == granted for granted, _ in self.granted)
        self.drop(key)
        self.take(self.structure.abandon(self.state, *key))
        self.ended += [key] if was_granted else []

    @precondition(lambda self: self.state is not None)
    @rule(session=SESSIONS)
    def end_session(self, session: int) -> None:
        ended = [key for key, _ in self.granted if key[0] == session]
        for table in (self.waiting, self.granted, self.revoked):
            table[:] = [item for item in table if item[0][0] != session]
        self.promote()
        self.take(self.structure.end_session(self.state, session))
        assert (
            self.state is None
            or not self.structure.involves(self.state, session)
            or any(key[0] == session for key, _ in self.waiting + self.granted + self.revoked)
        )
        self.ended += ended

    @rule()
    def destroy(self) -> None:
        gone = [key for key, _ in self.waiting]
        assert self.do(9, DESTROY)[1] == [OK, self.exists]
        assert all(self.heard[key] == [DESTROYED] for key in gone)
        self.revoked += self.granted
        self.waiting, self.granted = [], []

    @invariant()
    def same(self) -> None:
        if self.state is None:
            assert not self.exists
            assert not self.waiting + self.granted + self.revoked
            return
        assert self.waiting or self.granted or self.revoked, "nothing is left, yet a record is"
        line = self.state
        assert line.capacity == (self.permits if self.exists else 0)
        assert line.taken == sum(n for _, n in self.granted + self.revoked)
        assert list(line.waiters) == [key for key, _ in self.waiting]
        assert dict.fromkeys(line.grants) == dict.fromkeys(key for key, _ in self.granted)
        assert dict.fromkeys(line.revoked) == dict.fromkeys(key for key, _ in self.revoked)
        assert sum(share.amount for share in line.grants.values()) <= self.permits
        for session in range(1, 5):
            keys = self.waiting + self.granted + self.revoked
            assert self.structure.involves(line, session) is any(key[0] == session for key, _ in keys)

    @invariant()
    def told(self) -> None:
        for key, _ in self.granted:
            assert self.heard[key][0] == OK
            assert self.structure.outcome(self.state, *key) == self.heard[key]
        for key, _ in self.waiting:
            assert self.heard[key] == [QUEUED]
        tokens = [self.heard[key][1] for key, _ in self.granted]
        assert tokens == sorted(tokens), "grants are listed as they came, and tokens grew with them"


class SemaphoreMachine(LineMachine):
    kind = SEMAPHORE


class LockMachine(LineMachine):
    kind = LOCK
    permits = 1

    def command(self, operation: int, n: int) -> list[int]:
        return [operation]

    def release_command(self, key: Key) -> list[int]:
        return [RELEASE, self.heard[key][1]]


class BarrierMachine(Machine):
    kind = BARRIER

    def __init__(self) -> None:
        super().__init__()
        self.expected = 0
        self.arrived: list[tuple[Key, str]] = []
        self.generations: list[int] = []

    def withdraw(self, keys: list[Key]) -> None:
        self.arrived = [item for item in self.arrived if item[0] not in keys]

    @rule(session=SESSIONS, party=st.sampled_from("abcd"), expected=st.integers(1, 4))
    def arrive(self, session: int, party: str, expected: int) -> None:
        if self.arrived and expected != self.expected:
            assert self.do(session, 1, party, expected)[1][2:] == [self.expected, expected]
            return
        self.expected = expected
        parties = dict.fromkeys([*(name for _, name in self.arrived), party])
        key, reply = self.do(session, 1, party, expected)
        if len(parties) < expected:
            assert reply == [QUEUED]
            self.arrived.append((key, party))
            return
        assert len(parties) == expected
        assert reply[1] not in self.generations
        self.generations.append(reply[1])
        assert all(self.heard[other] == reply for other, _ in self.arrived)
        self.arrived = []

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.arrived))[0]
        self.withdraw([key])
        assert self.take(self.structure.cancel(self.state, *key)) == [OK]
        if self.state is not None:
            assert self.take(self.structure.cancel(self.state, *key)) == [NOT_WAITING]

    @precondition(lambda self: self.state is not None)
    @rule(session=SESSIONS)
    def end_session(self, session: int) -> None:
        self.withdraw([key for key, _ in self.arrived if key[0] == session])
        self.take(self.structure.end_session(self.state, session))

    @rule()
    def destroy(self) -> None:
        self.do(9, DESTROY)
        assert all(self.heard[key] == [DESTROYED] for key, _ in self.arrived)
        self.arrived = []

    @invariant()
    def same(self) -> None:
        assert (self.state is None) is (not self.arrived), "a record stands for arrivals that wait"
        if self.state is not None:
            assert list(self.state.arrivals) == [key for key, _ in self.arrived]
            assert self.ask(1) == len(dict.fromkeys(party for _, party in self.arrived))
            assert self.state.expected == self.expected


TestCounter = CounterMachine.TestCase
TestMap = MapMachine.TestCase
TestSet = SetMachine.TestCase
TestFence = FenceMachine.TestCase
TestSemaphore = SemaphoreMachine.TestCase
TestLock = LockMachine.TestCase
TestBarrier = BarrierMachine.TestCase

TESTS = (TestCounter, TestMap, TestSet, TestFence, TestSemaphore, TestLock, TestBarrier)
for number in range(len(TESTS)):
    TESTS[number].settings = PROFILE
