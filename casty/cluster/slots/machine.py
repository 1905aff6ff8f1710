"""The state machine of one slot: sessions and entities. Pure; every replica applies the same entries.

What entries there are says `schema`; one that is none of these is an outcome, on every replica the same.

Every entry may be applied twice: whoever does not know what became of it sends it again. OPEN is recognised by its
attempt, COMMAND by its number, the others are idempotent. What is decided is decided here, at apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from casty.cluster.slots import applied
from casty.cluster.slots.applied import END_PART, ENDED_AT_ONCE, FORMER, Applied, MachineLimits
from casty.cluster.slots.debts import Debts
from casty.cluster.slots.dump import Dumps, SlotDump, SlotLoad, emptied, whole, with_dump, without_dump
from casty.cluster.slots.grant_times import GrantTimes
from casty.cluster.slots.lapses import Ends, lapse_of
from casty.cluster.slots.lifetimes import Lifetimes
from casty.cluster.slots.pages import entries_page, names_page
from casty.cluster.slots.questions import is_about_holder, named_holder
from casty.cluster.slots.records import SlotRecords
from casty.cluster.slots.schema import (
    APPENDED,
    CANCEL,
    CLOSE,
    COMMAND,
    ENTRY,
    EXPIRE,
    LAPSE,
    OPENINGS,
    PAY,
    applicable,
)
from casty.cluster.slots.session_record import KEY_KIND, KEY_NAME, EntityKey, SlotSession
from casty.cluster.slots.weights import Weights, weight_of
from casty.distributed.machines.base import (
    BAD,
    BUSY,
    CODE,
    EXPIRED,
    HOLDING_KINDS,
    MAP,
    NO_EFFECTS,
    OK,
    OPERATION,
    OVERLOADED,
    QUEUE,
    QUEUED,
    RECORD,
    RELEASE,
    STALE,
    WITHDRAWN,
    Caller,
    Command,
    Context,
    Decision,
    Effect,
    Reply,
)
from casty.distributed.machines.map import HAS_ENDED, WAS_DELETED, WAS_PUT, Lasting, is_told, value_of
from casty.distributed.machines.queue_shapes import PASSING, WAITING
from casty.distributed.machines.record import RECORDED, WRAPPED
from casty.distributed.machines.registry import STRUCTURES
from casty.entity_order import EntityOrder
from casty.errors import RemoteProtocolError
from casty.tuples import new_tuple

__all__ = ["ENDED_AT_ONCE", "END_PART", "FORMER", "RELEASE", "Applied", "MachineLimits", "SlotMachine"]

_DONE, _EXPIRED, _QUEUED, _STALE = [OK], [EXPIRED], [QUEUED], [STALE]


class SlotMachine:
    """Sessions and entities of one slot.

    A session may have less than ``max_waiters`` outcomes that it did not confirm (or 1,024 if that is more) when
    it asks for something that may wait, and as many requests again that wait by then: twice that is the most that
    is ever kept of it. Requests that wait or hold are at most ``max_waiters + max_entities`` of a session.

    Parameters
    ----------
    limits
        Bounds.
    generation
        The cluster's generation, the upper 30 bits of every fencing token.
    lifetimes
        What openings may ask for.
    """

    __slots__ = (
        "_context", "_counter", "_dump", "_index", "_orders", "_records", "_unweighed", "_waiting", "_weights",
        "attempts", "changed_index", "debts", "ends", "entities", "generation", "lifetimes", "limits", "on_change",
        "sessions", "time", "times",
    )  # fmt: skip

    def __init__(self, limits: MachineLimits, generation: int, lifetimes: Lifetimes | None = None) -> None:
        self.limits = limits
        self.lifetimes = lifetimes or Lifetimes()
        self.times = GrantTimes()
        self.sessions: dict[int, SlotSession] = {}
        self.attempts: dict[bytes, int] = {}
        self.entities: dict[EntityKey, Any] = {}
        self.debts = Debts()
        self._orders = {kind: EntityOrder() for kind in STRUCTURES}
        """By kind: the names of `entities`."""
        self._weights = Weights()
        self._unweighed: dict[EntityKey, int] = {}
        """What each entity took that changed since `_weights` was brought up to date; at most `MAX_UNWEIGHED`."""
        self.generation = generation
        self._counter = 0
        self._waiting = 0
        self._dump: SlotDump | Dumps | None = None
        """Told of every session and entity before it changes."""
        self._index = 0
        self.changed_index = 0
        """Of the latest entry that changed the value of some key of a map."""
        self.time = 0
        """The time of the slot, in ticks; see `lapses`."""
        self.ends = Ends()
        self.on_change: Callable[[int, bytes, bytes | None, int], None] | None = None
        """Told of each such change, in order: its index, the entity, its value now, and what happened."""
        self._records = 0
        """How many records there are; where there is none, no command pays for the look."""
        self._context = Context(Caller(0, 0), self._next_token, limits.max_waiters)

    def _next_token(self) -> int:
        self._counter += 1
        return (self.generation << applied.TOKEN_BITS) + self._counter

    # -- entries

    def apply(self, index: int, data: bytes, entry: list[Any] | None = None) -> Applied:
        """Apply the committed entry at `index`; what fits no schema does nothing and is answered ``[BAD, text]``.

        `entry` is what `applicable` made of these data before they were proposed here.
        """
        if entry is None:
            try:
                entry = applicable(data)
            except RemoteProtocolError as error:
                return Applied([BAD, str(error)])
        kind = entry[ENTRY]
        self._index = index
        if kind == COMMAND:
            return self._command(entry)
        if kind in OPENINGS:
            return self._open(index, *entry[1:])
        if kind in (CLOSE, EXPIRE):
            return self._end(*entry)
        if kind == CANCEL:
            return self._cancel(*entry[1:])
        if kind == APPENDED:
            return applied.appended(self, entry, self._context)
        if kind == PAY:
            return self._pay(*entry[1:])
        return self._lapse(*entry[1:]) if kind == LAPSE else self._abandon(*entry[1:])

    def _lapse(self, time: int, names: Sequence[bytes]) -> Applied:
        self.time = self._context.time = max(self.time, time)
        for name in names:
            key = (MAP, name)
            if lapse_of(self.entities, key, self.time) and SlotRecords(self).lapses(key):
                self.change(key, None)
                self.tell(key, has_ended=True)
        return Applied(_DONE)

    def _pay(self, kind: int, name: bytes) -> Applied:
        key = (kind, name)
        if key not in self.debts:
            return Applied(_DONE)
        state = self.entities[key]
        self._touch(key, state)
        decision = STRUCTURES[key[KEY_KIND]].pay(state)
        self._keep_decided(key, state, decision)
        return Applied(_DONE, self._resolve(decision.effects, key))

    def tell(self, key: EntityKey, *, has_ended: bool = False) -> None:
        """Say that the value of a key of a map was changed by the present entry."""
        self.changed_index = self._index
        if self.on_change is not None:
            value = value_of(self.entities.get(key))
            what = HAS_ENDED if has_ended else WAS_DELETED if value is None else WAS_PUT
            self.on_change(self._index, key[KEY_NAME], value, what)

    def _open(self, index: int, attempt: bytes, gateway: bytes, ttl_ms: int = 0) -> Applied:
        known = self.attempts.get(attempt)
        if known is not None:
            return Applied([OK, known])
        refused = applied.refused_session(self.lifetimes, ttl_ms, len(self.sessions), self.limits)
        if refused is not None:
            return Applied(refused)
        self.sessions[index] = SlotSession(attempt, gateway, ttl_ms)
        self.attempts[attempt] = index
        return Applied([OK, index])

    def _command(self, entry: Sequence[Any]) -> Applied:
        _, number, seq, low, wait_low, kind, entity, command = entry
        session = self.sessions.get(number)
        if session is None or session.over:
            return Applied(_EXPIRED)
        if self._dump is not None:
            self._dump.touch_session(number, session)
        known = self.known(session, number, seq)
        if low > session.low or wait_low > session.wait_low:
            self._weights.reply_bytes -= session.pass_marks(low, wait_low)
        if known is not None:
            return Applied(known)
        if seq < session.low:
            return Applied(_STALE)
        operation, waiting = command[OPERATION], applied.MAY_WAIT.get(kind)
        is_recorded = operation == RECORDED
        if waiting and (operation in waiting or (is_recorded and command[WRAPPED][OPERATION] in waiting)):
            if kind in HOLDING_KINDS and FORMER in self.sessions:
                return Applied(applied.CLOSED)
            refused = None
            if session.outcomes or len(session.waits) > self.limits.max_entities:
                refused = applied.refused_wait(len(session.outcomes), len(session.waits), self.limits)
            if refused is not None:
                # Of one that is busy nothing is remembered: it succeeds once outcomes were confirmed.
                return Applied(refused) if refused[CODE] == BUSY else self._answer(session, seq, refused)
        key = (kind, entity)
        if operation >= RECORDED or self._records:
            refused = SlotRecords(self).command(Caller(number, seq), key, command)
            if refused is not None:
                return Applied(refused) if refused[CODE] == BUSY else self._answer(session, seq, refused)
            command = command[WRAPPED] if is_recorded else command
        state = self.entities.get(key)
        if state is None and len(self.entities) >= self.limits.max_entities:
            return self._answer(session, seq, [OVERLOADED, "max_entities", self.limits.max_entities])
        context = self._context
        caller = context.caller = new_tuple(Caller, (number, seq))
        context.waiters = self._waiting
        if self._dump is not None or key not in self._unweighed:
            self._touch(key, state)
        decision = STRUCTURES[kind].decide(state, command, context)
        after, reply, effects, _, _ = decision
        self._keep(key, state, after)
        position = SlotRecords(self).changed(key, state, decision) if self._records and kind == QUEUE else ()
        if kind == MAP and is_told(command, reply):
            self.changed_index = self._index  # as `tell`, which nobody listens to mostly
            if self.on_change is not None:
                self.tell(key)
        if waiting and (effects or is_recorded or kind != QUEUE or operation not in PASSING):
            if is_recorded and kind == QUEUE and reply[CODE] == OK and command[OPERATION] not in WAITING:
                # Who may wait looks for itself: what it hears may be decided long afterwards, by others.
                decision = decision._replace(reply=[*reply, *position])
            return self._party(session, caller, key, decision)
        return self._answer(session, seq, reply, effects)

    def decide(self, caller: Caller, key: EntityKey, command: Command) -> Reply:
        """Apply a command of a recorded entity; see `records.Machine`."""
        state = self.entities.get(key)
        if state is None and len(self.entities) >= self.limits.max_entities:
            return [OVERLOADED, "max_entities", self.limits.max_entities]
        self._context.caller = caller
        self._touch(key, state)
        decision = STRUCTURES[key[KEY_KIND]].decide(state, command, self._context)
        self._keep(key, state, decision.state)
        return decision.reply

    def touch(self, key: EntityKey) -> None:
        """An entity is about to change in place."""
        self._touch(key, self.entities.get(key))

    def change(self, key: EntityKey, state: Any) -> None:
        """Put an entity in its place; None removes it."""
        before = self.entities.get(key)
        self._touch(key, before)
        self._keep(key, before, state)

    def raise_generation(self, generation: int) -> None:
        """Draw no token of a lower generation any more."""
        if generation > self.generation:
            self.generation, self._counter = generation, 0

    def _answer(
        self, session: SlotSession, seq: int, reply: Reply, effects: Sequence[Effect] = NO_EFFECTS
    ) -> Applied:
        self._weights.reply_bytes += session.answered(seq, reply)
        return new_tuple(Applied, (reply, effects, None))

    def _party(self, session: SlotSession, caller: Caller, key: EntityKey, decision: Decision) -> Applied:
        """After a command that may hold or wait: remember where the request is and who is affected."""
        number, seq = caller
        structure = STRUCTURES[key[KEY_KIND]]
        state, reply, effects, gone, _ = decision
        if state is not None and structure.outcome(state, number, seq) is not None:
            session.waits[seq] = key
            session.entities[key] = None  # whatever has an outcome there involves its session
            if reply[CODE] == QUEUED:
                self._waiting += 1
            else:
                self.times.granted(key)
        else:
            self._weights.reply_bytes += session.answered(seq, reply)
            if state is not None and structure.involves(state, number):
                session.entities[key] = None
            else:
                session.entities.pop(key, None)
        if gone and session.waits.pop(gone, None) is not None:
            # Its hold was given back: nothing is left that a late duplicate could ask for.
            session.finish(gone)
        told = self._resolve(effects, key) if effects else NO_EFFECTS
        return new_tuple(Applied, (reply, told, None))

    def _resolve(self, effects: Sequence[Effect], key: EntityKey) -> Sequence[Effect]:
        """Outcomes of earlier requests: a grant stays with the structure, anything else with the session.

        Returns those that somebody is to be told. An item that a session gets while it ends in parts goes back at once,
        and perhaps to the next who waits: nobody of that session waits for it any more.
        """
        left, told = list(effects), list[Effect]()
        for effect in left:
            number, seq, reply = effect
            self._waiting -= 1
            session = self.sessions[number]
            if self._dump is not None:
                self._dump.touch_session(number, session)
            if session.over and key[KEY_KIND] == QUEUE:
                left.extend(self._take_back(key, effect))
            else:
                told.append(effect)
            state = self.entities.get(key)
            if state is not None and STRUCTURES[key[KEY_KIND]].outcome(state, number, seq) is not None:
                self.times.granted(key)
                continue
            session.waits.pop(seq, None)
            self._weights.reply_bytes += session.resolve(seq, reply)
            if state is None or not STRUCTURES[key[KEY_KIND]].involves(state, number):
                session.entities.pop(key, None)
        return told

    def _take_back(self, key: EntityKey, answered: Effect) -> Sequence[Effect]:
        """Undo a request that took something out; see `Structure.take_back`."""
        state = self.entities.get(key)
        self._touch(key, state)
        decision = STRUCTURES[key[KEY_KIND]].take_back(state, *answered)
        self._keep_decided(key, state, decision)
        return decision.effects

    def _touch(self, key: EntityKey, state: Any) -> None:
        """An entity is about to change, perhaps in place; `state` is None where it does not exist."""
        if self._dump is not None:
            self._dump.touch_entity(key, state)
        unweighed = self._unweighed
        if key not in unweighed:
            if len(unweighed) >= applied.MAX_UNWEIGHED:
                self._weigh()
            unweighed[key] = weight_of(key, state)

    def _weigh(self) -> None:
        """Bring the sums up to date."""
        for key, weight in self._unweighed.items():
            self._weights.changed(key, weight, weight_of(key, self.entities.get(key)))
        self._unweighed.clear()

    @property
    def weights(self) -> Weights:
        """What entities and sessions take now."""
        self._weigh()
        return self._weights

    def _keep(self, key: EntityKey, before: Any, after: Any) -> None:
        """Put the state of an entity in its place, which `_touch` was told of before it changed."""
        kind, name = key
        if after is None:
            if before is not None:
                del self.entities[key]
                self._orders[kind].remove(name)
                self._records -= kind == RECORD
                self.times.forget(key)
        elif before is not after:
            if before is None:
                self._orders[kind].add(name)
                self._records += kind == RECORD
            self.entities[key] = after
        if before is not after and (type(before) is Lasting or type(after) is Lasting):
            self.ends.moved(name, before, after)
        if kind in applied.PARTIES and (
            self.debts.keys or (after is not None and STRUCTURES[kind].owes(after))
        ):
            self.debts.look(key, after)

    def _keep_decided(self, key: EntityKey, before: Any, decision: Decision) -> None:
        """Put an entity in its place, and what was done to it on its record, if it has one."""
        self._keep(key, before, decision.state)
        if self._records and key[KEY_KIND] == QUEUE:
            SlotRecords(self).changed(key, before, decision)

    def put_back(self, key: EntityKey, state: Any) -> None:
        """Put an entity of a dump in its place."""
        self._keep(key, self.entities.get(key), state)

    def _end(self, kind: int, number: int) -> Applied:
        """End a session: at once, or by this entry and those of its kind that its leader proposes after it.

        From the first of them on nothing is done for the session any more, and only then the first hold is let go.
        """
        session = self.sessions.get(number)
        if session is None:
            return Applied(_EXPIRED)
        if self._dump is not None:
            self._dump.touch_session(number, session)
        if not session.over and len(session.waits) > ENDED_AT_ONCE:
            session.over = kind
            return Applied(_QUEUED)
        effects = self._let_part_go(session, number) if session.over else self._let_go(session, number)
        if session.over and session.waits:
            return Applied(_QUEUED, effects)
        del self.sessions[number]
        self.attempts.pop(session.attempt, None)
        self._weights.reply_bytes -= session.reply_bytes
        return Applied(_DONE, effects, number)

    def _let_go(self, session: SlotSession, number: int) -> list[Effect]:
        """Take a session out of its entities."""
        effects: list[Effect] = []
        for key in list(session.entities):
            state, structure = self.entities[key], STRUCTURES[key[KEY_KIND]]
            self._touch(key, state)
            before = structure.waiting(state)
            decision = structure.end_session(state, number)
            after = 0 if decision.state is None else structure.waiting(decision.state)
            self._waiting -= before - after - len(decision.effects)
            self._keep_decided(key, state, decision)
            effects.extend(self._resolve(decision.effects, key))
        return effects

    def _let_part_go(self, session: SlotSession, number: int) -> list[Effect]:
        """Take some requests of a session out of their entities: the latest, which wait for its earlier ones."""
        effects: list[Effect] = []
        for seq in list(islice(reversed(session.waits), END_PART)):
            if seq in session.waits:  # the withdrawal of another one may have decided it
                effects.extend(self._withdraw(session, number, seq, session.waits[seq], abandon=True))
        return effects

    def _cancel(self, number: int, seq: int, kind: int, name: bytes) -> Applied:
        session = self.live(number)
        if session is None:
            return Applied(_EXPIRED)
        if self._dump is not None:
            self._dump.touch_session(number, session)
        known = self.known(session, number, seq)
        if known is None or known[CODE] == STALE:
            # Stale: withdrawn and forgotten; what a client still waits for is never forgotten otherwise.
            self._weights.reply_bytes -= session.withdraw(seq)
            return Applied([WITHDRAWN])
        if known != _QUEUED:
            return Applied(known)
        effects = self._withdraw(session, number, seq, (kind, name), abandon=False)
        return Applied([WITHDRAWN], effects)

    def _abandon(self, number: int, low: int, rows: Sequence[Any]) -> Applied:
        session = self.live(number)
        if session is None:
            return Applied(_EXPIRED)
        if self._dump is not None:
            self._dump.touch_session(number, session)
        self._weights.reply_bytes -= session.pass_marks(low, 0)
        effects: list[Effect] = []
        for seq, kind, entity in rows:
            effects.extend(self._withdraw(session, number, seq, (kind, entity), abandon=True))
        return Applied(_DONE, effects)

    def _withdraw(
        self, session: SlotSession, number: int, seq: int, key: EntityKey, *, abandon: bool
    ) -> Sequence[Effect]:
        """Take a request out of its entity and remember that it must do nothing."""
        key = session.waits.get(seq, key)
        unconfirmed = session.unconfirmed(seq) if key[KEY_KIND] == QUEUE else None
        self._weights.reply_bytes -= session.withdraw(seq)
        state = self.entities.get(key)
        if state is None or key[KEY_KIND] not in applied.PARTIES:
            return NO_EFFECTS
        if unconfirmed is not None:
            return self._resolve(self._take_back(key, Effect(number, seq, unconfirmed)), key)
        structure = STRUCTURES[key[KEY_KIND]]
        self._touch(key, state)
        was_waiting = structure.outcome(state, number, seq) == _QUEUED
        decision = (structure.abandon if abandon else structure.cancel)(state, number, seq)
        self._waiting -= was_waiting
        self._keep_decided(key, state, decision)
        effects = self._resolve(decision.effects, key)
        if decision.state is None or not structure.involves(decision.state, number):
            session.entities.pop(key, None)
        return effects

    # -- questions

    def live(self, number: int) -> SlotSession | None:
        """Return a session that is not over."""
        session = self.sessions.get(number)
        return None if session is None or session.over else session

    def known(self, session: SlotSession, number: int, seq: int) -> Reply | None:
        """Return what a request that was seen before would be answered now; None for a new one."""
        if seq in session.waits:
            key = session.waits[seq]
            state = self.entities.get(key)
            reply = None if state is None else STRUCTURES[key[KEY_KIND]].outcome(state, number, seq)
            if reply is not None:
                return reply
        elif (
            seq >= session.low
            and seq not in session.replies
            and not (seq in session.outcomes or seq in session.withdrawn)
        ):
            return None  # as `session.known`, which most requests are new to
        return session.known(seq)

    def query(self, kind: int, entity: bytes, query: Sequence[Any]) -> Reply:
        """Answer a checked query."""
        if query[OPERATION] >= RECORDED or self._records:
            reply = SlotRecords(self).query((kind, entity), query)
            if reply is not None:
                return reply
        reply = STRUCTURES[kind].query(self.entities.get((kind, entity)), query)
        return named_holder(self, (kind, entity), reply) if is_about_holder(kind, query, reply) else reply

    def scan(self, kind: int, prefix: bytes, after: bytes, limit_bytes: int) -> tuple[list[bytes], bool]:
        """Return one page of the entities of a kind that begin with `prefix`, and if there are more; see `pages`."""
        order = self._orders.get(kind)
        # Nobody checked what a gateway named.
        return ([], False) if order is None else names_page(order, prefix, after, limit_bytes)

    def entries(self, prefix: bytes, after: bytes, limit_bytes: int) -> tuple[list[list[bytes]], bool]:
        """Return one page of the keys of a map, as entities, with their values; see `entries_page`."""
        return entries_page(self._orders[MAP], self._visible, prefix, after, limit_bytes)

    def _visible(self, name: bytes) -> bytes | None:
        is_half = self._records and SlotRecords(self).is_half((MAP, name))
        return None if is_half else value_of(self.entities[MAP, name])

    def names_after(self, kind: int, name: bytes | None, most: int) -> list[bytes]:
        """Return the next entities of a kind above a name, or the first ones where that is None; see `SlotDump`."""
        return self._orders[kind].after(name, most)

    # -- snapshots

    @property
    def numbers(self) -> tuple[int, int, int, int, int]:
        """The generation, how many tokens were drawn, how many requests wait, the time, and `changed_index`."""
        return self.generation, self._counter, self._waiting, self.time, self.changed_index

    @numbers.setter
    def numbers(self, numbers: tuple[int, int, int, int, int]) -> None:
        self.generation, self._counter, self._waiting, self.time, self.changed_index = numbers
        self._context.time = self.time

    def begin_dump(self, part_bytes: int) -> SlotDump:
        """Begin to dump the present state in parts, while entries go on being applied; several may be under way."""
        dump = SlotDump(self, part_bytes)
        self._dump = with_dump(self._dump, dump)
        return dump

    def end_dump(self, dump: SlotDump) -> None:
        """A dump is over."""
        self._dump = without_dump(self._dump, dump)

    def begin_load(self, former: Callable[[SlotMachine], object] | None = None) -> SlotLoad:
        """Begin to put a state together that takes this one's place when it is whole; `former` gets this one then."""
        fresh = SlotMachine(self.limits, self.generation, self.lifetimes)
        return SlotLoad(fresh, partial(self._replace, fresh, former))

    def _replace(self, fresh: SlotMachine, former: Callable[[SlotMachine], object] | None) -> None:
        self.become(fresh)
        if former is not None:
            former(fresh)

    def become(self, other: SlotMachine) -> None:
        """Take over the state of a machine that nobody uses; it has this one's then, with numbers that mean nothing."""
        self.numbers = other.numbers
        self.sessions, other.sessions = other.sessions, self.sessions
        self.attempts, other.attempts = other.attempts, self.attempts
        self.entities, other.entities = other.entities, self.entities
        self._orders, other._orders = other._orders, self._orders
        self._records = other._records
        self.debts, other.debts = other.debts, self.debts
        self.ends, other.ends = other.ends, self.ends
        self._weights, self._unweighed = other.weights, {}
        self.times.restart()

    def discard(self) -> Iterator[None]:
        """Free the state of a machine that nobody uses any more, step by step: a million entities take 60 ms."""
        yield from emptied(self.entities, self.attempts, self.sessions)
        for order in self._orders.values():
            yield from order.discard()
        yield from self.ends.discard()

    def dump(self) -> bytes:
        """Return the whole state at once; `load` of it gives an equal machine."""
        return whole(SlotDump(self, applied.DUMP_BYTES))

    def load(self, data: bytes) -> None:
        """Replace the state by a dumped one."""
        self.begin_load().take_all(data)
