"""Keep-alives of one gateway: what sessions rest on, and how lost answers and holds are made good.

A frame per node (several, where there is much to name) every third of the TTL names, for each session
there, the requests that wait, the holds and the abandoned numbers. The acknowledgement covers a slot only
if its leader may speak for it; then everything held there is safe until the *send* time of that frame + TTL
x (1 - drift). A slot that is not covered is asked again at once, then with back-off. When a slot's time
runs out its holds are lost for good, here before anywhere else.

A session may hold any number of locks. That they are lost holds at once for all of them; their owners are told, and the
slot is asked to forget them, in parts, and so are the frames sent that name them (`casty.parts`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from casty.cluster.sessions.call import seen
from casty.cluster.sessions.client_session import Entity, Ledger
from casty.cluster.sessions.grant import Hold
from casty.cluster.sessions.relay_paths import RelayPaths
from casty.cluster.sessions.routes import Routes
from casty.config import SECOND_NS
from casty.distributed.machines.base import EXPIRED, NOT_LEADER, OK, QUEUE, Reply
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED, LOST_VISIBILITY
from casty.errors import RemoteProtocolError
from casty.events import HoldLost
from casty.parts import Parts
from casty.ports import Runtime, Timer
from casty.wire import frames
from casty.wire.pack import pack, unpack

if TYPE_CHECKING:
    from casty.cluster.control.topology import Topology

__all__ = ["LOST_AT_ONCE", "KeepAlive", "KeptAlive"]

FIRST_RETRY_NS = SECOND_NS // 10
MAX_FRAMES_IN_FLIGHT = 1024
FRAME_BYTES = 32 * 1024
"""Below every legal `Settings.max_frame_bytes`; only one request with a very long name exceeds it."""

IDLE_TTLS = 4
LOST_AT_ONCE = 256
"""Owners that hear of a loss in one turn of the loop, in which their tasks may run as well."""
FRAMES_AT_ONCE = 8
"""Frames that are sent in one turn: some ten thousand requests with short names."""


class _Loss(NamedTuple):
    """A hold that was lost, and whether the slot has to be asked to forget it."""

    ledger: Ledger[Hold]
    seq: int
    entity: Entity
    hold: Hold
    reason: str
    is_abandoned: bool


class _Frame(NamedTuple):
    """Rows for a node, and the sessions that they ask for; `around` is the one that is asked for by way of others."""

    node_id: str
    asked: dict[int, Ledger[Hold]]
    rows: list[list[object]]
    around: Ledger[Hold] | None = None


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
    of the last TTL without an answer, at most `MAX_FRAMES_IN_FLIGHT`; all rows go with the last session. `_naming` has
    the sessions of which frames are still to be sent; each has its rows in `_frames` once.
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
        self._losing: Parts[_Loss] = Parts(self._clock, self._lost, LOST_AT_ONCE)
        self._frames: Parts[_Frame] = Parts(self._clock, self._tell, FRAMES_AT_ONCE)
        self._naming: dict[Ledger[Hold], None] = {}

    @property
    def is_told(self) -> bool:
        """Whether the owners of all that was lost know."""
        return self._losing.is_done

    @property
    def is_sent(self) -> bool:
        """Whether all rows of keep-alives that were due are sent."""
        return self._frames.is_done

    def close(self) -> None:
        """Stop; whoever was not told of a loss is told now."""
        self._losing.finish()
        self._frames.clear()
        self._naming.clear()
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
        self._frames.add(self._in_frames(node_id, self._plan_naming(node_id, ledgers, now_ns)))

    def _send_around(self, leader: str, ledgers: list[Ledger[Hold]], now_ns: int) -> None:
        """Ask a leader out of reach through another node, session by session."""
        self._frames.add(self._row_by_row(leader, self._plan_naming(leader, ledgers, now_ns)))

    def _plan_naming(self, node_id: str, ledgers: list[Ledger[Hold]], now_ns: int) -> list[Ledger[Hold]]:
        """Plan the next attempt before this one, as this node's own answer comes at once; return what is to be sent.

        A session of which rows are still to be sent has those: they say what is so when their turn comes.
        """
        for ledger in ledgers:
            self._asked_of[ledger.slot] = node_id
            self._back_off(ledger.slot, now_ns)
        due = [ledger for ledger in ledgers if ledger not in self._naming]
        self._naming.update(dict.fromkeys(due))
        return due

    def _rows_of(self, ledger: Ledger[Hold]) -> Iterator[tuple[list[object], int]]:
        """Yield the rows of a session while it lasts."""
        for row in ledger.keep_alive_rows(FRAME_BYTES):
            if self._gateway.ledgers.get(ledger.slot) is not ledger:
                break
            yield row
        self._naming.pop(ledger, None)

    def _in_frames(self, node_id: str, ledgers: list[Ledger[Hold]]) -> Iterator[_Frame]:
        """Yield the rows of sessions, frame by frame."""
        asked: dict[int, Ledger[Hold]] = {}
        rows: list[list[object]] = []
        size_bytes = 0
        for ledger in ledgers:
            for row, row_bytes in self._rows_of(ledger):
                if rows and size_bytes + row_bytes > FRAME_BYTES:
                    yield _Frame(node_id, asked, rows)
                    asked, rows, size_bytes = {}, [], 0
                asked[ledger.slot] = ledger
                rows.append(row)
                size_bytes += row_bytes
        if rows:
            yield _Frame(node_id, asked, rows)

    def _row_by_row(self, leader: str, ledgers: list[Ledger[Hold]]) -> Iterator[_Frame]:
        for ledger in ledgers:
            for row, _ in self._rows_of(ledger):
                yield _Frame(leader, {}, [row], around=ledger)

    def _tell(self, frame: _Frame) -> None:
        now_ns = self._clock.now()
        if frame.around is not None:
            asking = self._gateway.ask_around(frame.around, frame.rows[0])
            asking.add_done_callback(partial(self._came_around, frame.around, now_ns))
            return
        self._nonce += 1
        self._sent[self._nonce] = (now_ns, frame.asked)
        while len(self._sent) > MAX_FRAMES_IN_FLIGHT:
            del self._sent[next(iter(self._sent))]
        self._routes.send(frame.node_id, frames.KEEPALIVE, pack([self._nonce, frame.rows]))

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
            if not isinstance(lost, list) or any(type(seq) is not int for seq in lost):
                raise RemoteProtocolError("keep-alive answer: expected the numbers of what is lost")
            self.covered(ledger, sent_ns)
            for seq in settled:
                ledger.settle(seq)
            self._gateway.admit(ledger)
            if lost:
                self._losing.add(self._of_these(ledger, lost, LOST_DESTROYED))
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
        """Every hold of the slot is lost, all of them here and now; their owners are told in parts.

        Parameters
        ----------
        abandon
            The session lives on, and its slot has to be asked to forget them.
        """
        lost = ledger.lose_all()
        if lost:
            self._losing.add(self._each_of(ledger, lost, reason, abandon))

    def _each_of(
        self, ledger: Ledger[Hold], lost: dict[int, tuple[Entity, Hold]], reason: str, abandon: bool
    ) -> Iterator[_Loss]:
        is_long = len(lost) > LOST_AT_ONCE
        for seq in list(lost):
            entity, hold = lost.pop(seq)
            yield _Loss(ledger, seq, entity, hold, reason, abandon)
        if abandon and is_long:
            self.soon(ledger.slot)  # keep-alives that were sent meanwhile named some of them only

    def lose(self, ledger: Ledger[Hold], seqs: list[int], reason: str) -> None:
        """These holds are lost, some now and the others in the next turns; keep-alives name them until the slot has
        forgotten them, and grants them to nobody else before.
        """
        self._losing.add(self._of_these(ledger, seqs, reason))
        self.soon(ledger.slot)

    def _of_these(self, ledger: Ledger[Hold], seqs: list[int], reason: str) -> Iterator[_Loss]:
        for seq in seqs:
            row = ledger.let_go(seq)
            if row is not None:
                # Of a queue nothing is destroyed while it is reserved: the time of that is over.
                is_over = reason == LOST_DESTROYED and row[0][0] == QUEUE
                yield _Loss(ledger, seq, *row, LOST_VISIBILITY if is_over else reason, is_abandoned=True)
        if len(seqs) > LOST_AT_ONCE:
            self.soon(ledger.slot)

    def _lost(self, loss: _Loss) -> None:
        if loss.is_abandoned:
            loss.ledger.abandon(loss.seq, loss.entity)
        loss.hold.lose(loss.reason)
        if self._observe:
            self._observe(HoldLost(loss.ledger.slot, loss.ledger.number or 0, loss.seq, loss.reason))


def _row(row: Any) -> list[Any]:
    if not isinstance(row, list) or len(row) != 7:
        raise RemoteProtocolError("keep-alive answer: expected rows of seven")
    return row
