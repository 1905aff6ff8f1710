"""Step checks of slots: a machine of our own applies every committed entry once, and is looked at after each.

It runs the same code as the replicas, so equality alone would prove little: what is checked is the *state* after each
entry - who holds, with which token, whose requests are left - against rules that do not come from that code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from casty.cluster.slots.lifetimes import Lifetimes
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.records import record_key
from casty.cluster.slots.schema import (
    ABANDON,
    APPENDED,
    CANCEL,
    CLOSE,
    COMMAND,
    EXPIRE,
    LAPSE,
    OPENINGS,
    PAY,
)
from casty.consensus import Entry
from casty.distributed.machines import map as maps
from casty.distributed.machines.base import (
    BARRIER,
    BUSY,
    DESTROY,
    ELECTION,
    EVENTS,
    EXPIRED,
    HOLDING_KINDS,
    LOCK,
    MAP,
    OK,
    OVERLOADED,
    QUEUE,
    QUEUED,
    STALE,
    WITHDRAWN,
)
from casty.distributed.machines.lock import ACQUIRE, RELEASE, TRY_ACQUIRE
from casty.distributed.machines.record import RESTORE, Record
from casty.distributed.machines.registry import STRUCTURES
from casty.wire.pack import unpack

from ..history.committed import CommandLog
from ..history.map_changes import MapChanges
from ..violation import Violation, ViolationError
from .lines import Lines
from .queues import QueueItems
from .raft_logs import GroupKey
from .records import unwrapped
from .refusals import Usage, exceeded, is_small, unfounded, usage_of

__all__ = ["ShadowSlot", "Slots"]

_HOLDING = HOLDING_KINDS
_MAY_CHANGE = (
    DESTROY, maps.PUT_IF_ABSENT, maps.PUT_IF_ABSENT_FOR, maps.COMPARE_AND_SET, maps.COMPARE_AND_SET_FOR,
)  # fmt: skip
"""Commands on a key that say whether they changed its value."""
_PASSING = (QUEUED, EXPIRED, BUSY, STALE, WITHDRAWN)
"""Statuses that say nothing about what a request did."""

DEFAULT_LIMITS = MachineLimits()

Entity = tuple[int, bytes]


class Slots:
    """The shadow machines of a world.

    Parameters
    ----------
    generation
        Returns the cluster's generation, known once the first slot exists.
    on_expired
        Told of (slot, epoch, session) when an expiry is committed, before it is applied here.
    limits
        Of the run: what a replica refuses, its shadow has to refuse as well.
    now_ns
        Tells the world's time, for the log of commands.
    lifetimes
        What openings may ask for.
    """

    def __init__(
        self,
        generation: Callable[[], int],
        on_expired: Callable[[int, int, int], None],
        limits: MachineLimits = DEFAULT_LIMITS,
        now_ns: Callable[[], int] = lambda: 0,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._limits = limits
        self._lifetimes = lifetimes
        self._now_ns = now_ns
        self.commands = CommandLog()
        self.map_changes = MapChanges()
        self._generation = generation
        self._on_expired = on_expired
        self.on_applied: list[Callable[[SlotMachine, int, bytes], None]] = []
        """Who is told of whatever an applied entry may have changed: the machine, and the entity's kind and name."""
        self.shadows: dict[GroupKey, ShadowSlot] = {}
        self.counts: dict[str, int] = {}

    def committed(self, key: GroupKey, index: int, entry: Entry) -> None:
        """Apply a committed entry of a slot."""
        shadow = self.shadows.get(key)
        if shadow is None:
            shadow = self.shadows[key] = ShadowSlot(
                key, self._generation(), self.counts, self._limits, self._lifetimes
            )
            self.map_changes.begun_anew(key[0], self._now_ns())
        plain: Any = unpack(entry.data)
        if plain[0] == EXPIRE and plain[1] in shadow.machine.sessions:
            self._on_expired(key[0] - 1, key[1], plain[1])
        ending = (
            [name for name in plain[2] if (MAP, name) in shadow.machine.entities] if plain[0] == LAPSE else []
        )
        is_hidden = _is_hidden(shadow.machine, plain)
        reply = shadow.apply(index, plain, entry.data)
        if is_hidden and not _is_hidden(shadow.machine, plain):
            self._restored(key[0], shadow.machine, plain[6])
        if reply is not None:
            command, answer = unwrapped(plain[5], plain[7], reply)
            self.commands.take(plain[5], plain[6], self._now_ns(), command, answer)
            if plain[5] == MAP:
                self._map_changed(key[0], shadow.machine, plain[6], command, answer)
        for row in shadow.queues.rows:
            self.commands.take_row(row, self._now_ns())
        for name in ending:
            if (MAP, name) not in shadow.machine.entities:
                self._ended(key[0], name)
        for kind, name in [*shadow.touched, *((MAP, name) for name in ending)]:
            for tell in self.on_applied:
                tell(shadow.machine, kind, name)

    def memory_is_lost(self) -> None:
        """All that the slots knew is gone: the next cluster has of queues what is on record."""
        for shadow in self.shadows.values():
            for row in shadow.queues.forgotten(shadow.machine):
                self.commands.take_row(row, self._now_ns())

    def _map_changed(
        self, slot: int, machine: SlotMachine, name: bytes, command: Sequence[Any], answer: Sequence[Any]
    ) -> None:
        """A command on a key of a map was answered: whether that changed the value its answer tells."""
        is_put = command[0] in (maps.PUT, maps.PUT_FOR)
        if answer[0] == OK and (is_put or (command[0] in _MAY_CHANGE and answer[1] is True)):
            value = maps.value_of(machine.entities.get((MAP, name)))
            what = maps.WAS_DELETED if command[0] == DESTROY else maps.WAS_PUT
            self.map_changes.take(slot, name, self._now_ns(), value, what)

    def _restored(self, slot: int, machine: SlotMachine, name: bytes) -> None:
        """A key of a map is there as it was on record: for whoever watches it that is a change."""
        value = maps.value_of(machine.entities.get((MAP, name)))
        if value is not None:
            self.map_changes.take(slot, name, self._now_ns(), value, maps.WAS_PUT)

    def _ended(self, slot: int, name: bytes) -> None:
        """The time to live of a key was over."""
        self.map_changes.take(slot, name, self._now_ns(), None, maps.HAS_ENDED)
        self.commands.ended(name, self._now_ns())
        self.counts["keys ended"] = self.counts.get("keys ended", 0) + 1


def _is_hidden(machine: SlotMachine, plain: list[Any]) -> bool:
    """Whether an entry is of a key of a map of which nobody may see anything before it is restored."""
    if plain[0] != COMMAND or plain[5] != MAP or plain[7][0] != RESTORE:
        return False
    record: Record | None = machine.entities.get(record_key((MAP, plain[6])))
    return record is not None and not record.is_live and not record.had_state


def _in_line(kind: int, state: Any) -> Sequence[tuple[int, int]]:
    """Return the requests that wait, first come first; of a queue those that wait for an item: others wait for room."""
    return [*(state.getters if kind == QUEUE else state.waiters)]


class ShadowSlot:
    """One slot's machine, and what has to be remembered beside it."""

    def __init__(
        self,
        key: GroupKey,
        generation: int,
        counts: dict[str, int],
        limits: MachineLimits,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self.machine = SlotMachine(limits, generation, lifetimes)
        self.applied = 0
        self.touched: list[Entity] = []
        """What the entry that was applied last may have changed; not the keys whose time to live it ended."""
        self._key = key
        self._counts = counts
        self._limits = limits
        self._is_small = is_small(limits)
        self._answers: dict[tuple[int, int], list[Any]] = {}
        self._tokens: dict[Entity, int] = {}
        self._waiting: dict[Entity, list[tuple[int, int]]] = {}
        self.queues = QueueItems(lambda number, text: self._broken(number, self.applied, text))
        self._lines = Lines(self._broken, lambda: self.machine.debts)

    def apply(self, index: int, plain: list[Any], data: bytes) -> list[Any] | None:
        """Apply one entry and check what it did; return the answer to a command that was not answered before."""
        kind = plain[0]
        is_new = kind == COMMAND and (plain[1], plain[2]) not in self._answers
        touched = self.touched = self._touched(plain)
        before = self._parties(touched)
        waiters = self._waiters(plain)
        self.queues.before(self.machine, touched)
        usage = self._usage(plain)
        reply, effects, ended = self.machine.apply(index, data)
        self.applied = index
        self.queues.after(self.machine, plain, reply, effects, is_new=is_new)
        if usage is not None:
            self._check_limits(index, plain, reply, usage)
        self._count(kind, plain, reply)
        if kind == COMMAND:
            self._check_trip(plain, reply, before)
            self._check_barging(index, plain, reply, waiters)
            self._check_answer(index, plain, reply)
            if is_new and plain[5] in _HOLDING:
                command, _ = unwrapped(plain[5], plain[7], reply)
                self._lines.commanded((plain[5], plain[6]), (plain[1], plain[2]), command, reply)
        for session, seq, outcome in effects:
            self._check_effect(index, (session, seq), outcome)
        for entity in touched:
            self._check_entity(index, entity)
        if kind == COMMAND:
            self._check_waits(index, plain)
            self._check_marks(index, plain)
        if ended is not None:
            self._check_ended(index, ended)
        return reply if is_new else None

    def _count(self, kind: int, plain: list[Any], reply: list[Any]) -> None:
        name = {CANCEL: "withdrawals asked", ABANDON: "requests abandoned", EXPIRE: "sessions expired"}.get(
            kind
        )
        if kind == COMMAND and (plain[1], plain[2]) in self._answers:
            name = "duplicates applied"
        elif kind == CLOSE:
            name = "sessions closed"
        elif kind == CANCEL and reply[0] == OK:
            name = "grants crossed a withdrawal"
        if name is not None:
            self._counts[name] = self._counts.get(name, 0) + 1

    def _touched(self, plain: list[Any]) -> list[Entity]:
        if plain[0] == COMMAND:
            return [(plain[5], plain[6])]
        if plain[0] == APPENDED:
            return [(EVENTS, plain[1])]
        if plain[0] == CANCEL:
            return [(plain[3], plain[4])]
        if plain[0] == ABANDON:
            return list(dict.fromkeys((row[1], row[2]) for row in plain[3]))
        if plain[0] == PAY:
            return [(plain[1], plain[2])]
        session = self.machine.sessions.get(plain[1]) if plain[0] in (CLOSE, EXPIRE) else None
        return [] if session is None else list(session.entities)

    # -- limits

    def _usage(self, plain: list[Any]) -> Usage | None:
        """Return what is used of the limits; None where no run can meet them, or the answer is an old one."""
        is_old = plain[0] == COMMAND and (plain[1], plain[2]) in self._answers
        if not self._is_small or is_old:
            return None
        return usage_of(self.machine, plain[1] if plain[0] == COMMAND else None)

    def _check_limits(self, index: int, plain: list[Any], reply: list[Any], before: Usage) -> None:
        """Nothing grows beyond a limit, and nobody is refused below it (9)."""
        wrong = exceeded(usage_of(self.machine), self._limits) or unfounded(
            before, self._limits, plain, reply
        )
        if wrong is not None:
            self._broken(9, index, wrong)
        if plain[0] in (COMMAND, *OPENINGS) and reply[0] == OVERLOADED:
            name = f"refused for {reply[1]}"
            self._counts[name] = self._counts.get(name, 0) + 1

    # -- requests

    def _check_answer(self, index: int, plain: list[Any], reply: list[Any]) -> None:
        """All final answers to a request are equal (2)."""
        key = (plain[1], plain[2])
        if reply[0] == QUEUED:
            known = self._answers.get(key)
            if known is not None and known[0] != QUEUED:
                self._broken(2, index, f"request {key} was answered {known}, and now waits again")
            if key not in self._answers:
                self._answers[key] = reply
                self._waiting.setdefault((plain[5], plain[6]), []).append(key)
            return
        if reply[0] in _PASSING:
            return
        known = self._answers.get(key)
        if known is not None and known[0] != QUEUED and known != reply:
            self._broken(2, index, f"request {key} was answered {known}, and now {reply}")
        if known is None or known[0] != QUEUED:
            self._answers[key] = list(reply)

    def _check_effect(self, index: int, request: tuple[int, int], outcome: list[Any]) -> None:
        """A waiting request ends once (2, 33), and grants follow the order of requests (25)."""
        known = self._answers.get(request)
        if known is not None and known[0] != QUEUED and known != outcome:
            self._broken(2, index, f"request {request} ended with {known}, and again with {outcome}")
        self._answers[request] = list(outcome)
        for entity, waiting in self._waiting.items():
            if request not in waiting:
                continue
            held = outcome[0] == OK and outcome[1] is not None and entity[0] in _HOLDING
            if held or (outcome[0] == OK and entity[0] == QUEUE and len(outcome) > 2):
                self._check_order(index, entity, waiting, request)
            waiting.remove(request)
            return

    def _check_order(
        self, index: int, entity: Entity, waiting: list[tuple[int, int]], request: tuple[int, int]
    ) -> None:
        line = self.machine.entities.get(entity)
        still = [] if line is None else [key for key in waiting if key in _in_line(entity[0], line)]
        earlier = [key for key in still if waiting.index(key) < waiting.index(request)]
        if earlier:
            self._broken(
                25, index, f"{entity[1]!r} was granted to {request} while {earlier[0]} waited longer"
            )

    def _waiters(self, plain: list[Any]) -> int:
        line = self.machine.entities.get((plain[5], plain[6])) if plain[0] == COMMAND else None
        return len(line.waiters) if line is not None and plain[5] in _HOLDING else 0

    def _check_barging(self, index: int, plain: list[Any], reply: list[Any], waiters: int) -> None:
        """Nobody is granted at once while others wait (25, 30)."""
        is_asking = plain[5] in _HOLDING and plain[7][0] in (ACQUIRE, TRY_ACQUIRE)
        is_granted = is_asking and reply[0] == OK and reply[1] is not None
        if is_granted and waiters and (plain[1], plain[2]) not in self._answers:
            self._broken(
                25, index, f"{plain[6]!r} was granted to {plain[1:3]} while {waiters} requests waited"
            )

    # -- entities

    def _check_waits(self, index: int, plain: list[Any]) -> None:
        """What a session looks for in an entity is there: a request that is not found would count as new (2)."""
        session = self.machine.sessions.get(plain[1])
        entity = (plain[5], plain[6])
        if session is None or plain[5] not in _HOLDING or plain[7][0] != RELEASE:
            return
        state = self.machine.entities.get(entity)
        for seq, at in session.waits.items():
            if at == entity and (state is None or STRUCTURES[at[0]].outcome(state, plain[1], seq) is None):
                self._broken(
                    2, index, f"{entity[1]!r} has nothing of request {(plain[1], seq)}, which is looked for"
                )

    def _check_marks(self, index: int, plain: list[Any]) -> None:
        """What a client has confirmed with a command is forgotten with it, whatever that command was answered (9)."""
        session, (low, wait_low) = self.machine.sessions.get(plain[1]), plain[3:5]
        if session is None or session.over:
            return
        if session.low < low or session.wait_low < wait_low:
            marks = (session.low, session.wait_low)
            self._broken(9, index, f"session {plain[1]} confirmed {(low, wait_low)}, its marks are {marks}")
        for name, table, mark in (
            ("reply", session.replies, session.low),
            ("withdrawal", session.withdrawn, session.low),
            ("outcome", session.outcomes, session.wait_low),
        ):
            seq = next(iter(table), mark)
            if seq < mark:
                self._broken(
                    9, index, f"session {plain[1]} confirmed all below {mark}, its {name} {seq} is kept"
                )

    def _check_entity(self, index: int, entity: Entity) -> None:
        state = self.machine.entities.get(entity)
        if entity[0] in _HOLDING:
            self._lines.check(index, entity, state)
        if state is None:
            return
        if entity[0] in _HOLDING:
            self._check_tokens(index, entity, state)
        if entity[0] in (*_HOLDING, BARRIER):
            for session, seq in self._requests(entity, state):
                if session not in self.machine.sessions:
                    self._broken(
                        24, index, f"{entity[1]!r} has request {(session, seq)} of a session that is gone"
                    )

    @staticmethod
    def _requests(entity: Entity, state: Any) -> list[tuple[int, int]]:
        tables = (state.arrivals,) if entity[0] == BARRIER else (state.grants, state.waiters, state.revoked)
        tables = (*tables, state.dismissed)
        if entity[0] == ELECTION:
            tables = (*tables, state.watchers, state.stale)
        return [key for table in tables for key in table]

    def _check_tokens(self, index: int, entity: Entity, line: Any) -> None:
        """Tokens of a name grow with every grant (21)."""
        latest = self._tokens.get(entity, 0)
        for token in sorted(share.token for share in line.grants.values()):
            if entity[0] in (LOCK, ELECTION) and token < latest:
                self._broken(21, index, f"{entity[1]!r}: token {token} is granted after {latest}")
            latest = max(latest, token)
        self._tokens[entity] = latest

    def _parties(self, touched: list[Entity]) -> dict[str, int]:
        for entity in touched:
            state = self.machine.entities.get(entity)
            if entity[0] == BARRIER and state is not None:
                return dict(state.parties)
        return {}

    def _check_trip(self, plain: list[Any], reply: list[Any], before: dict[str, int]) -> None:
        """A trip has exactly the expected parties, each waiting before this entry or arriving in it (31, 34)."""
        is_arrival = plain[5] == BARRIER and len(plain[7]) == 3
        if not is_arrival or reply[0] != OK or (plain[1], plain[2]) in self._answers:
            return
        _, party, expected = plain[7]
        parties = {**before, party: 1}
        if len(parties) != expected:
            text = f"{plain[6]!r} tripped for {sorted(parties)} where {expected} are expected"
            self._broken(31, self.applied, text)
        self._counts["barrier trips"] = self._counts.get("barrier trips", 0) + 1

    # -- sessions

    def _check_ended(self, index: int, session: int) -> None:
        """What ended has nothing left (19)."""
        if session in self.machine.sessions:
            self._broken(19, index, f"session {session} ended and is still there")
        for entity, state in self.machine.entities.items():
            if entity[0] in (*_HOLDING, BARRIER, QUEUE) and STRUCTURES[entity[0]].involves(state, session):
                self._broken(19, index, f"session {session} ended and still has a part in {entity[1]!r}")
        for entity, waiting in self._waiting.items():
            self._waiting[entity] = [key for key in waiting if key[0] != session]

    def _broken(self, number: int, index: int, text: str) -> None:
        raise ViolationError(Violation(number, f"slot {self._key[0] - 1}, entry {index}", text))
