"""What a slot's replica does for maps besides applying commands: it tells the time, and answers who watches.

The rules are in `lapses` and `feed`; this has the replica's clock, its log and the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from casty.cluster.multiraft.host import Group
from casty.cluster.multiraft.proposals import NOBODY, Late, Proposals, ReadReplySink, ReplySink
from casty.cluster.slots.feed import Asked, Feed
from casty.cluster.slots.lapses import LapseClock, lapse_of, latest_of, needs_time
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.operations import AFTER
from casty.cluster.slots.schema import CALLED, LAPSE, LAPSED, OF_NAME
from casty.consensus import Entry
from casty.distributed.machines.base import CODE, MAP, NOT_LEADER, OK, OPERATION, VALUE, Reply
from casty.distributed.machines.map import TTL, Lasting
from casty.distributed.machines.record import RECORDED, WRAPPED_QUERY
from casty.distributed.machines.watching import ENTRIES, WATCH
from casty.parts import Parts
from casty.ports import Clock
from casty.wire.pack import pack

__all__ = ["SlotMaps"]

ANSWERED_AT_ONCE = 64
"""Questions of watchers that are answered in one turn: a millisecond or two, with the frames."""


class SlotMaps:
    """The maps of one slot, on one replica.

    Parameters
    ----------
    machine, proposals
        The replica's.
    clock
        The node's.
    limit_bytes
        About how long an answer may be.
    generation
        The cluster's.
    """

    __slots__ = (
        "_clock", "_feed", "_generation", "_lapses", "_limit_bytes", "_machine", "_parts", "_proposals", "due",
        "on_answered", "on_proposed",
    )  # fmt: skip

    def __init__(
        self, machine: SlotMachine, proposals: Proposals, clock: Clock, limit_bytes: int, generation: int
    ) -> None:
        self._machine = machine
        self._proposals = proposals
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._generation = generation
        self._lapses = LapseClock()
        self._feed: Feed | None = None
        """While this replica leads, and somebody watches or did a moment ago."""
        self.due: list[Asked] = []
        """Questions that the entry which is being applied answers; empty after each."""
        self._parts: Parts[Asked] = Parts(clock, self._serve, ANSWERED_AT_ONCE)
        self.on_answered: Callable[[], None] = _nothing
        """Called when answers were given, perhaps in a turn of their own."""
        self.on_proposed: Callable[[Group], None] = _ignore
        """Told of the group that has something in its log to send."""

    # -- the time

    def before_write(self, group: Group, entry: Sequence[Any]) -> None:
        """Propose what has to be in the log before a checked COMMAND of a map: the time, and the end of its key."""
        key = (MAP, entry[OF_NAME])
        is_timed = needs_time(entry[CALLED])
        if not is_timed and not isinstance(self._machine.entities.get(key), Lasting):
            return  # the usual one: no time plays a part
        time = self._time()
        names = lapse_of(self._machine.entities, key, time)
        if names or is_timed:
            is_new = self._lapses.is_new(time)
            if (is_new or names) and not self._propose(group, pack([LAPSE, time, names]), NOBODY, 0):
                self._lapses.unproposed()

    def tick(self, group: Group) -> None:
        """Every heartbeat of a leader: propose what is due, answer who waited long."""
        now_ns = self._clock.now()
        entry = self._lapses.heartbeat(self._machine.ends, self._machine.time, now_ns)
        if entry is not None and not self._propose(group, entry, NOBODY, 0):
            self._lapses.unproposed()
        if self._feed is not None:
            self._parts.add(self._feed.tick(now_ns))

    def propose_part(self, group: Group) -> None:
        """Propose the end of the next keys whose time is over, if there are more and none is under way."""
        entry = self._lapses.part(self._machine.ends, self._machine.time, self._clock.now())
        if entry is not None and not self._propose(group, entry, NOBODY, 0):
            self._lapses.unproposed()

    def _time(self) -> int:
        return self._lapses.time(self._machine.time, self._clock.now())

    def _propose(self, group: Group, entry: bytes, answers: ReplySink, call_id: int) -> bool:
        is_proposed = self._proposals.propose(group.core, entry, answers, call_id)
        self.on_proposed(group)
        return is_proposed

    def applied(self, entry: Sequence[Any], *, is_known: bool) -> bool:
        """A LAPSE entry was applied; whether more keys are due, so that a part is to be proposed in another turn.

        `is_known` says whether it was in the log when the leadership began that this replica has, or is of that.
        """
        if not is_known:
            self._lapses.applied(self._machine.time, self._clock.now())
        if not entry[LAPSED]:
            return False
        self._lapses.part_applied()
        upcoming = self._machine.ends.next()
        return upcoming is not None and upcoming <= self._time()

    def loaded(self) -> None:
        """Another state took the place of the machine's."""
        self._lapses.applied(self._machine.time, self._clock.now())

    # -- reads

    def answer(self, group: Group, answers: ReadReplySink, call_id: int, read: list[Any]) -> None:
        """Answer a confirmed read of a map, or see to it that it is answered."""
        _, entity, query = read
        if query[OPERATION] == WATCH:
            self._watch(group, answers, call_id, entity, query)
        elif query[OPERATION] == ENTRIES:
            answers.add(call_id, [OK, list(self._machine.entries(entity, query[AFTER], self._limit_bytes))])
        elif self._is_over(entity):
            # It is over, and everybody has to see that from now on: the log says so first.
            again = _Then(partial(self._read_then, answers, call_id, read))
            self._propose(group, pack([LAPSE, self._time(), [entity]]), again, call_id)
        else:
            self._read(answers, call_id, read)

    def _is_over(self, entity: bytes) -> bool:
        """Whether the time of a key has come, and no entry of the log says so yet."""
        state = self._machine.entities.get((MAP, entity))
        return isinstance(state, Lasting) and state.end <= self._time()

    def _read_then(self, answers: ReplySink, call_id: int, read: list[Any], outcome: Reply) -> None:
        if outcome[CODE] == OK:
            self._read(answers, call_id, read)
        else:
            answers.add(call_id, outcome)

    def _read(self, answers: ReplySink, call_id: int, read: list[Any]) -> None:
        kind, entity, query = read
        reply: Reply = self._machine.query(kind, entity, query)
        plain = query[WRAPPED_QUERY] if query[OPERATION] == RECORDED else query
        if plain[OPERATION] == TTL and reply[CODE] == OK and reply[VALUE] is not None and reply[VALUE] > 0:
            reply = [OK, max(0, reply[VALUE] - self._time()), *reply[2:]]
        answers.add(call_id, reply)

    def _watch(
        self, group: Group, answers: ReadReplySink, call_id: int, prefix: bytes, query: Sequence[Any]
    ) -> None:
        if not group.is_leading:
            answers.add(call_id, [NOT_LEADER, None, group.core.term])
            return
        if self._feed is None:
            self._feed = Feed(self._machine, pack([self._generation, group.epoch]))
            self._machine.on_change = self._changed
        _, origin, index, state, position, limit_bytes = query
        limit_bytes = min(limit_bytes, self._limit_bytes)
        now_ns = self._clock.now()
        asked = Asked(answers, call_id, now_ns, prefix, origin, index, state, position, limit_bytes)
        reply = self._feed.ask(asked)
        if reply is not None:
            answers.add(call_id, reply)

    # -- watchers

    def _changed(self, index: int, entity: bytes, value: bytes | None, what: int) -> None:
        if self._feed is not None:
            self.due += self._feed.changed(index, entity, value, what)

    def tell(self) -> None:
        """An entry is applied: answer the questions that wait for what it changed, if there are any `due`."""
        due, self.due = self.due, []
        self._parts.add(due)

    def _serve(self, asked: Asked) -> None:
        if self._feed is None:
            asked.answers.add(asked.call_id, [NOT_LEADER, None, 0])
        elif asked.answers.is_full:
            asked.answers.put_off(partial(self._serve, asked))
        else:
            asked.answers.add(asked.call_id, self._feed.news(asked))
        self.on_answered()

    def forget(self, answers: ReplySink) -> Iterable[None]:
        """A link is gone, and with it all who watch over it: return the steps that forget them."""
        return () if self._feed is None else self._feed.forget(answers)

    def shed(self) -> None:
        """Memory is short: forget changes."""
        if self._feed is not None:
            self._feed.shed()

    @property
    def size_bytes(self) -> int:
        """What is remembered for watchers."""
        return 0 if self._feed is None else self._feed.size_bytes

    # -- leadership

    def led(self, unapplied: Sequence[Entry]) -> None:
        """A leadership began, with entries of earlier ones in its log that are not applied."""
        self._lapses.led(latest_of(unapplied), self._machine.time, self._clock.now())

    def take_waiting(self, reply: list[object]) -> Iterable[Late]:
        """A leadership ended: return who waits and is to be told."""
        feed, self._feed = self._feed, None
        self._machine.on_change = None
        self.due.clear()
        return () if feed is None else feed.take_waiting(reply)


class _Then:
    """Does something with the outcome of a proposal."""

    __slots__ = ("_act",)

    def __init__(self, act: Callable[[Reply], None]) -> None:
        self._act = act

    def add(self, call_id: int, reply: list[object]) -> None:
        """Take the outcome."""
        del call_id
        self._act(reply)


def _nothing() -> None:
    """Nobody has to know."""


def _ignore(group: Group) -> None:
    del group
