"""What who watches a map hears of one slot: the latest changes of its maps, and who waits for the next. Pure.

A watch is a question that is asked again and again: "what happened to this key, or to the keys of this map, after what
I know?". A change finds who waits for it by two names, that of its key and what all keys of its map begin with; who
asks for the keys that begin with anything else is answered when its time is over. What the watcher knows it says
itself, the *cursor* ``[origin, at, state, position]``: of which log (the cluster's generation and the epoch of the
slot), up to which index of it, and of which keys: of none (`NOTHING`), of those up to a name (`PART`), or of all
(`ALL`). The slot's leader answers with what is new and the cursor after it, or keeps the question until something is
new. So nothing of a watch outlives its question, and a leader knows nobody.

=========  ================================================  ==========================================================
cursor     the leader has all changes since                  it has not
=========  ================================================  ==========================================================
`NOTHING`                                                    the first page of the present state -> `PART` or `ALL`
`PART`     changes of keys up to the name, then a page       reset: the first page of the present state
`ALL`      changes, or wait for one                          reset: the first page of the present state
=========  ================================================  ==========================================================

An answer is ``[cursor, is_reset, changes, page]``: changes ``[entity, value, what]`` in the order of the log, then a
page ``[after, upto, [[entity, value], ...]]`` of all keys in between, as they are after these changes; `upto` is None
for the last one. All of it is of one instant, so each key has one history: as it is on a page, then all its changes.

A leader remembers changes while somebody watches, at most `KEPT` and `KEPT_BYTES` of them. Its *floor* is the index up
to which it does not know them; where it begins to remember that is the latest change of all. So who was told
everything before a leader changed, the slot moved or a link was lost has missed nothing unless something happened. The
state has the index of the latest change, and each replica comes to the same.

What may be lost, doubled or late: a question that is lost, or whose leader goes, is asked again with the same cursor,
of whoever leads then; the answer that was lost is made anew. An answer that comes twice finds no question the second
time. A leader that was replaced and does not know it yet answers what was committed, and so only late; a page is read
under its lease. A slow watcher asks late, and is reset where the changes that it lacks are gone: nobody waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from casty.cluster.multiraft.proposals import Late, ReadReplySink, ReplySink
from casty.cluster.slots.machine import SlotMachine
from casty.distributed.machines.base import OK, OVERLOADED, Reply
from casty.distributed.machines.watching import ALL, NOTHING, PART, map_of

__all__ = [
    "KEPT", "KEPT_BYTES", "MAX_ASKED_BYTES", "MAX_ASKED_BYTES_OF_LINK", "MAX_WATCHES", "MAX_WATCHES_OF_LINK", "Asked",
    "Feed",
]  # fmt: skip

SECOND_NS = 1_000_000_000
KEPT = 1_024
KEPT_BYTES = 1024 * 1024
"""Changes that the leader of a slot remembers, and their bytes; one more may pass the second bound."""
CHANGE_BYTES = 200
"""About what one takes besides its name and value."""
ANSWERED_AFTER_NS = 20 * SECOND_NS
"""A question that nothing happened to is answered with that: who asks is perhaps gone."""
KEPT_FOR_NS = 30 * SECOND_NS
"""So long after the last question changes are remembered."""
MAX_WATCHES = 10_000
MAX_WATCHES_OF_LINK = 1_000
"""Questions that wait in one slot, and of those from one link; all gateways behind a relaying node are one."""
ASKED_BYTES = 500
"""About what one takes besides its names."""
MAX_ASKED_BYTES = 8 * 1024 * 1024
MAX_ASKED_BYTES_OF_LINK = 1024 * 1024
"""What they take in one slot, and of that those from one link; one more may pass either bound."""
CHANGES_AT_ONCE = 256
"""Changes of one answer, but for one entry that has more."""


class Change(NamedTuple):
    """A change of a key: where in the log, of which entity, its value then, and what happened."""

    at: int
    entity: bytes
    value: bytes | None
    what: int


class Asked(NamedTuple):
    """A question: where its answer goes, since when it waits, what it is of, and the cursor."""

    answers: ReadReplySink
    call_id: int
    since_ns: int
    prefix: bytes
    origin: bytes
    at: int
    state: int
    position: bytes
    limit_bytes: int


class Feed:
    """One leadership's memory of changes, and the questions that wait for more.

    Parameters
    ----------
    machine
        The slot's.
    origin
        Which log it is.

    Bounds: see `KEPT`, `MAX_WATCHES`, `MAX_ASKED_BYTES`; `_by_prefix` has a row per prefix of a waiting question,
    `_of_link` and `_bytes_of_link` one per link that has one.
    """

    def __init__(self, machine: SlotMachine, origin: bytes) -> None:
        self._machine = machine
        self._origin = origin
        self._changes: deque[Change] = deque()
        self._floor = machine.changed_index
        """All changes up to this index are forgotten or were never known; all later ones are in `_changes`."""
        self._asked_ns: int | None = None
        """When somebody asked last; None while nobody watches, and then no change is remembered."""
        self._waiting: dict[tuple[ReplySink, int], Asked] = {}
        """By where the answer goes, the longest waiting first."""
        self._by_prefix: dict[bytes, dict[tuple[ReplySink, int], None]] = {}
        self._of_link: dict[ReplySink, dict[int, None]] = {}
        """By link: the calls that wait; no link without one."""
        self._bytes_of_link: dict[ReplySink, int] = {}
        self._bytes = 0
        """Of changes and of questions."""
        self._asked_bytes = 0
        """Of questions."""

    @property
    def size_bytes(self) -> int:
        """About what it takes."""
        return self._bytes

    def changed(self, index: int, entity: bytes, value: bytes | None, what: int) -> list[Asked]:
        """Remember a change, if anybody watches; returns the questions that it answers, which wait no more."""
        if self._asked_ns is None:
            self._floor = index
            return []
        change = Change(index, entity, value, what)
        self._changes.append(change)
        self._bytes += _size_of(change)
        while len(self._changes) > KEPT or (self._bytes > KEPT_BYTES and len(self._changes) > 1):
            self._drop_first()
        # All that wait know all keys: who knows a part is answered with the next one.
        keys = list(self._by_prefix.get(entity, ()))
        prefix = map_of(entity)
        if len(prefix) < len(entity):
            keys += self._by_prefix.get(prefix, ())
        return [self._leave(key) for key in keys]

    def _drop_first(self) -> None:
        first = self._changes.popleft()
        self._bytes -= _size_of(first)
        self._floor = first.at

    def shed(self) -> None:
        """Forget all changes: memory is short. Who watches is reset, unless it knows all of them."""
        while self._changes:
            self._drop_first()

    def ask(self, asked: Asked) -> Reply | None:
        """Return the answer to a question, or None where it waits from now on."""
        self._asked_ns = asked.since_ns
        reply = self._news(asked)
        if reply is not None:
            return reply
        key = (asked.answers, asked.call_id)
        if key in self._waiting:
            self._leave(key)  # it was sent again
        if (
            len(self._waiting) >= MAX_WATCHES
            or len(self._of_link.get(asked.answers, ())) >= MAX_WATCHES_OF_LINK
        ):
            return [OVERLOADED, "max_watches", MAX_WATCHES_OF_LINK]
        of_link = self._bytes_of_link.get(asked.answers, 0)
        if self._asked_bytes >= MAX_ASKED_BYTES or of_link >= MAX_ASKED_BYTES_OF_LINK:
            return [OVERLOADED, "bytes of watches", MAX_ASKED_BYTES_OF_LINK]
        self._enter(key, asked)
        return None

    def news(self, asked: Asked) -> Reply:
        """Return the answer to a question that waited: what is new, or that nothing is."""
        reply = self._news(asked)
        return reply or [OK, [self._cursor(ALL, b""), False, [], None]]

    def _news(self, asked: Asked) -> Reply | None:
        machine, state, position = self._machine, asked.state, asked.position
        is_known = asked.origin == self._origin and self._floor <= asked.at <= machine.changed_index
        is_reset = state == NOTHING or not is_known
        found: list[Change] = []
        if is_reset:
            state, position = PART, b""
        else:
            found, upto = self._since(asked)
            if upto is not None:
                return [OK, [[self._origin, upto, state, position], False, _rows(found), None]]
        if state == ALL:
            return [OK, [self._cursor(ALL, b""), False, _rows(found), None]] if found else None
        # One key at least, or a map whose keys change all the time would never be told to its end.
        left_bytes = asked.limit_bytes - sum(map(_size_of, found))
        entries, is_more = machine.entries(asked.prefix, position, max(0, left_bytes))
        upto_name = entries[-1][0] if is_more else None
        cursor = self._cursor(PART if is_more else ALL, upto_name or b"")
        return [OK, [cursor, is_reset, _rows(found), [position, upto_name, entries]]]

    def _cursor(self, state: int, position: bytes) -> list[object]:
        return [self._origin, self._machine.changed_index, state, position]

    def _since(self, asked: Asked) -> tuple[list[Change], int | None]:
        """Return the changes that the cursor lacks, those of an entry all or none; where some are left, up to where."""
        found: list[Change] = []
        size_bytes, last = 0, asked.at
        for change in self._changes:
            if change.at <= asked.at:
                continue
            is_full = len(found) >= CHANGES_AT_ONCE or size_bytes + _size_of(change) > asked.limit_bytes
            if found and is_full and change.at != last:
                return found, last
            last = change.at
            is_asked_for = asked.state == ALL or change.entity <= asked.position
            if is_asked_for and change.entity.startswith(asked.prefix):
                found.append(change)
                size_bytes += _size_of(change)
        return found, None

    def _enter(self, key: tuple[ReplySink, int], asked: Asked) -> None:
        answers, call_id = key
        self._waiting[key] = asked
        self._by_prefix.setdefault(asked.prefix, {})[key] = None
        self._of_link.setdefault(answers, {})[call_id] = None
        self._count(answers, _size_of_asked(asked))

    def _leave(self, key: tuple[ReplySink, int]) -> Asked:
        answers, call_id = key
        asked = self._waiting.pop(key)
        _take(self._by_prefix, asked.prefix, key)
        _take(self._of_link, answers, call_id)
        self._count(answers, -_size_of_asked(asked))
        if answers not in self._of_link:
            del self._bytes_of_link[answers]
        return asked

    def _count(self, answers: ReplySink, size_bytes: int) -> None:
        self._bytes += size_bytes
        self._asked_bytes += size_bytes
        self._bytes_of_link[answers] = self._bytes_of_link.get(answers, 0) + size_bytes

    def tick(self, now_ns: int) -> Iterator[Asked]:
        """Return the questions that waited long enough, which wait no more; forget changes that nobody asks for."""
        while self._waiting:
            key, asked = next(iter(self._waiting.items()))
            if now_ns - asked.since_ns < ANSWERED_AFTER_NS:
                return
            self._asked_ns = now_ns
            yield self._leave(key)
        if self._asked_ns is not None and now_ns - self._asked_ns > KEPT_FOR_NS:
            self._asked_ns = None
            self.shed()
            self._floor = self._machine.changed_index

    def forget(self, answers: ReplySink) -> Iterator[None]:
        """The link of these questions is gone: forget one with each step, in turns of whoever asks for them."""
        for call_id in list(self._of_link.get(answers, ())):
            if (answers, call_id) in self._waiting:  # it may have been answered between two turns
                self._leave((answers, call_id))
            yield

    def take_waiting(self, reply: list[object]) -> Iterator[Late]:
        """Leadership ended: return everyone who waits and is to be told, so that they ask the next leader."""
        waiting, self._waiting = self._waiting, {}
        self._by_prefix, self._of_link, self._bytes_of_link = {}, {}, {}
        return ((answers, call_id, reply) for answers, call_id in waiting)


def _take(rows: dict[Any, dict[Any, None]], name: Any, key: Any) -> None:
    of_name = rows[name]
    del of_name[key]
    if not of_name:
        del rows[name]


def _size_of_asked(asked: Asked) -> int:
    return ASKED_BYTES + len(asked.prefix) + len(asked.position)


def _rows(changes: list[Change]) -> list[list[object]]:
    return [[change.entity, change.value, change.what] for change in changes]


def _size_of(change: Change) -> int:
    return CHANGE_BYTES + len(change.entity) + (0 if change.value is None else len(change.value))
