"""A slot's replica on one node: the slot machine, and while the replica leads, the leader's soft state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from casty.cluster.multiraft.host import Group
from casty.cluster.multiraft.numbers import group_of
from casty.cluster.multiraft.proposals import (
    BUSY,
    EXPIRED,
    NOBODY,
    NOT_LEADER,
    Late,
    Proposals,
    ReadReplySink,
    ReplySink,
    Waiting,
    answer,
)
from casty.cluster.slots.debts import Payments
from casty.cluster.slots.dump import SlotDump, SlotLoad
from casty.cluster.slots.leader import EXPIRY_WORK, SlotLeader
from casty.cluster.slots.lifetimes import Lifetimes
from casty.cluster.slots.machine import FORMER, MachineLimits, SlotMachine
from casty.cluster.slots.map_service import SlotMaps
from casty.cluster.slots.node_memory import NodeMemory
from casty.cluster.slots.operations import AFTER, MARKS_BYTES, ROW_PROOF, ROW_SESSION, SCAN
from casty.cluster.slots.schema import (
    ABANDON,
    APPENDED,
    CALLED,
    CANCEL,
    CLOSE,
    COMMAND,
    ENTRY,
    EVENT_LOG,
    EXPIRE,
    GIVEN_UP,
    LAPSE,
    LIVES_MS,
    OF_KIND,
    OF_NAME,
    OPEN_FOR,
    OPENINGS,
    PACKED_KIND,
    PAY,
    SEQ,
    SESSION,
    check_append,
    check_entry,
    check_keepalive,
    check_read,
)
from casty.cluster.slots.weights import Weights
from casty.cluster.slots.window import Window
from casty.config import SECOND_NS, Settings
from casty.consensus import Entry
from casty.distributed.machines.base import (
    BAD,
    CODE,
    EVENTS,
    KIND_NAMES,
    MAP,
    OK,
    OPERATION,
    QUEUED,
    TOO_LARGE,
    VALUE,
    WITHDRAWN,
    Reply,
)
from casty.distributed.machines.events import APPEND
from casty.distributed.machines.record import MARK, RECORDED, TOKEN_KINDS
from casty.errors import RemoteProtocolError
from casty.events import HoldGranted, SessionEnded, SessionOpened
from casty.limits import MAX_GENERATION
from casty.parts import Parts
from casty.ports import Runtime
from casty.wire.pack import unpack

__all__ = ["SlotReplica"]


MAX_READS = 10_000
"""Reads of one slot that may wait for a quorum round; that round answers them, or the end of the leadership."""

ASKED_TTL_S = {"shortest_ttl_s": 0.001, "max_session_ttl_s": 300.0}
"""The agreed bounds of what clients may ask for, and what they are where none were agreed on."""

CHECKED_BYTES = 4_096
"""An entry that is no longer stays as it was checked until it is applied."""

FREED_AT_ONCE = 2_048
"""Steps of freeing a state in one turn: about a millisecond."""


class SlotReplica:
    """One replica of one slot."""

    __slots__ = (
        "_budget", "_clock", "_former", "_has_failed", "_last_read", "_led_term", "_memory", "_observe", "_on_role",
        "_payments", "_reads",
        "_runtime", "_settings", "_slot", "_ttl_ns", "_window", "leader", "machine", "maps", "on_late", "on_over",
        "proposals",
    )  # fmt: skip

    def __init__(
        self,
        slot: int,
        runtime: Runtime,
        settings: Settings,
        generation: int,
        cluster: dict[str, float],
        on_role: Callable[[Group], None],
        memory: NodeMemory,
    ) -> None:
        limits = MachineLimits(
            int(cluster["max_entities"]), int(cluster["max_sessions"]), int(cluster["max_waiters"])
        )
        lifetimes = Lifetimes(
            *(round(1000 * cluster.get(name, bound)) for name, bound in ASKED_TTL_S.items())
        )
        self.machine = SlotMachine(limits, generation, lifetimes)
        self.proposals = Proposals()
        self.maps = SlotMaps(
            self.machine, self.proposals, runtime.clock, settings.max_value_bytes, generation
        )
        self.leader: SlotLeader | None = None
        self.on_over: Callable[[int], None] = _ignore
        """Told of the slot when `propose_part` has something to do; a turn of its own is due to each part."""
        self.on_late: Callable[[Iterable[Late]], None] = answer
        """Given the answers of those who have to ask another leader: they may be very many."""
        self._payments = Payments()
        self._former: Parts[None] = Parts(runtime.clock, _freed, FREED_AT_ONCE)
        """Steps that free a state which was replaced by a restored one."""
        self._slot = slot
        self._runtime = runtime
        self._clock = runtime.clock
        self._settings = settings
        self._window = Window(settings.max_window_replies, settings.max_window_bytes)
        self._ttl_ns = int(cluster["session_ttl_s"] * SECOND_NS)
        self._on_role = on_role
        self._memory = memory
        self._budget = memory.budget
        self._observe = runtime.observe
        self._reads: dict[int, tuple[Group, ReadReplySink, int, list[Any]]] = {}
        """Reads that wait for the lease, at most `MAX_READS`; a row goes when it is confirmed or refused."""
        self._has_failed = False
        self._last_read = 0
        self._led_term = 0
        """The term that `leader` belongs to."""

    # -- what gateways ask

    def write(self, group: Group, payload: bytes, proof: bytes, answers: ReplySink, call_id: int) -> None:
        """Propose a gateway's entry, or answer what is known already; raises `RemoteProtocolError`.

        Parameters
        ----------
        proof
            What the entry's session was opened with; of an opening nothing is asked.
        """
        entry = check_entry(payload)
        leader = self.leader
        refused = self._refusal(entry)
        if refused is not None:
            answers.add(call_id, refused)
            return
        kind, session = entry[ENTRY], None
        if kind not in OPENINGS:
            if not self._is_owner(entry[SESSION], proof):
                self._disown(group, answers, call_id)
                return
            session = self.machine.sessions.get(entry[SESSION])
        if leader is not None and session is not None and not session.over:
            if kind == COMMAND:
                known = self.machine.known(session, entry[SESSION], entry[SEQ])
                if known is not None:
                    answers.add(call_id, known)
                    if known[CODE] == QUEUED:
                        leader.wait(entry[SESSION], entry[SEQ], answers, call_id)
                    return
            if not self._window.takes(session, entry):
                answers.add(call_id, [BUSY, "the window of answered calls is full; confirm some first"])
                return
            budget = self._budget
            # An exhausted one is full as well: where nothing is, nothing is refused.
            if (budget.is_full or budget.full_peers) and kind == COMMAND:
                # After the question whether it is known: what was applied before is answered, not refused.
                state = self.machine.entities.get((entry[OF_KIND], entry[OF_NAME]))
                refused = self._memory.refusal(group, entry, state)
                if refused is not None:
                    answers.add(call_id, refused)
                    return
        if kind == COMMAND and entry[OF_KIND] == MAP and leader is not None:
            self.maps.before_write(group, entry)
        # It takes memory in the log, and soon in the state.
        if self._budget.accepted(2 * len(payload)):
            self._memory.measure()
        # A long value would be in memory twice until then.
        checked = entry if len(payload) <= CHECKED_BYTES else None
        self.proposals.propose(group.core, payload, answers, call_id, checked)

    def append(self, group: Group, entry: list[Any], answers: ReplySink, call_id: int) -> None:
        """Propose an APPENDED entry, events of an entity that runs here; raises `RemoteProtocolError`.

        Answered are a leader's refusals as to any request, `TOO_LARGE`, or what the log said when they were applied.
        """
        data = check_append(entry)
        if len(data) > self._settings.max_value_bytes:
            limit = self._settings.max_value_bytes
            text = f"expected at most max_value_bytes = {limit} at once, found {len(data)} bytes"
            answers.add(call_id, [TOO_LARGE, text])
            return
        budget = self._budget
        if budget.is_full or budget.full_peers:
            command = [COMMAND, 0, 0, 0, 0, EVENTS, entry[EVENT_LOG], [APPEND, *entry[EVENT_LOG + 1 :]]]
            log = self.machine.entities.get((EVENTS, entry[EVENT_LOG]))
            refused = self._memory.refusal(group, command, log)
            if refused is not None:
                answers.add(call_id, refused)
                return
        if budget.accepted(2 * len(data)):
            self._memory.measure()
        checked = entry if len(data) <= CHECKED_BYTES else None  # as above
        self.proposals.propose(group.core, data, answers, call_id, checked)

    def _refusal(self, entry: list[Any]) -> Reply | None:
        """Return what a checked entry is answered that asks for what nobody may have; None for all others."""
        if entry[ENTRY] == OPEN_FOR:
            return self.machine.lifetimes.refusal(entry[LIVES_MS])
        if entry[ENTRY] == COMMAND and entry[CALLED][OPERATION] == RECORDED and entry[OF_KIND] in TOKEN_KINDS:
            # It stays, and a cluster whose slot is at the end of generations can never be made anew. What founders
            # believe of each other is believed here, and the clock grows, so there is always a next one.
            most = MAX_GENERATION // 2 + min(self._runtime.clock.wall_s(), MAX_GENERATION // 2)
            generation = entry[CALLED][MARK]
            if generation >= most:
                return [BAD, f"slot entry: expected a generation below {most}, found {generation}"]
        return None

    def _is_owner(self, session: int, proof: bytes) -> bool:
        known = self.machine.sessions.get(session)
        return known is not None and known.is_owned_by(proof)

    def _disown(self, group: Group, answers: ReplySink, call_id: int) -> None:
        """Refuse who names a session that is none, or not its own: both hear the same, so nobody learns which.

        Nothing of it comes into the log: a session may begin there under the number that was guessed. A replica that
        may be behind does not know all sessions yet.
        """
        if _may_speak(group, self._runtime.clock.now()):
            answers.add(call_id, [EXPIRED])
        else:
            answers.add(call_id, [BUSY, "the slot's leader does not know yet which sessions there are"])

    def read(self, group: Group, payload: bytes, answers: ReadReplySink, call_id: int) -> None:
        """Answer a read under the lease, or after a quorum round; raises `RemoteProtocolError`."""
        read = check_read(unpack(payload))
        if len(self._reads) >= MAX_READS:
            answers.add(
                call_id, [BUSY, f"{MAX_READS} reads wait for the slot's leader to be sure of its lease"]
            )
            return
        self._last_read += 1
        self._reads[self._last_read] = (group, answers, call_id, read)
        group.core.read(self._runtime.clock.now(), self._last_read)

    def serve_read(self, token: int) -> None:
        """Answer a confirmed read, or put it off until its caller takes other answers.

        A state that is read later has all that the confirmed one had, so nothing stale is answered.
        """
        row = self._reads.pop(token)
        _, answers, _, _ = row
        if answers.is_full:
            answers.put_off(partial(self._answer, *row))
        else:
            self._answer(*row)

    def _answer(self, group: Group, answers: ReadReplySink, call_id: int, read: list[Any]) -> None:
        kind, entity, query = read
        if self._has_failed:
            answers.add(call_id, [NOT_LEADER, None, 0])
        elif query[OPERATION] == SCAN:
            page = self.machine.scan(kind, entity, query[AFTER], self._settings.max_value_bytes)
            answers.add(call_id, [OK, page])
        elif kind == MAP:
            self.maps.answer(group, answers, call_id, read)
        else:
            self.machine.times.now_ns = self._runtime.clock.now()
            answers.add(call_id, self.machine.query(kind, entity, query))

    def refuse_read(self, token: int) -> None:
        """Leadership ended before the read was confirmed; it changed nothing: ask elsewhere."""
        _, answers, call_id, _ = self._reads.pop(token)
        answers.add(call_id, [NOT_LEADER, None, 0])

    def keep_alive(self, group: Group, row: Any) -> list[object]:
        """Answer the keep-alive of one session here; raises `RemoteProtocolError`."""
        row = check_keepalive(row)
        proof = row[ROW_PROOF] if len(row) > ROW_PROOF else b""
        core, leader = group.core, self.leader
        now_ns = self._runtime.clock.now()
        if leader is None or not _may_speak(group, now_ns):
            return [self._slot, BUSY, [], [], [], None, core.term]
        if not self._is_owner(row[ROW_SESSION], proof):
            return [self._slot, EXPIRED, [], [], [], None, core.term]
        answer, entry = leader.keep_alive(row, now_ns)
        if entry is not None and len(entry) > self._settings.max_value_bytes + MARKS_BYTES:
            raise RemoteProtocolError(
                f"keep-alive: expected less in one row, found {len(entry)} bytes to withdraw"
            )
        if entry is not None:
            self.proposals.propose(core, entry, NOBODY, 0)
        return [self._slot, *answer, None, core.term]

    def tick(self, group: Group, now_ns: int, work: int = EXPIRY_WORK) -> int:
        """Propose the expiry of sessions that nobody heard of for a TTL.

        Parameters
        ----------
        work
            How much that may cost; see `SlotLeader.due`.

        Returns
        -------
        int
            How much it will cost.
        """
        leader = self.leader
        if leader is None or not _may_speak(group, now_ns):
            return 0
        self.maps.tick(group)
        if self._budget.is_full:
            self.maps.shed()
        self._see_to_debts()
        if not self.machine.sessions:
            return 0
        spent = 0
        for entry in leader.due(now_ns, work):
            plain: Any = unpack(entry)
            spent += 1 + len(self.machine.sessions[plain[SESSION]].waits)
            if not self.proposals.propose(group.core, entry, NOBODY, 0):
                leader.expiry_refused([plain[SESSION]])
        if leader.has_part:
            self.on_over(self._slot)
        for entry in leader.visibility.due(now_ns, work - spent):
            spent += 1
            # One that is refused is due again when its owner's next keep-alive names it.
            self.proposals.propose(group.core, entry, NOBODY, 0)
        return spent

    def longest_silence_ns(self, now_ns: int) -> int:
        """Return how long the session was silent that is nearest to its end; see `Heard.longest_silence_ns`."""
        return 0 if self.leader is None else self.leader.longest_silence_ns(now_ns)

    def propose_part(self, group: Group, now_ns: int) -> bool:
        """Propose the next part of the end of a session that is over; True if another session waits for its own.

        And of the end of keys whose time is over.
        """
        leader = self.leader
        if leader is not None and _may_speak(group, now_ns):
            self.maps.propose_part(group)
            self._pay(group)
        part = leader.next_part() if leader is not None and _may_speak(group, now_ns) else None
        if leader is None or part is None:
            return False
        session, entry = part
        if not self.proposals.propose(group.core, entry, NOBODY, 0):
            leader.part_refused(session)
            return False  # the next heartbeat finds it
        return leader.has_part

    def _see_to_debts(self) -> None:
        """Ask for a turn where the next part of what is owed is to be proposed."""
        if self.machine.debts.keys and self.leader is not None and not self._payments.is_under_way:
            self.on_over(self._slot)

    def _pay(self, group: Group) -> None:
        entry = self._payments.next(self.machine.debts)
        if entry is not None and not self.proposals.propose(group.core, entry, NOBODY, 0):
            self._payments = Payments()  # the next heartbeat finds it

    # -- what the host tells

    def apply(self, index: int, entry: Entry) -> None:
        """Apply one committed entry, and answer whoever waits."""
        machine, proposals, data = self.machine, self.proposals, entry.data
        machine.times.now_ns = self._clock.now()
        checked = waiting = None
        if not proposals.rows:  # nothing was proposed here where another one leads
            reply, effects, ended = machine.apply(index, data)
        else:
            checked = proposals.checked(index, entry.term)
            reply, effects, ended = machine.apply(index, data, checked)
            waiting = proposals.take(index, entry.term)
        if self.maps.due:
            self.maps.tell()
        code = reply[CODE]
        if code == BAD:
            if waiting is not None:
                waiting.answer(reply)
            return
        leader, kind = self.leader, data[PACKED_KIND]
        is_part = code == QUEUED and kind != COMMAND
        if is_part:
            self._part_applied(data, waiting)
        elif waiting is not None:
            waiting.answer(reply)
        if leader is not None:
            if code == QUEUED and waiting is not None and not is_part:
                command: Any = checked or unpack(data)
                leader.wait(command[SESSION], command[SEQ], *waiting)
            if effects:
                leader.resolve(effects)
            if ended is not None:
                leader.ended(ended)
        if kind == PAY:
            self._payments = Payments()
        elif kind != COMMAND and kind != APPENDED:
            self._after_session_entry(reply, entry, ended)
        if machine.debts.keys:
            self._see_to_debts()
        if effects and self._observe:
            self._report(effects)

    def _part_applied(self, data: bytes, waiting: Waiting | None) -> None:
        """A session is over and something is left of it: whoever closes it is told when nothing is."""
        plain: Any = unpack(data)
        if self.leader is None:
            if waiting is not None:
                waiting.answer([NOT_LEADER, None, 0])
            return
        is_asked = waiting is not None and waiting.answers is not NOBODY
        self.leader.part_applied(plain[SESSION], waiting if is_asked else None)
        self.on_over(self._slot)

    def _after_session_entry(self, reply: list[Any], applied: Entry, ended: int | None) -> None:
        entry: Any = unpack(applied.data)
        leader = self.leader
        is_known = leader is not None and applied.term <= self._led_term
        if entry[ENTRY] == LAPSE and self.maps.applied(entry, is_known=is_known) and leader is not None:
            self.on_over(self._slot)
        if leader is not None:
            if entry[ENTRY] in OPENINGS and reply[CODE] == OK:
                leader.opened(reply[VALUE], self._runtime.clock.now())
            elif entry[ENTRY] == CANCEL and reply[CODE] == WITHDRAWN:
                leader.withdraw(entry[SESSION], entry[SEQ])
            elif entry[ENTRY] == ABANDON:
                for seq, _, _ in entry[GIVEN_UP]:
                    leader.withdraw(entry[SESSION], seq)
        if self._observe:
            if entry[ENTRY] in OPENINGS and reply[CODE] == OK:
                self._observe(SessionOpened(group_of(self._slot), reply[VALUE]))
            elif ended is not None and entry[ENTRY] in (CLOSE, EXPIRE):
                self._observe(SessionEnded(group_of(self._slot), ended, entry[ENTRY] == EXPIRE))

    def _report(self, effects: Any) -> None:
        for session, seq, reply in effects:
            if reply[CODE] == OK and len(reply) > 1 and type(reply[VALUE]) is int:
                self._observe(HoldGranted(group_of(self._slot), 0, b"", session, seq, reply[VALUE]))

    def role_changed(self, group: Group) -> None:
        """Begin or end a leadership, or both: between two looks it may have ended and another one begun."""
        term = group.core.term
        if self.leader is not None and not (group.is_leading and self._led_term == term):
            leader, self.leader = self.leader, None
            self.on_late(leader.take_waiting([NOT_LEADER, None, term]))
            self.on_late(self.maps.take_waiting([NOT_LEADER, None, term]))
            self.on_late(self.proposals.take_waiting(term if group.is_leading else None))
        if group.is_leading and self.leader is None:
            self._led_term = term
            self.leader = SlotLeader(self.machine, self._ttl_ns, self._runtime.clock.now(), self._window)
            log = group.core.log
            self.maps.led(log.slice(max(group.applied_index, log.offset) + 1, group.core.lead_index))
            self._payments = Payments()
        self._on_role(group)

    def may_speak(self, group: Group) -> bool:
        """Whether it leads, nobody else can, and its machine has all that was acknowledged."""
        return self.leader is not None and _may_speak(group, self._runtime.clock.now())

    def begin_dump(self) -> SlotDump:
        """Begin to dump the machine's state."""
        return self.machine.begin_dump(self._settings.snapshot_chunk_bytes)

    def begin_load(self) -> SlotLoad:
        """Begin to put another state together."""
        self.machine.times.now_ns = self._runtime.clock.now()
        return self.machine.begin_load(self._loaded)

    def _loaded(self, former: SlotMachine) -> None:
        """Another state took the place of the former one."""
        self._former.add(former.discard())
        self.maps.loaded()

    def weights(self) -> Weights:
        """Return what the machine's entities take."""
        return self.machine.weights

    def state_bytes(self) -> int:
        """Return what the machine takes in all."""
        return self.machine.weights.total(len(self.machine.sessions))

    def feed_bytes(self) -> int:
        """Return what it remembers for those who watch its maps."""
        return self.maps.size_bytes

    def close(self) -> None:
        """The replica failed: whoever waits asks another one, and what was proposed may be applied there."""
        self._has_failed = True
        leader, self.leader = self.leader, None
        if leader is not None:
            self.on_late(leader.take_waiting([NOT_LEADER, None, 0]))
        self.on_late(self.maps.take_waiting([NOT_LEADER, None, 0]))
        self.on_late(self.proposals.take_waiting())
        for token in list(self._reads):
            self.refuse_read(token)

    def count_sessions(self) -> int:
        """Return the number of sessions of clients."""
        return len(self.machine.sessions) - self.is_closed

    @property
    def is_closed(self) -> bool:
        """Whether nothing is granted yet: holders of a former generation may live."""
        return FORMER in self.machine.sessions

    def count_structures(self) -> dict[str, int]:
        """Return the number of entities by kind."""
        counts = self.machine.weights.count_by_kind
        return {name: counts[kind] for kind, name in KIND_NAMES.items() if counts[kind]}


def _may_speak(group: Group, now_ns: int) -> bool:
    """Whether the machine has all that earlier leaders granted, and nobody else can lead yet.

    That the group's first entry of this leadership is committed is not enough: its machine may be behind.
    """
    core = group.core
    return group.applied_index >= core.lead_index and core.lease_until_ns() > now_ns


def _ignore(slot: int) -> None:
    del slot


def _freed(step: None) -> None:
    """Free nothing besides: asking for the step did it."""
    del step
