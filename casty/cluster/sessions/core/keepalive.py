"""Keep-alives of one gateway: what sessions rest on, and how lost answers and holds are made good.

A frame per node (several, where there is much to name) every third of the TTL names, for each session
there, the requests that wait, the holds and the abandoned numbers. The acknowledgement covers a slot only
if its leader may speak for it; then everything held there is safe until the *send* time of that frame + TTL
x (1 - drift). A slot that is not covered is asked again at once, then with back-off. When a slot's time
runs out its holds are lost for good, here before anywhere else.

A session may hold any number of locks. That they are lost holds at once for all of them; their owners are told, and the
slot is asked to forget them, in parts, and so are the frames sent that name them (`portions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from casty.cluster.control.topology import Topology
from casty.cluster.sessions.core.client_session import ClientSession, Held
from casty.cluster.sessions.core.effects import Alarm, Lost, SendKeepAlive, Step
from casty.cluster.sessions.core.portions import Portions
from casty.cluster.sessions.core.relay_paths import RelayPaths
from casty.cluster.sessions.core.surroundings import Surroundings
from casty.config import SECOND_NS
from casty.distributed.machines.base import LOST_DESTROYED, LOST_EXPIRED, LOST_VISIBILITY, QUEUE

__all__ = ["LOST_AT_ONCE", "MAX_FRAMES_IN_FLIGHT", "KeepAlive"]

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

    held: Held
    reason: str
    is_abandoned: bool


class _Frame(NamedTuple):
    """Rows for a node, and the sessions that they ask for; `around` is the one that is asked for by way of others."""

    node_id: str
    asked: dict[int, ClientSession]
    rows: list[list[object]]
    around: ClientSession | None = None


class KeepAlive:
    """The keep-alives of one gateway.

    Parameters
    ----------
    step, surroundings
        The step under way, and what it reads.
    sessions_by_slot
        The sessions in use, by slot.
    relay_paths
        Ways around links that are missing.

    Bounds: `_due_ns`, `_retry_ns` and `_asked_of` have a row per slot with a session of this gateway, `sent` per frame
    of the last TTL without an answer, at most `MAX_FRAMES_IN_FLIGHT`; all rows go with the last session. `_naming` has
    the sessions of which frames are still to be sent; each has its rows in `_frames` once.
    """

    __slots__ = (
        "_asked_of", "_due_ns", "_frames", "_losing", "_naming", "_nonce", "_relay_paths", "_retry_ns",
        "_sessions_by_slot", "_set_ns", "_step", "_surroundings", "own_ttl_ns", "sent",
    )  # fmt: skip

    def __init__(
        self,
        step: Step,
        surroundings: Surroundings,
        sessions_by_slot: dict[int, ClientSession],
        relay_paths: RelayPaths,
    ) -> None:
        self._step = step
        self._surroundings = surroundings
        self._sessions_by_slot = sessions_by_slot
        self._relay_paths = relay_paths
        self._due_ns: dict[int, int] = {}
        """When each session is to be named again, if nothing is heard before; every session with a number has a row."""
        self._retry_ns: dict[int, int] = {}
        """How long a session that was named waits for its answer; without a row the first time."""
        self._asked_of: dict[int, str | None] = {}
        """Whom each session was named to last."""
        self.sent: dict[int, tuple[int, dict[int, ClientSession]]] = {}
        """By nonce, frames without an answer: when each was sent, and the sessions that it named by slot."""
        self._nonce = 0
        """That of the latest frame; none is used twice, so an acknowledgement counts once."""
        self._set_ns: int | None = None
        """For when the alarm is set; never later than the first of `_due_ns` and of the ends of what is held."""
        self.own_ttl_ns = 0
        """How long the sessions of this gateway live; 0 for as long as is usual in the cluster."""
        self._losing: Portions[_Loss] = Portions(step, Alarm.TELL_LOST, LOST_AT_ONCE)
        """Lost holds whose owners do not know yet; none of them counts any more."""
        self._frames: Portions[_Frame] = Portions(step, Alarm.NAME, FRAMES_AT_ONCE)
        """Rows that are due and not sent; what is named in them is read when their turn comes."""
        self._naming: dict[ClientSession, None] = {}
        """Sessions with rows in `_frames`, each once: whatever becomes due meanwhile goes with these."""

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
        for loss in self._losing.rest():
            self._lost(loss)
        self._frames.clear()
        self._naming.clear()
        self._set_ns = None
        self._step.wake(Alarm.KEEP_ALIVE, None)
        self._due_ns.clear()

    def _ttl_ns(self) -> int:
        if self.own_ttl_ns:
            return self.own_ttl_ns
        topology = self._surroundings.topology()
        assert topology is not None, "sessions exist only with a topology"
        return int(topology.ttl_s * SECOND_NS)

    def covered(self, session: ClientSession, sent_ns: int) -> None:
        """The slot heard of us through a frame sent at `sent_ns`."""
        if session.held and self._step.now_ns >= session.covered_until_ns:
            # Somebody may have seen it invalid: what was lost once stays lost.
            self.lose_all(session, LOST_EXPIRED, abandon=True)
        topology = self._surroundings.topology()
        assert topology is not None
        ttl_ns = self._ttl_ns()
        session.cover(sent_ns + int(ttl_ns * (1 - topology.drift)))
        session.is_in_question = False
        self._retry_ns.pop(session.slot, None)
        self._plan(session.slot, sent_ns + ttl_ns // 3)

    def ask(self, session: ClientSession) -> None:
        """See that the slot is asked at once for a session whose time ran out; once, until that was answered."""
        if not session.is_in_question:
            session.is_in_question = True
            self.soon(session.slot)

    def soon(self, slot: int) -> None:
        """Ask the slot at the end of this turn."""
        self._plan(slot, self._step.now_ns)

    def watch(self, session: ClientSession) -> None:
        """Something is held there from now on: notice when its time runs out."""
        self._arm(session.covered_until_ns)

    def _plan(self, slot: int, when_ns: int) -> None:
        self._due_ns[slot] = when_ns
        self._arm(when_ns)

    def _arm(self, when_ns: int) -> None:
        if self._set_ns is None or when_ns < self._set_ns:
            self._set_ns = when_ns
            self._step.wake(Alarm.KEEP_ALIVE, when_ns)

    def due(self) -> list[ClientSession]:
        """Lose the holds whose time ran out, and plan the frames that are due, see `to_ask_around`.

        Returns the sessions that nobody used for long, taken out of use: they are to be closed.
        """
        self._set_ns = None
        now_ns = self._step.now_ns
        for session in list(self._sessions_by_slot.values()):
            if session.held and now_ns >= session.covered_until_ns:
                self.lose_all(session, LOST_EXPIRED, abandon=True)
                self._due_ns[session.slot] = min(self._due_ns.get(session.slot, now_ns), now_ns)
        return self._plan_due(now_ns)

    def arm_anew(self) -> None:
        """Set the alarm for what is next by now."""
        self._set_ns = None
        instants = list(self._due_ns.values())
        instants += [one.covered_until_ns for one in self._sessions_by_slot.values() if one.held]
        if instants:
            self._arm(max(min(instants), self._step.now_ns + 1))
        else:
            self._drop_rows()

    def _drop_rows(self) -> None:
        """No session is left, so no answer can matter."""
        self.sent.clear()
        self._asked_of.clear()
        self._retry_ns.clear()

    def _plan_due(self, now_ns: int) -> list[ClientSession]:
        idle: list[ClientSession] = []
        topology = self._surroundings.topology()
        if topology is None:
            return idle
        self._drop_unanswered(now_ns - self._ttl_ns())
        slack_ns = now_ns + self._ttl_ns() // 12
        by_node: dict[str, list[ClientSession]] = {}
        urgent: dict[str, None] = {}
        for slot in list(self._due_ns):
            session = self._sessions_by_slot.get(slot)
            if session is None or session.number is None:
                del self._due_ns[slot]
            elif self._is_over(session, now_ns):
                del self._due_ns[slot], self._sessions_by_slot[slot]
                idle.append(session)
            elif self._due_ns[slot] <= slack_ns:
                leader = topology.leader_of(slot)
                if leader is None:
                    self._back_off(slot, now_ns)
                    continue
                by_node.setdefault(leader, []).append(session)
                if self._due_ns[slot] <= now_ns:
                    urgent[leader] = None
        for node_id in urgent:
            if not self._surroundings.is_linked(node_id) and self._relay_paths.around(node_id) is not None:
                self._frames.add(
                    self._row_by_row(node_id, self._plan_naming(node_id, by_node[node_id], now_ns))
                )
            else:
                self._frames.add(
                    self._in_frames(node_id, self._plan_naming(node_id, by_node[node_id], now_ns))
                )
        return idle

    def _drop_unanswered(self, before_ns: int) -> None:
        """Wait no longer for answers to frames of before an instant: they would cover nothing any more."""
        while self.sent:
            nonce, (sent_ns, _) = next(iter(self.sent.items()))
            if sent_ns >= before_ns:
                return
            del self.sent[nonce]

    def _is_over(self, session: ClientSession, now_ns: int) -> bool:
        return session.is_idle() and now_ns - session.used_ns > IDLE_TTLS * self._ttl_ns()

    def _plan_naming(self, node_id: str, sessions: list[ClientSession], now_ns: int) -> list[ClientSession]:
        """Plan the next attempt before this one, as this node's own answer comes at once; return what is to be sent.

        A session of which rows are still to be sent has those: they say what is so when their turn comes.
        """
        for session in sessions:
            self._asked_of[session.slot] = node_id
            self._back_off(session.slot, now_ns)
        due = [session for session in sessions if session not in self._naming]
        self._naming.update(dict.fromkeys(due))
        return due

    def _rows_of(self, session: ClientSession) -> Iterator[tuple[list[object], int]]:
        """Yield the rows of a session while it lasts."""
        for row in session.keep_alive_rows(FRAME_BYTES):
            if self._sessions_by_slot.get(session.slot) is not session:
                break
            yield row
        self._naming.pop(session, None)

    def _in_frames(self, node_id: str, sessions: list[ClientSession]) -> Iterator[_Frame]:
        """Yield the rows of sessions, frame by frame."""
        asked: dict[int, ClientSession] = {}
        rows: list[list[object]] = []
        size_bytes = 0
        for session in sessions:
            for row, row_bytes in self._rows_of(session):
                if rows and size_bytes + row_bytes > FRAME_BYTES:
                    yield _Frame(node_id, asked, rows)
                    asked, rows, size_bytes = {}, [], 0
                asked[session.slot] = session
                rows.append(row)
                size_bytes += row_bytes
        if rows:
            yield _Frame(node_id, asked, rows)

    def _row_by_row(self, leader: str, sessions: list[ClientSession]) -> Iterator[_Frame]:
        for session in sessions:
            for row, _ in self._rows_of(session):
                yield _Frame(leader, {}, [row], around=session)

    def to_ask_around(self, *, is_woken: bool = False) -> Iterator[tuple[ClientSession, list[object]]]:
        """Send the frames that may leave in this step; return what is to be asked by way of others, with a row each."""
        if is_woken:
            self._frames.woken()
        for frame in self._frames.take():
            if frame.around is not None:
                yield frame.around, frame.rows[0]
                continue
            self._nonce += 1
            self.sent[self._nonce] = (self._step.now_ns, frame.asked)
            while len(self.sent) > MAX_FRAMES_IN_FLIGHT:
                del self.sent[next(iter(self.sent))]
            self._step.effects.append(SendKeepAlive(frame.node_id, self._nonce, frame.rows))

    def _back_off(self, slot: int, now_ns: int) -> None:
        """Plan the next attempt as if this one stays unanswered."""
        wait_ns = self._retry_ns.get(slot, FIRST_RETRY_NS)
        self._retry_ns[slot] = min(2 * wait_ns, max(self._ttl_ns() // 12, FIRST_RETRY_NS))
        self._due_ns[slot] = now_ns + wait_ns

    def answered(self, nonce: int, rows: list[list[Any]]) -> Iterator[tuple[ClientSession, list[Any], int]]:
        """Return the rows of an acknowledgement that count, with their sessions and when these were named."""
        sent = self.sent.pop(nonce, None)
        if sent is None:
            return
        sent_ns, asked = sent
        for row in rows:
            session = self._sessions_by_slot.get(row[0])
            # The answer is about the session that was asked for, never about its successor.
            if session is not None and session is asked.get(row[0]):
                yield session, row, sent_ns
        if sent_ns == self._step.now_ns:
            # This node answered itself: the alarm is still set for the case that nobody does.
            self.arm_anew()
        else:
            self.arm_soonest()

    def arm_soonest(self) -> None:
        """See that what came to be due by an answer has its alarm."""
        if self._due_ns:
            self._arm(max(min(self._due_ns.values()), self._step.now_ns))

    def not_cleared(self, session: ClientSession) -> None:
        """Something that was abandoned is not cleared yet: name it again soon."""
        self._back_off(session.slot, self._step.now_ns)

    def redirected(self, slot: int) -> None:
        """Whoever was asked named another leader: ask that one, if it is news.

        Two nodes that name each other are not asked in turns for ever.
        """
        topology = self._surroundings.topology()
        if topology is not None and topology.leader_of(slot) != self._asked_of.get(slot):
            self._due_ns[slot] = self._step.now_ns

    def follow(self, topology: Topology) -> None:
        """Leaders changed: ask the new ones at once."""
        now_ns = self._step.now_ns
        for slot in list(self._due_ns):
            leader = topology.leader_of(slot)
            if leader is not None and leader != self._asked_of.get(slot) and slot in self._asked_of:
                self._asked_of[slot] = leader
                self._plan(slot, now_ns)

    def lose_all(self, session: ClientSession, reason: str, *, abandon: bool) -> None:
        """Every hold of the slot is lost, all of them here and now; their owners are told in parts.

        Parameters
        ----------
        abandon
            The session lives on, and its slot has to be asked to forget them.
        """
        lost = session.lose_all()
        if lost:
            self._losing.add(self._each_of(session, lost, reason, abandon))
            self.tell_lost()

    def _each_of(
        self, session: ClientSession, lost: dict[int, Held], reason: str, abandon: bool
    ) -> Iterator[_Loss]:
        is_long = len(lost) > LOST_AT_ONCE
        for seq in list(lost):
            yield _Loss(lost.pop(seq), reason, abandon)
        if abandon and is_long:
            self.soon(session.slot)  # keep-alives that were sent meanwhile named some of them only

    def lose(self, session: ClientSession, seqs: list[int], reason: str) -> None:
        """These holds are lost, some now and the others in the next turns.

        Keep-alives name each until the slot has forgotten it; before that it is granted to nobody else.
        """
        self._losing.add(self._of_these(session, seqs, reason))
        self.tell_lost()

    def _of_these(self, session: ClientSession, seqs: list[int], reason: str) -> Iterator[_Loss]:
        for seq in seqs:
            held = session.let_go(seq)
            if held is not None:
                # Of a queue nothing is destroyed while it is reserved: the time of that is over.
                is_over = reason == LOST_DESTROYED and held.entity[0] == QUEUE
                yield _Loss(held, LOST_VISIBILITY if is_over else reason, is_abandoned=True)
        if len(seqs) > LOST_AT_ONCE:
            self.soon(session.slot)

    def tell_lost(self, *, is_woken: bool = False) -> None:
        """Tell owners of what they lost, as many as a turn has room for."""
        if is_woken:
            self._losing.woken()
        for loss in self._losing.take():
            self._lost(loss)

    def _lost(self, loss: _Loss) -> None:
        held = loss.held
        if loss.is_abandoned:
            held.session.abandon(held.seq, held.entity)
        held.is_over = True
        self._step.effects.append(Lost(held, loss.reason))
