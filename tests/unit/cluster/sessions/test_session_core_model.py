"""The core of sessions against a small slot, by random hands: every frame may be late, lost or refused, at any moment.

Checked after each step: an increment is applied once at most; who heard that it was applied is right, and so is who
heard that it was not, whatever arrives later; a hold that may be believed is the slot's; the tables agree. At the end
the links are mended, and everything comes to rest.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from casty.cluster.sessions.core import effects as out
from casty.cluster.sessions.core import inputs
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.client_session import Held
from casty.cluster.sessions.core.effects import Effect
from casty.cluster.sessions.core.life import CallState
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_READ, RELAY
from casty.distributed.machines.base import BUSY, COUNTER, FULL, LOCK, NOT_LEADER, OK, UNKNOWN, Reply
from casty.distributed.machines.lock import ACQUIRE, RELEASE
from casty.errors import NotStarted, Unavailable
from casty.wire.pack import unpack
from tests.unit.cluster.sessions.core_bench import NODES, Bench, is_send
from tests.unit.cluster.sessions.small_slot import SmallSlot

INDEX = st.integers(0, 1_000)
TIMEOUTS_S = (None, 0.5, 3.0, 20.0)
QUIET_ROUNDS = 400
ROUNDS_OF_A_WAITER = 40


class SessionCoreModel(RuleBasedStateMachine):
    """One gateway, one slot on three nodes, and what is under way between them."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench()
        self.slot = SmallSlot()
        self.leader = "a"
        self.requests: list[tuple[str, out.Item]] = []
        self.replies: list[tuple[str, int, Reply]] = []
        self.named: list[out.SendKeepAlive] = []
        self.acks: list[tuple[int, list[Any]]] = []
        self.calls: dict[Call, int] = {}
        self.ends: dict[Call, Exception | None] = {}
        """The error that each call ended with, None with a reply."""
        self.given_up: dict[Call, None] = {}
        self.holds: dict[Held, None] = {}

    def _see(self, effects: list[Effect]) -> None:
        for effect in effects:
            if is_send(effect):
                self.requests.append(effect)
            elif isinstance(effect, out.SendKeepAlive):
                self.named.append(effect)
            elif isinstance(effect, (Call, out.Fail)):
                call = effect if isinstance(effect, Call) else effect.call
                assert call in self.calls and call not in self.ends, "a call ends once"
                assert call not in self.given_up, "who gave up hears nothing"
                self.ends[call] = None if isinstance(effect, Call) else effect.error
                if call.held is not None:
                    self.holds[call.held] = None
            elif isinstance(effect, (Held, out.Lost)):
                held = effect if isinstance(effect, Held) else effect.held
                assert held in self.holds and held.is_over
                del self.holds[held]

    # -- the owner

    @rule(timeout_s=st.sampled_from(TIMEOUTS_S))
    def add(self, timeout_s: float | None) -> None:
        number = len(self.calls)
        call = self.bench.write(COUNTER, [1, number], timeout_s)
        self.calls[call] = number
        self._see(self.bench.begin(call))

    @rule(timeout_s=st.sampled_from(TIMEOUTS_S))
    def acquire(self, timeout_s: float | None) -> None:
        call = self.bench.write(LOCK, [ACQUIRE], timeout_s)
        call.is_waiting = True
        self.calls[call] = -1
        self._see(self.bench.begin(call))

    @precondition(lambda self: self.holds)
    @rule(index=INDEX)
    def release(self, index: int) -> None:
        held = list(self.holds)[index % len(self.holds)]
        assert self.bench.core.is_held(held)
        self._see(self.bench.give(held))
        call = self.bench.write(LOCK, [RELEASE, held.seq], 30.0)
        call.is_urgent, call.only_in = True, held.session
        self.calls[call] = -1
        self._see(self.bench.begin(call))

    @precondition(lambda self: self.calls)
    @rule(index=INDEX)
    def give_up(self, index: int) -> None:
        call = list(self.calls)[index % len(self.calls)]
        if call not in self.given_up and (call not in self.ends or call.is_waiting):
            self.given_up[call] = None
            self._see(self.bench.give(inputs.GiveUp(call)))
            if call.only_in is not None:
                held = Held(call.only_in, call.command[1], call.entity, 0)  # type: ignore[index]
                self._see(self.bench.give(inputs.ReleaseFailed(held)))

    # -- the way there

    @precondition(lambda self: self.requests)
    @rule(index=INDEX, what=st.sampled_from(["", "", "", "busy", "full", "unknown", "unknown after", "lost"]))
    def request_arrives(self, index: int, what: str) -> None:
        node_id, item = self.requests.pop(index % len(self.requests))
        call_id, _, _, operation, payload, _ = item
        if operation & RELAY:
            # Whoever passes it on knows the leader, and passes the answer back.
            reply = self._answer(operation & ~RELAY, payload)
        elif node_id != self.leader:
            reply = [NOT_LEADER, self.leader, self.bench.place.terms[0]]
        elif what in ("busy", "full"):
            reply = [BUSY if what == "busy" else FULL]
        elif what in ("unknown", "lost"):
            reply = [UNKNOWN]
        else:
            reply = self._answer(operation, payload)
            reply = [UNKNOWN] if what == "unknown after" else reply
        if what != "lost" and self.bench.place.is_linked(node_id):
            self.replies.append((node_id, call_id, reply))

    def _answer(self, operation: int, payload: bytes) -> Reply:
        if operation == OP_KEEPALIVE:
            row: Any = unpack(payload)
            return [OK, self.slot.keep_alive(row, self.bench.clock.now())]
        if operation == OP_READ:
            return [OK, len(self.slot.applied)]
        return self.slot.apply(payload, self.bench.clock.now())

    @precondition(lambda self: self.replies)
    @rule(index=INDEX, copies=st.integers(1, 2))
    def reply_arrives(self, index: int, copies: int) -> None:
        _, call_id, reply = self.replies.pop(index % len(self.replies))
        for _ in range(copies):
            self._see(self.bench.reply(call_id, reply))

    @precondition(lambda self: self.named)
    @rule(index=INDEX, is_lost=st.booleans())
    def keep_alive_arrives(self, index: int, is_lost: bool) -> None:
        one = self.named.pop(index % len(self.named))
        if not is_lost and self.bench.place.is_linked(one.node_id):
            self._name(one)

    def _name(self, one: out.SendKeepAlive) -> None:
        rows: list[Any] = [
            self.slot.keep_alive(row, self.bench.clock.now())
            if one.node_id == self.leader
            else [0, NOT_LEADER, [], [], [], self.leader, self.bench.place.terms[0]]
            for row in one.rows
        ]
        self.acks.append((one.nonce, rows))

    @precondition(lambda self: self.acks)
    @rule(index=INDEX, is_lost=st.booleans())
    def acknowledgement_arrives(self, index: int, is_lost: bool) -> None:
        nonce, rows = self.acks.pop(index % len(self.acks))
        if not is_lost:
            self._see(self.bench.give(inputs.KeptAlive(nonce, rows)))

    # -- the world

    @rule(node_id=st.sampled_from(NODES))
    def link_goes_up_or_down(self, node_id: str) -> None:
        links = self.bench.place.links
        if node_id in links:
            links.remove(node_id)
            self.replies = [one for one in self.replies if one[0] != node_id]
            self._see(self.bench.give(inputs.LinkDown(node_id)))
        else:
            links.append(node_id)
            self._see(self.bench.give(inputs.LinkUp(node_id)))

    @rule(node_id=st.sampled_from(NODES), is_told=st.booleans())
    def leader_moves(self, node_id: str, is_told: bool) -> None:
        self.leader = node_id
        # Every session has its whole time anew.
        self.slot.heard_ns = dict.fromkeys(self.slot.heard_ns, self.bench.clock.now())
        if is_told:
            self.bench.place.elect(node_id)
            self._see(self.bench.give(inputs.TopologyChanged()))
        else:
            self.bench.place.terms[0] += 1

    @rule(seconds=st.sampled_from([0.0, 0.06, 0.5, 2.0, 5.0, 8.0]))
    def time_passes(self, seconds: float) -> None:
        self._see(self.bench.advance(seconds))

    @rule()
    def the_slot_looks_for_the_dead(self) -> None:
        self.slot.expire(self.bench.clock.now())

    # -- what always holds

    @invariant()
    def increments_are_applied_once_and_told_right(self) -> None:
        applied = self.slot.applied
        assert len(applied) == len(set(applied))
        for call, error in self.ends.items():
            if call.entity[0] == COUNTER and call.reply is not None and call.reply[0] == OK:
                assert self.calls[call] in applied
            if call.entity[0] == COUNTER and isinstance(error, NotStarted | Unavailable):
                assert self.calls[call] not in applied

    @invariant()
    def what_may_be_believed_is_the_slots(self) -> None:
        for held in self.holds:
            if not held.is_over and self.bench.clock.now() < held.session.covered_until_ns:
                assert self.slot.is_of(held)

    @invariant()
    def the_tables_agree(self) -> None:
        table = self.bench.core.table
        assert table.parked_count == sum(call.is_parked for call in table.calls.values())
        assert all(call.state is not CallState.DONE for call in table.calls.values())
        open_ones = [call for call in self.calls if call not in self.ends and call not in self.given_up]
        assert all(table.calls.get(call.call_id) is call for call in open_ones)
        for call in table.calls.values():
            session = call.session
            if call.seq and session is not None and not call.is_queued and not call.is_withdrawing:
                assert session.ack_watermark <= call.seq, (
                    "the slot may forget nothing that is still asked for"
                )

    # -- the end

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        for node_id in NODES:
            # What was lost on a link is sent again when the link has ended.
            if self.bench.place.is_linked(node_id):
                self.link_goes_up_or_down(node_id)
            self.link_goes_up_or_down(node_id)
        self.leader_moves("a", is_told=True)
        # Who waits hears of a grant with a keep-alive, and gives it back: one after the other.
        waiting = sum(call.is_waiting for call in self.bench.core.table.calls.values())
        for _ in range(QUIET_ROUNDS + ROUNDS_OF_A_WAITER * waiting):
            self._deliver_all()
            for held in list(self.holds):
                self.release(list(self.holds).index(held))
            self._see(self.bench.advance(0.1))
            if self._is_at_rest():
                break
        assert self._is_at_rest()
        self.increments_are_applied_once_and_told_right()
        self.the_tables_agree()
        assert self.slot.holder is None and not self.slot.line

    def _deliver_all(self) -> None:
        while self.requests or self.replies or self.named or self.acks:
            if self.requests:
                self.request_arrives(0, "")
            if self.replies:
                self.reply_arrives(0, 1)
            if self.named:
                self.keep_alive_arrives(0, is_lost=False)
            if self.acks:
                self.acknowledgement_arrives(0, is_lost=False)

    def _is_at_rest(self) -> bool:
        core = self.bench.core
        return not core.table.calls and all(session.is_idle() for session in core.sessions_by_slot.values())


TestSessionCore = SessionCoreModel.TestCase
TestSessionCore.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
