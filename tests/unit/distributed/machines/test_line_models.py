"""Resized semaphores, read-write locks and elections against models simple enough to be seen right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from casty.distributed.machines import semaphore
from casty.distributed.machines.base import (
    DESTROY,
    DESTROYED,
    ELECTION,
    LOCK,
    MISMATCH,
    OK,
    QUEUED,
    RESIZE,
    RW_LOCK,
    SEMAPHORE,
    Caller,
    Context,
)
from casty.distributed.machines.election import CAMPAIGN, WATCH
from casty.distributed.machines.registry import STRUCTURES
from casty.distributed.machines.rw_lock import READ, WHOLE, WRITE
from casty.distributed.machines.wait_queue import release_command
from tests.unit.distributed.machines.test_models import (
    ACQUIRE,
    PROFILE,
    RELEASE,
    SESSIONS,
    TRY,
    Key,
    LineMachine,
    Machine,
    SemaphoreMachine,
)


class ResizedMachine(SemaphoreMachine):
    """A semaphore whose number of permits changes: nothing is revoked, and nothing is granted beyond it."""

    founded = 3

    def command(self, operation: int, n: int) -> list[int]:
        # What a user says of the number is that of the creation, or the present one.
        says = self.permits if self.seq % 2 and self.exists else self.founded
        return [operation, max(says, n), n] if self.exists else [operation, self.founded, n]

    @property
    def exists(self) -> bool:
        return bool(self.waiting or self.granted) or self.permits != self.founded

    @rule(to=st.integers(1, 5))
    def resize(self, to: int) -> None:
        large = [(key, n) for key, n in self.waiting if n > to]
        assert self.do(8, RESIZE, self.founded, to)[1] == [OK, self.permits, self.founded]
        self.permits = to
        self.waiting = [item for item in self.waiting if item not in large]
        self.promote()
        for key, n in large:
            assert self.heard[key] == [MISMATCH, "n", to, n]

    @rule(session=SESSIONS, says=st.integers(6, 9))
    def another_number(self, session: int, says: int) -> None:
        if self.exists:
            reply = self.do(session, semaphore.ACQUIRE, says, 1)[1]
            assert reply == [MISMATCH, "permits", self.permits, says]

    @rule()
    def destroy(self) -> None:
        super().destroy()
        self.permits = self.founded

    @rule(session=SESSIONS, n=st.integers(1, 3))
    def acquire(self, session: int, n: int) -> None:
        if n <= self.permits:
            super().acquire(session, n)
        else:
            assert self.do(session, ACQUIRE, self.founded, n)[1] == [MISMATCH, "n", self.permits, n]

    @invariant()
    def same(self) -> None:
        if self.state is None:
            assert not self.exists and not self.revoked
            return
        line = self.state
        assert self.exists or self.revoked
        assert (line.capacity, line.founded) == ((self.permits, self.founded) if self.exists else (0, 0))
        assert line.taken == sum(n for _, n in self.granted + self.revoked)
        assert list(line.waiters) == [key for key, _ in self.waiting]
        assert list(line.grants) == [key for key, _ in self.granted]


class RwLockMachine(LineMachine):
    """A read-write lock: who holds beside whom follows from what each asked for, not from sums."""

    kind = RW_LOCK
    permits = WHOLE

    def command(self, operation: int, n: int) -> list[int]:
        return [operation, READ if n == 1 else WRITE]

    def amount(self, n: int) -> int:
        return 1 if n == 1 else WHOLE

    @rule(session=SESSIONS, n=st.integers(1, 2))
    def acquire(self, session: int, n: int) -> None:
        fits = not self.waiting and self.amount(n) <= self.free()
        key, reply = self.do(session, *self.command(ACQUIRE, n))
        assert (reply[0] == OK) is fits
        (self.granted if fits else self.waiting).append((key, self.amount(n)))

    @rule(session=SESSIONS, n=st.integers(1, 2))
    def try_acquire(self, session: int, n: int) -> None:
        fits = not self.waiting and self.amount(n) <= self.free()
        key, reply = self.do(session, *self.command(TRY, n))
        assert (reply[1] is not None) is fits
        if fits:
            self.granted.append((key, self.amount(n)))

    @invariant()
    def a_writer_is_alone(self) -> None:
        writers = [key for key, n in self.granted if n == WHOLE]
        assert not writers or len(self.granted) == 1
        assert not writers or not self.revoked

    @invariant()
    def readers_share(self) -> None:
        if self.granted and self.waiting:
            is_read = all(n == 1 for _, n in self.granted + self.revoked)
            assert not is_read or self.waiting[0][1] == WHOLE, "a reader waits for a writer only"


class ElectionMachine(Machine):
    """An election: a list of candidates of whom the first leads, and watchers that know of a leader."""

    kind = ELECTION

    def __init__(self) -> None:
        super().__init__()
        self.candidates: list[tuple[Key, bytes]] = []
        self.revoked: list[Key] = []
        self.watching: dict[Key, int] = {}

    def leader(self) -> tuple[int, bytes]:
        """The term and the name of whoever leads."""
        if not self.candidates or self.revoked or self.heard[self.candidates[0][0]][0] != OK:
            return 0, b""
        key, name = self.candidates[0]
        return self.heard[key][1], name

    def is_told(self) -> None:
        """Whoever knew of another leader is told of the present one, and waits no longer."""
        term, name = self.leader()
        for key, known in list(self.watching.items()):
            if known != term:
                assert self.heard[key] == [OK, None, term, name]
                del self.watching[key]
            else:
                assert self.heard[key] == [QUEUED]

    @rule(session=SESSIONS, name=st.sampled_from([b"a", b"b", "é".encode()]))
    def campaign(self, session: int, name: bytes) -> None:
        key, reply = self.do(session, CAMPAIGN, name)
        assert (reply[0] == OK) is (not self.candidates and not self.revoked)
        self.candidates.append((key, name))
        self.is_told()

    @rule(session=SESSIONS, is_known=st.booleans())
    def watch(self, session: int, is_known: bool) -> None:
        term, name = self.leader()
        known = term if is_known else term + 1
        key, reply = self.do(session, WATCH, known)
        if is_known:
            assert reply == [QUEUED]
            self.watching[key] = known
        else:
            assert reply == [OK, None, term, name]

    @precondition(lambda self: self.candidates and not self.revoked)
    @rule()
    def resign(self) -> None:
        key, _ = self.candidates.pop(0)
        assert self.do(key[0], RELEASE, key[1])[1] == [OK, True]
        self.is_told()

    @precondition(lambda self: self.revoked)
    @rule()
    def confirm(self) -> None:
        key = self.revoked.pop()
        assert self.do(key[0], RELEASE, key[1])[1] == [OK, False]
        self.is_told()

    @precondition(lambda self: self.candidates or self.watching)
    @rule(data=st.data(), abandons=st.booleans())
    def withdraw(self, data: st.DataObject, abandons: bool) -> None:
        keys = [key for key, _ in self.candidates[1:]] + list(self.watching)
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        self.candidates = [row for row in self.candidates if row[0] != key]
        self.watching.pop(key, None)
        take = self.structure.abandon if abandons else self.structure.cancel
        assert self.take(take(self.state, *key)) == [OK]
        self.is_told()

    @precondition(lambda self: self.state is not None)
    @rule(session=SESSIONS)
    def end_session(self, session: int) -> None:
        self.candidates = [row for row in self.candidates if row[0][0] != session]
        self.revoked = [key for key in self.revoked if key[0] != session]
        self.watching = {key: known for key, known in self.watching.items() if key[0] != session}
        self.take(self.structure.end_session(self.state, session))
        self.is_told()

    @rule()
    def destroy(self) -> None:
        leads = bool(self.leader()[0])
        waiting = [key for key, _ in (self.candidates[1:] if leads else self.candidates)]
        assert self.do(9, DESTROY)[1] == [OK, bool(self.candidates)]
        assert all(self.heard[key] == [DESTROYED] for key in waiting)
        self.revoked += [self.candidates[0][0]] if leads else []
        self.candidates = []
        self.is_told()

    @invariant()
    def same(self) -> None:
        assert (self.state is None) is not (self.candidates or self.revoked or self.watching)
        if self.state is None:
            return
        assert self.structure.waiting(self.state) == len(self.watching) + max(
            0, len(self.candidates) - bool(self.leader()[0])
        )
        assert {key: share.token for key, share in self.state.watchers.items()} == self.watching
        term, _ = self.leader()
        info: Any = self.structure.query(self.state, [2])[1]
        assert (info[0][1] if info[0] else 0) == term


TestResized = ResizedMachine.TestCase
TestRwLock = RwLockMachine.TestCase
TestElection = ElectionMachine.TestCase

TESTS = (TestResized, TestRwLock, TestElection)
for number in range(len(TESTS)):
    TESTS[number].settings = PROFILE


def test_a_model_that_is_wrong_is_told() -> None:
    machine = RwLockMachine()
    machine.granted = [((1, 1), WHOLE), ((2, 1), 1)]
    with pytest.raises(AssertionError):
        machine.a_writer_is_alone()


@pytest.mark.parametrize(
    ("kind", "command"),
    [(LOCK, [1]), (SEMAPHORE, [1, 2, 2]), (RW_LOCK, [1, WRITE]), (RW_LOCK, [1, READ]), (ELECTION, [1, b"a"])],
)
def test_what_ends_a_hold_is_known_from_its_grant(kind: int, command: list[Any]) -> None:
    structure = STRUCTURES[kind]
    # The token is none of the numbers of requests, so one is not taken for the other.
    ctx = Context(Caller(1, 7), lambda: 1_000)
    granted = structure.decide(None, command, ctx)
    assert granted.reply == [OK, 1_000]
    ctx.caller = Caller(1, 8)
    ended = structure.decide(granted.state, release_command(kind, 1_000, 7), ctx)
    assert (ended.state, ended.reply, ended.gone) == (None, [OK, True], 7)
