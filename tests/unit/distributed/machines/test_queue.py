"""The queue's state machine against a naive one, and its changes against its history."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from casty.distributed.machines.base import (
    DESTROY,
    DESTROYED,
    MISMATCH,
    OK,
    OVERLOADED,
    QUEUED,
    Caller,
    Context,
    Decision,
)
from casty.distributed.machines.queue import QUEUES, Items
from casty.distributed.machines.queue_shapes import (
    ACK,
    DEAD_PEEK,
    DEAD_SIZE,
    DEQUEUE,
    ENQUEUE,
    ENQUEUE_AS,
    GET,
    NACK,
    PEEK,
    PUT,
    PUT_BACK,
    REQUEUE,
    RESERVE,
    RESERVED,
    SETUP,
    SIZE,
    TAKE_DEAD,
)
from casty.wire.pack import pack, unpack

Key = tuple[int, int]
SESSIONS = st.integers(1, 3)
MAXSIZE, MOST = 4, 2


class Naive:
    """What a queue is, in lists that are searched from the front."""

    def __init__(self) -> None:
        self.free: list[list[Any]] = []
        self.dead: list[list[Any]] = []
        self.held: dict[Key, list[Any]] = {}
        self.getters: list[tuple[Key, bool]] = []
        self.putters: list[tuple[Key, bytes]] = []
        self.told: dict[Key, list[Any]] = {}
        self.next = 1

    def add(self, data: bytes) -> None:
        self.free.append([self.next, data, 0])
        self.next += 1

    def room(self) -> bool:
        return len(self.free) + len(self.held) < MAXSIZE

    def hand(self, key: Key, is_reserving: bool) -> list[Any]:
        item = self.free.pop(0)
        if is_reserving:
            item[2] += 1
            self.held[key] = item
            return ["held", item[1], item[2]]
        return ["taken", item[1], item[0]]

    def back(self, item: list[Any]) -> None:
        if item[2] >= MOST:
            self.dead.append(item)
        else:
            self.free = sorted([*self.free, item])

    def settle(self) -> None:
        while (self.getters and self.free) or (self.putters and self.room()):
            if self.getters and self.free:
                key, is_reserving = self.getters.pop(0)
                self.told[key] = self.hand(key, is_reserving)
            else:
                key, data = self.putters.pop(0)
                self.add(data)
                self.told[key] = ["put"]

    def drop(self, key: Key) -> None:
        self.getters = [row for row in self.getters if row[0] != key]
        self.putters = [row for row in self.putters if row[0] != key]
        if key in self.held:
            self.back(self.held.pop(key))


class QueueMachine(RuleBasedStateMachine):
    """A queue of at most four items, each delivered at most twice."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Items | None = None
        self.naive = Naive()
        self.heard: dict[Key, list[Any]] = {}
        self.seq = self.token = 0
        self.history: list[Any] = []
        self.takes: list[list[Any]] = []

    def next_token(self) -> int:
        self.token += 1
        return self.token

    def take(self, decision: Decision) -> list[Any]:
        self.state = decision.state
        for effect in decision.effects:
            key = (effect.session, effect.seq)
            assert self.heard[key] == ["waits"], "an outcome comes once, and to a request that waits"
            self.heard[key] = self.plain(effect.reply)
        self.history += decision.changes
        return decision.reply

    def plain(self, reply: list[Any]) -> list[Any]:
        if reply[0] == QUEUED:
            return ["waits"]
        if reply[0] != OK:
            return reply
        if type(reply[1]) is int:
            return ["held", *reply[2:4]]
        if isinstance(reply[1], bytes):
            self.takes.append(reply)
            return ["taken", *reply[1:3]]
        return ["put"] if reply[1] is None else reply

    def do(self, session: int, *command: Any) -> tuple[Key, list[Any]]:
        QUEUES.check(list(command))
        self.seq += 1
        key = (session, self.seq)
        waiting = 0 if self.state is None else QUEUES.waiting(self.state)
        context = Context(Caller(*key), self.next_token, 100, waiting)
        decision = QUEUES.decide(self.state, list(command), context)
        change = QUEUES.change_of(list(command), decision.reply)
        if change is not None:
            # What its caller knows is where the answer says, before all that it means for others.
            changes = decision.changes
            assert changes[len(changes) > 1 and changes[0][0] == SETUP] == change
        return key, self.take(decision)

    def ask(self, session: int, *command: Any) -> Key:
        key, reply = self.do(session, *command)
        self.heard[key] = self.plain(reply)
        return key

    @rule(session=SESSIONS, data=st.binary(max_size=2), is_patient=st.booleans())
    def put(self, session: int, data: bytes, is_patient: bool) -> None:
        has_room = self.naive.room() and not self.naive.putters
        if is_patient:
            key = self.ask(session, PUT, data, MAXSIZE, MOST)
            self.naive.told[key] = ["put"] if has_room else ["waits"]
            if not has_room:
                self.naive.putters.append((key, data))
        else:
            _, reply = self.do(session, ENQUEUE_AS, data, MAXSIZE, MOST)
            assert reply == ([OK, None] if has_room else [OVERLOADED, "maxsize", MAXSIZE])
        if has_room:
            self.naive.add(data)
        self.naive.settle()

    @rule(session=SESSIONS, is_reserving=st.booleans(), is_patient=st.booleans())
    def get(self, session: int, is_reserving: bool, is_patient: bool) -> None:
        if not is_reserving and not is_patient:
            expected = ["taken", *self.naive.free[0][1::-1]] if self.naive.free else ["put"]
            if self.naive.free:
                self.naive.free.pop(0)
            _, reply = self.do(session, DEQUEUE)
            assert self.plain(reply) == expected
            self.naive.settle()
            return
        command = [RESERVE, 1_000, is_patient, MAXSIZE, MOST] if is_reserving else [GET, MAXSIZE, MOST]
        key = self.ask(session, *command)
        if self.naive.free:
            self.naive.told[key] = self.naive.hand(key, is_reserving)
        elif is_patient:
            self.naive.told[key] = ["waits"]
            self.naive.getters.append((key, is_reserving))
        else:
            self.naive.told[key] = ["put"]
        self.naive.settle()

    @precondition(lambda self: self.heard)
    @rule(data=st.data(), is_done=st.booleans())
    def end(self, data: st.DataObject, is_done: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.heard)))
        held = key in self.naive.held
        _, reply = self.do(key[0], ACK if is_done else NACK, key[1])
        assert reply[1] is held
        if held:
            item = self.naive.held.pop(key)
            if not is_done:
                self.naive.back(item)
            self.naive.settle()

    @precondition(lambda self: self.heard)
    @rule(data=st.data(), is_cancel=st.booleans())
    def withdraw(self, data: st.DataObject, is_cancel: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.heard)))
        if self.state is None:
            return
        if is_cancel and key in self.naive.held:
            assert QUEUES.cancel(self.state, *key).reply[0] != OK
            return
        self.take((QUEUES.cancel if is_cancel else QUEUES.abandon)(self.state, *key))
        self.naive.drop(key)
        self.naive.settle()

    @precondition(lambda self: self.takes)
    @rule(data=st.data(), is_asked=st.booleans())
    def put_back(self, data: st.DataObject, is_asked: bool) -> None:
        reply = self.takes.pop(data.draw(st.integers(0, len(self.takes) - 1)))
        if is_asked:
            self.do(1, PUT_BACK, *reply[1:])
        else:
            self.take(QUEUES.take_back(self.state, 9, 9, reply))
        if self.state is None or self.state.life != reply[4]:
            return
        item = [reply[2], reply[1], reply[3]]
        if reply[5]:
            self.naive.dead.append(item)
        else:
            self.naive.free = sorted([*self.naive.free, item])
        self.naive.settle()

    @rule(session=SESSIONS)
    def end_session(self, session: int) -> None:
        if self.state is None:
            return
        self.take(QUEUES.end_session(self.state, session))
        mine = sorted(key for key in self.heard if key[0] == session)
        for key in [*(key for key in mine if key not in self.naive.held), *mine]:
            self.naive.drop(key)
        self.naive.settle()
        for key in mine:
            del self.heard[key]
            self.naive.told.pop(key)

    @rule(most=st.integers(1, 3))
    def requeue(self, most: int) -> None:
        count = 0
        while count < most and self.naive.dead and self.naive.room() and not self.naive.putters:
            self.naive.add(self.naive.dead.pop(0)[1])
            count += 1
        assert self.do(1, REQUEUE, most)[1] == [OK, count]
        self.naive.settle()

    @rule()
    def take_dead(self) -> None:
        _, reply = self.do(1, TAKE_DEAD)
        item = self.naive.dead.pop(0) if self.naive.dead else None
        assert self.plain(reply) == (["put"] if item is None else ["taken", item[1], item[0]])

    @rule()
    def destroy(self) -> None:
        self.do(1, DESTROY)
        for key, _ in [*self.naive.getters, *self.naive.putters]:
            self.naive.told[key] = [DESTROYED]
        told, self.naive = self.naive.told, Naive()
        self.naive.told = told

    @rule(given=st.sampled_from([(MAXSIZE + 1, None), (None, MOST + 1)]))
    def differ(self, given: tuple[int | None, int | None]) -> None:
        if self.state is not None and (self.state.exists or self.naive.getters):
            assert self.do(1, GET, *given)[1][0] == MISMATCH

    @precondition(lambda self: self.state is not None)
    @rule()
    def reload(self) -> None:
        plain = unpack(pack(QUEUES.dump(self.state)))
        before = self.state
        self.state = QUEUES.load(plain)
        assert unpack(pack(QUEUES.dump(self.state))) == plain
        assert before is not None and QUEUES.weight(self.state) == QUEUES.weight(before)

    @invariant()
    def same(self) -> None:
        queries = (PEEK, SIZE, DEAD_PEEK, DEAD_SIZE, RESERVED)
        found = [QUEUES.query(self.state, [query])[1] for query in queries]
        free, dead = self.naive.free, self.naive.dead
        assert found == [
            free[0][1] if free else None, len(free), dead[0][1] if dead else None, len(dead), len(self.naive.held),
        ]  # fmt: skip
        assert self.heard == self.naive.told
        for key in self.heard:
            held = self.state is not None and QUEUES.is_held(self.state, *key)
            assert held is (key in self.naive.held)

    @invariant()
    def history_gives_the_same_items(self) -> None:
        replayed = replay(self.history)
        assert values(replayed) == values(self.state)
        if self.state is not None:
            assert values(replay(QUEUES.rebuild(self.state))) == values(self.state)


def replay(commands: list[Any]) -> Items | None:
    """Apply commands that are on record."""
    state: Items | None = None
    for command in commands:
        QUEUES.check(list(command))
        state = QUEUES.decide(state, command, Context(Caller(0, 0), lambda: 0)).state
    return state


def values(state: Items | None) -> Any:
    """Return what outlives all sessions: which items there are, in which order, and under which numbers."""
    if state is None or not state.exists:
        return None
    reserved = [(held.number, held.data) for held in state.reserved.values()]
    fresh = list(enumerate(state.fresh, state.first_fresh))
    free = sorted([*reserved, *((item.number, item.data) for item in state.returned), *fresh])
    return free, [(number, data) for number, (data, _) in state.dead.items()], state.next, state.maxsize


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_an_enqueue_without_settings_takes_what_is_recorded() -> None:
    state: Items | None = None
    context = Context(Caller(1, 1), lambda: 7)
    state = QUEUES.decide(state, [ENQUEUE_AS, b"a", 1, None], context).state
    decision = QUEUES.decide(state, [ENQUEUE, b"b"], context)
    assert decision.reply == [OVERLOADED, "maxsize", 1]


def test_settings_end_with_the_queue_also_where_something_is_left_of_it() -> None:
    machine = QueueMachine()
    machine.do(1, PUT, b"a", 1, 2)
    machine.do(1, RESERVE, 1_000, False, None, None)
    machine.do(1, DESTROY)
    assert machine.state is not None, "its owner has not heard of it"
    assert machine.do(2, PUT, b"c", 3, 4)[1] == [OK, None]
    assert (machine.state.maxsize, machine.state.max_deliveries) == (3, 4)


def test_who_waits_fixes_the_settings_until_nobody_does() -> None:
    decision = QUEUES.decide(None, [GET, 3, None], Context(Caller(1, 1), lambda: 7))
    assert decision.reply == [QUEUED]
    state = decision.state
    assert (
        QUEUES.decide(state, [ENQUEUE_AS, b"a", 4, None], Context(Caller(1, 2), lambda: 7)).reply[0]
        == MISMATCH
    )
    assert QUEUES.abandon(state, 1, 1).state is None, "nothing is left of a queue in which nothing was put"
