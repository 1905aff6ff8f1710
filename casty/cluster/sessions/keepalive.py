"""Keep-alives of one gateway: what sessions rest on, and how lost answers and holds are made good.

A frame per node (several, where there is much to name) every third of the TTL names, for each session
there, the requests that wait, the holds and the abandoned numbers. The acknowledgement covers a slot only
if its leader may speak for it; then everything held there is safe until the *send* time of that frame + TTL
x (1 - drift). A slot that is not covered is asked again at once, then with back-off. When a slot's time
runs out its holds are lost for good, here before anywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from casty.cluster.sessions.call import seen
from casty.cluster.sessions.client_session import Ledger
from casty.cluster.sessions.grant import Hold
from casty.cluster.sessions.relay_paths import RelayPaths
from casty.cluster.sessions.routes import Routes
from casty.config import SECOND_NS
from casty.distributed.machines.base import EXPIRED, NOT_LEADER, OK, QUEUE, Reply
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED, LOST_VISIBILITY
from casty.errors import RemoteProtocolError
from casty.events import HoldLost
from casty.ports import Runtime, Timer
from casty.wire import frames
from casty.wire.pack import pack, unpack

if TYPE_CHECKING:
    from casty.cluster.control.topology import Topology

__all__ = ["KeepAlive", "KeptAlive"]

FIRST_RETRY_NS = SECOND_NS // 10
MAX_FRAMES_IN_FLIGHT = 1024
FRAME_BYTES = 32 * 1024
"""Below every legal `Settings.max_frame_bytes`; only one request with a very long name exceeds it."""

IDLE_TTLS = 4


class KeptAlive(Protocol):
    """Whose sessions are kept alive; see `CallRouter`."""

    @property
    def ledgers(self) -> dict[int, Ledger[Hold]]:
        """The open sessions, by slot; one that was given up is taken out."""
        ...

    @property
    def relay_paths(self) -> RelayPaths:
        """Ways around links that are missing."""
        ...

    def send_close(self, ledger: Ledger[Hold]) -> asyncio.Future[Reply]:
        """Close a session of a slot; returns the future of the answer."""
        ...

    def ask_around(self, ledger: Ledger[Hold], row: list[object]) -> asyncio.Future[Reply]:
        """Keep a session alive whose slot's leader is out of reach; returns the future of ``[OK, row]``."""
        ...

    def admit(self, ledger: Ledger[Hold]) -> None:
        """The slot says that the session lives on: let calls in that waited for that."""

    def on_outcome(self, slot: int, seq: int, reply: Reply) -> None:
        """An acknowledgement repeats the outcome of a waiting call."""

    def on_session_expired(self, ledger: Ledger[Hold]) -> None:
        """An acknowledgement says that the session is gone."""


class KeepAlive:
    """The keep-alives of one gateway.

    Bounds: `_due_ns`, `_retry_ns` and `_asked_of` have a row per slot with a session of this gateway, `_sent` per frame
    of the last TTL without an answer, at most `MAX_FRAMES_IN_FLIGHT`; all rows go with the last session.
    """

    def __init__(self, gateway: KeptAlive, runtime: Runtime, routes: Routes) -> None:
        self._gateway = gateway
        self._clock = runtime.clock
        self._observe = runtime.observe
        self._routes = routes
        self._due_ns: dict[int, int] = {}
        self._retry_ns: dict[int, int] = {}
        self._asked_of: dict[int, str | None] = {}
        self._sent: dict[int, tuple[int, dict[int, Ledger[Hold]]]] = {}
        self._nonce = 0
        self._timer: Timer | None = None
        self._timer_ns = 0
        self.own_ttl_ns = 0
        """How long the sessions of this gateway live; 0 for as long as is usual in the cluster."""

    def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
        self._due_ns.clear()

    def _ttl_ns(self) -> int:
        if self.own_ttl_ns:
            return self.own_ttl_ns
        topology = self._routes.topology()
        assert topology is not None, "sessions exist only with a topology"
        return int(topology.ttl_s * SECOND_NS)

    def covered(self, ledger: Ledger[Hold], sent_ns: int) -> None:
        """The slot heard of us through a frame sent at `sent_ns`."""
        if ledger.held and self._clock.now() >= ledger.covered_until_ns:
            # Somebody may have seen it invalid: what was lost once stays lost.
            self.lose_all(ledger, LOST_EXPIRED, abandon=True)
        topology = self._routes.topology()
        assert topology is not None
        ttl_ns = self._ttl_ns()
        ledger.cover(sent_ns + int(ttl_ns * (1 - topology.drift)))
        ledger.is_in_question = False
        self._retry_ns.pop(ledger.slot, None)
        self._plan(ledger.slot, sent_ns + ttl_ns // 3)

    def ask(self, ledger: Ledger[Hold]) -> None:
        """See that the slot is asked at once for a session whose time ran out; once, until that was answered."""
        if not ledger.is_in_question:
            ledger.is_in_question = True
            self.soon(ledger.slot)

    def soon(self, slot: int) -> None:
        """Ask the slot at the end of this turn."""
        self._plan(slot, self._clock.now())

    def watch(self, ledger: Ledger[Hold]) -> None:
        """Something is held there from now on: notice when its time runs out."""
        self._arm(ledger.covered_until_ns)

    def _plan(self, slot: int, when_ns: int) -> None:
        self._due_ns[slot] = when_ns
        self._arm(when_ns)

    def _arm(self, when_ns: int) -> None:
        if self._timer is not None:
            if self._timer_ns <= when_ns:
                return
            self._timer.cancel()
        self._timer_ns = when_ns
        self._timer = self._clock.call_at(when_ns, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now_ns = self._clock.now()
        for ledger in list(self._gateway.ledgers.values()):
            if ledger.held and now_ns >= ledger.covered_until_ns:
                self.lose_all(ledger, LOST_EXPIRED, abandon=True)
                self._due_ns[ledger.slot] = min(self._due_ns.get(ledger.slot, now_ns), now_ns)
        try:
            self._send_due(now_ns)
        finally:
            instants = list(self._due_ns.values())
            instants += [one.covered_until_ns for one in self._gateway.ledgers.values() if one.held]
            if instants:
                self._arm(max(min(instants), now_ns + 1))
            else:
                self._forget()

    def _forget(self) -> None:
        """No session is left, so no answer can matter."""
        self._sent.clear()
        self._asked_of.clear()
        self._retry_ns.clear()

    def _send_due(self, now_ns: int) -> None:
        topology = self._routes.topology()
        if topology is None:
            return
        self._forget_unanswered(now_ns - self._ttl_ns())
        slack_ns = now_ns + self._ttl_ns() // 12
        by_node: dict[str, list[Ledger[Hold]]] = {}
        urgent: dict[str, None] = {}
        for slot in list(self._due_ns):
            ledger = self._gateway.ledgers.get(slot)
            if ledger is None or ledger.number is None:
                del self._due_ns[slot]
            elif self._is_over(ledger, now_ns):
                self._close_idle(ledger)
            elif self._due_ns[slot] <= slack_ns:
                leader = topology.leader_of(slot)
                if leader is None:
                    self._back_off(slot, now_ns)
                    continue
                by_node.setdefault(leader, []).append(ledger)
                if self._due_ns[slot] <= now_ns:
                    urgent[leader] = None
        for node_id in urgent:
            if not self._routes.is_linked(node_id) and self._gateway.relay_paths.around(node_id) is not None:
                self._send_around(node_id, by_node[node_id], now_ns)
            else:
                self._send(node_id, by_node[node_id], now_ns)

    def _forget_unanswered(self, before_ns: int) -> None:
        """Wait no longer for answers to frames of before an instant: they would cover nothing any more."""
        while self._sent:
            nonce, (sent_ns, _) = next(iter(self._sent.items()))
            if sent_ns >= before_ns:
                return
            del self._sent[nonce]

    def _is_over(self, ledger: Ledger[Hold], now_ns: int) -> bool:
        return ledger.is_idle() and now_ns - ledger.used_ns > IDLE_TTLS * self._ttl_ns()

    def _close_idle(self, ledger: Ledger[Hold]) -> None:
        del self._due_ns[ledger.slot]
        del self._gateway.ledgers[ledger.slot]
        future = self._gateway.send_close(ledger)
        # An unanswered close is made good by the session's expiry.
        future.add_done_callback(seen)

    def _send(self, node_id: str, ledgers: list[Ledger[Hold]], now_ns: int) -> None:
        # Planned before sending: this node's own answer comes at once.
        for ledger in ledgers:
            self._asked_of[ledger.slot] = node_id
            self._back_off(ledger.slot, now_ns)
        for asked, rows in list(_in_frames(ledgers)):
            self._nonce += 1
            self._sent[self._nonce] = (now_ns, asked)
            while len(self._sent) > MAX_FRAMES_IN_FLIGHT:
                del self._sent[next(iter(self._sent))]
            self._routes.send(node_id, frames.KEEPALIVE, pack([self._nonce, rows]))

    def _send_around(self, leader: str, ledgers: list[Ledger[Hold]], now_ns: int) -> None:
        """Ask a leader out of reach through another node, session by session."""
        for ledger in ledgers:
            self._asked_of[ledger.slot] = leader
            self._back_off(ledger.slot, now_ns)
            for row, _ in list(ledger.keep_alive_rows(FRAME_BYTES)):
                asking = self._gateway.ask_around(ledger, row)
                asking.add_done_callback(partial(self._came_around, ledger, now_ns))

    def _came_around(self, ledger: Ledger[Hold], sent_ns: int, done: asyncio.Future[Reply]) -> None:
        reply = None if done.cancelled() or done.exception() is not None else done.result()
        if reply is not None and reply[0] == OK and self._gateway.ledgers.get(ledger.slot) is ledger:
            self._on_row(ledger, _row(reply[1]), sent_ns)
            self._arm_soonest()

    def _back_off(self, slot: int, now_ns: int) -> None:
        """Plan the next attempt as if this one stays unanswered."""
        wait_ns = self._retry_ns.get(slot, FIRST_RETRY_NS)
        self._retry_ns[slot] = min(2 * wait_ns, max(self._ttl_ns() // 12, FIRST_RETRY_NS))
        self._due_ns[slot] = now_ns + wait_ns

    def on_ack(self, body: bytes) -> None:
        """Take an acknowledgement."""
        message: Any = unpack(body)
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[1], list):
            raise RemoteProtocolError("keep-alive answer: expected [nonce, rows]")
        sent = self._sent.pop(message[0], None)
        if sent is None:
            return
        sent_ns, asked = sent
        for row in message[1]:
            ledger = self._gateway.ledgers.get(_row(row)[0])
            # The answer is about the session that was asked for, never about its successor.
            if ledger is not None and ledger is asked.get(row[0]):
                self._on_row(ledger, row, sent_ns)
        self._arm_soonest()

    def _arm_soonest(self) -> None:
        if self._due_ns:
            self._arm(max(min(self._due_ns.values()), self._clock.now()))

    def _on_row(self, ledger: Ledger[Hold], row: list[Any], sent_ns: int) -> None:
        slot, status, outcomes, lost, settled, leader, term = row
        if status == OK:
            self.covered(ledger, sent_ns)
            for seq in settled:
                ledger.settle(seq)
            self._gateway.admit(ledger)
            for seq in lost:
                is_of_queue = seq in ledger.held and ledger.held[seq][0][0] == QUEUE
                reason = LOST_VISIBILITY if is_of_queue else LOST_DESTROYED
                self._lose(ledger, seq, reason, abandon=True)
            for seq, reply in outcomes:
                self._gateway.on_outcome(slot, seq, reply)
            if ledger.abandoned:
                self._back_off(slot, self._clock.now())
        elif status == EXPIRED:
            self._gateway.on_session_expired(ledger)
        elif status == NOT_LEADER and leader is not None:
            self._routes.hint(slot, leader, term)
            topology = self._routes.topology()
            # Only if that is news: two nodes that name each other are not asked in turns for ever.
            if topology is not None and topology.leader_of(slot) != self._asked_of.get(slot):
                self._due_ns[slot] = self._clock.now()

    def follow(self, topology: Topology) -> None:
        """Leaders changed: ask the new ones at once."""
        now_ns = self._clock.now()
        for slot in list(self._due_ns):
            leader = topology.leader_of(slot)
            if leader is not None and leader != self._asked_of.get(slot) and slot in self._asked_of:
                self._asked_of[slot] = leader
                self._plan(slot, now_ns)

    def lose_all(self, ledger: Ledger[Hold], reason: str, *, abandon: bool) -> None:
        """Every hold of the slot is lost."""
        for seq in list(ledger.held):
            self._lose(ledger, seq, reason, abandon=abandon)

    def lose(self, ledger: Ledger[Hold], seq: int, reason: str) -> None:
        """One hold is lost; keep-alives name it until the slot has forgotten it."""
        self._lose(ledger, seq, reason, abandon=True)
        self.soon(ledger.slot)

    def _lose(self, ledger: Ledger[Hold], seq: int, reason: str, *, abandon: bool) -> None:
        held = ledger.held.pop(seq, None)
        if held is None:
            return
        entity, hold = held
        if abandon:
            ledger.abandon(seq, entity)
        hold.lose(reason)
        if self._observe:
            self._observe(HoldLost(ledger.slot, ledger.number or 0, seq, reason))


def _in_frames(ledgers: list[Ledger[Hold]]) -> Iterator[tuple[dict[int, Ledger[Hold]], list[list[object]]]]:
    """Return the rows of sessions, frame by frame, each with the sessions that it asks for."""
    asked: dict[int, Ledger[Hold]] = {}
    rows: list[list[object]] = []
    size_bytes = 0
    for ledger in ledgers:
        for row, row_bytes in ledger.keep_alive_rows(FRAME_BYTES):
            if rows and size_bytes + row_bytes > FRAME_BYTES:
                yield asked, rows
                asked, rows, size_bytes = {}, [], 0
            asked[ledger.slot] = ledger
            rows.append(row)
            size_bytes += row_bytes
    if rows:
        yield asked, rows


def _row(row: Any) -> list[Any]:
    if not isinstance(row, list) or len(row) != 7:
        raise RemoteProtocolError("keep-alive answer: expected rows of seven")
    return row
