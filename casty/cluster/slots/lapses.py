"""The ends of keys with a time to live: the time of a slot, who ends next, and what its leader proposes. Pure.

No replica looks at its clock to say whether a key is there. The slot has a time of its own, a count of ticks in its
state, that entries ``[LAPSE, time, names]`` move on: it becomes `time` if it was less, and of the named keys those end
whose tick came. So the end of a key has a place in the log like every other change.

Only the leader proposes such entries, by its clock:

- before a command that gives a time to live, so that this counts from now and not from the last entry;
- before a command or a read of a key whose tick has come, so that neither finds it any more;
- at a heartbeat for keys whose tick has come, `LAPSED_AT_ONCE` at a time, one entry under way: what ended is let go
  whether anybody asks for it or not;
- now and then while any key has a time to live, so that little of it is lost where all replicas restart.

Each replica keeps, beside the state, a *guess* of the slot's time: the tick of the last entry and when it was applied
here. An entry says no later tick than had come when it was proposed, and is applied after that, so whichever replica
leads next, between two entries its guess moves on by no more than the time that has really passed (but for the drift of
clocks): no key ends early. It may be behind by what the replica was behind in applying, and by the time in which it did
not run: a key may end late. A leader whose guess is behind tells the others a time that is less than theirs. They take
it: keys that it stores end by its time, and would end early by that of whoever kept a later one. A new leader speaks
before it has applied all of its log, so it looks there for what earlier leaders said.

What may be lost, doubled or late: an entry that is lost is proposed again at the next heartbeat, or by the next leader;
one that is applied twice, or late, finds a key that is gone, or one that was stored anew with a later tick.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from casty.cluster.slots.schema import LAPSE, LAPSED_AT_ONCE
from casty.cluster.slots.session_record import KEY_KIND, KEY_NAME, EntityKey
from casty.consensus import Entry
from casty.distributed.machines.base import MAP, OPERATION, Command
from casty.distributed.machines.map import TICK_MS, TIMED, Lasting
from casty.distributed.machines.record import CHANGES, RECORDED, RESTORE, WRAPPED
from casty.entity_order import EntityOrder
from casty.wire.pack import pack, unpack

__all__ = ["Ends", "LapseClock", "lapse_of", "latest_of", "needs_time"]

TICK_NS = TICK_MS * 1_000_000
END_BYTES = 8
_LAPSE_BYTE = bytes([LAPSE])
RENEW_TICKS = 1_000 // TICK_MS
"""The time goes into the log no more often than each second where only time passed."""
RENEW_SHARE = 16
"""And when a sixteenth of what the next key has left has passed: so much may count twice after a restart of all."""
NAME_BYTES = 64 * 1024
"""About how long the names of one entry may be together, but for one that is longer alone."""


class Ends:
    """The keys of one slot that have a time to live, by when they end.

    Bounds: `order` has a name per such key in the state.
    """

    __slots__ = ("order",)

    def __init__(self) -> None:
        self.order = EntityOrder()
        """Each name behind the bytes of its end, so that the first to end is the first."""

    def moved(self, name: bytes, before: Any, after: Any) -> None:
        """A key was changed, made or removed."""
        if isinstance(before, Lasting):
            self.order.remove(before.end.to_bytes(END_BYTES, "big") + name)
        if isinstance(after, Lasting):
            self.order.add(after.end.to_bytes(END_BYTES, "big") + name)

    def next(self) -> int | None:
        """Return the tick at which the next key ends; None where none does."""
        first = next(self.order.since(b""), None)
        return None if first is None else int.from_bytes(first[:END_BYTES], "big")

    def due(self, time: int, after: bytes = b"") -> tuple[list[bytes], bytes]:
        """Return some names of keys whose tick has come, and where to go on.

        Parameters
        ----------
        time
            The tick that it is.
        after
            Where an earlier call ended; ``b""`` to begin with the first.
        """
        names: list[bytes] = []
        size_bytes = 0
        for row in self.order.since(after):
            if int.from_bytes(row[:END_BYTES], "big") > time:
                break
            size_bytes += len(row)
            if len(names) >= LAPSED_AT_ONCE or (names and size_bytes > NAME_BYTES):
                break
            if row != after:
                names.append(row[END_BYTES:])
                after = row
        return names, after

    def discard(self) -> Iterator[None]:
        """Free the order step by step; see `EntityOrder.discard`."""
        return self.order.discard()


class LapseClock:
    """What one replica takes the time of its slot to be, and while it leads, what it proposed.

    Invariant: since any entry that was applied, it moved on by no more than the time that passed since that entry was
    proposed.
    """

    __slots__ = ("_at_ns", "_is_under_way", "_place", "_proposed", "_tick")

    def __init__(self) -> None:
        self._tick = 0
        self._at_ns: int | None = None
        """When the slot's time was known to be `_tick`; None before anything is known, and time stands still."""
        self._proposed = 0
        """The latest tick that this leader proposed."""
        self._is_under_way = False
        """Whether an entry of due keys is in the log and not applied; at most one is."""
        self._place = b""
        """Up to where due keys were proposed since the last heartbeat."""

    def time(self, state_time: int, now_ns: int) -> int:
        """Return the tick that it is, no less than the state's."""
        if self._at_ns is None:
            return max(self._tick, state_time)
        return max(state_time, self._tick + max(0, now_ns - self._at_ns) // TICK_NS)

    def applied(self, state_time: int, now_ns: int) -> None:
        """An entry was applied that this replica did not know as a leader: count from here.

        Parameters
        ----------
        state_time
            The state's tick now, which may be less than this replica took it to be.
        now_ns
            When that is, by this node's clock.
        """
        self._tick, self._at_ns = state_time, now_ns

    def led(self, logged: int | None, state_time: int, now_ns: int) -> None:
        """A leadership began: nothing of it is proposed yet.

        It counts on from the last entry in its log, applied or not: what it proposes comes after that. From then on
        no entry sets it back, or each would by the time that it took to be committed.

        Parameters
        ----------
        logged
            The latest tick that entries of earlier leaders say which are not applied here; None without any.
        state_time
            The state's tick.
        now_ns
            This node's clock.
        """
        self._proposed, self._is_under_way, self._place = 0, False, b""
        if self._at_ns is None or logged is not None:
            self._tick, self._at_ns = max(state_time, logged or 0), now_ns

    def is_new(self, time: int) -> bool:
        """Whether that tick is not in the log; it is from now on."""
        if time <= self._proposed:
            return False
        self._proposed = time
        return True

    def unproposed(self) -> None:
        """The last entry did not get into the log."""
        self._proposed, self._is_under_way, self._place = 0, False, b""

    def heartbeat(self, ends: Ends, state_time: int, now_ns: int) -> bytes | None:
        """Return the entry that is due at a heartbeat: of keys that end, or of the time alone."""
        self._place = b""
        part = self.part(ends, state_time, now_ns)
        upcoming = ends.next()
        if part is not None or upcoming is None or self._is_under_way:
            return part
        time = self.time(state_time, now_ns)
        passed = time - max(state_time, self._proposed)
        if passed < max(RENEW_TICKS, (upcoming - time) // RENEW_SHARE) or not self.is_new(time):
            return None
        return pack([LAPSE, time, []])

    def part(self, ends: Ends, state_time: int, now_ns: int) -> bytes | None:
        """Return the entry of the next due keys, which is under way from now on; None while one is, or without any."""
        if self._is_under_way:
            return None
        time = self.time(state_time, now_ns)
        names, self._place = ends.due(time, self._place)
        if not names:
            return None
        self._is_under_way = True
        self._proposed = max(self._proposed, time)
        return pack([LAPSE, time, names])

    def part_applied(self) -> None:
        """What was under way is applied."""
        self._is_under_way = False


def needs_time(command: Command) -> bool:
    """Whether a command of a map, recorded or not, gives a time to live; so may the part of a restoration."""
    if command[OPERATION] == RESTORE:
        return any(change[OPERATION] in TIMED for change in command[CHANGES])
    return (command[WRAPPED] if command[OPERATION] == RECORDED else command)[OPERATION] in TIMED


def latest_of(entries: Sequence[Entry]) -> int | None:
    """Return the latest tick that entries of a slot say; None if none says one."""
    # The byte behind the length of the row is its kind; the first entry of a leadership has no data at all.
    lapses: list[Any] = [unpack(entry.data) for entry in entries if entry.data[1:2] == _LAPSE_BYTE]
    return max((time for _, time, _ in lapses), default=None)


def lapse_of(entities: Mapping[EntityKey, Any], key: EntityKey, time: int) -> list[bytes]:
    """Return the name of the key whose tick has come, in a list; an empty one for any other entity."""
    state = entities.get(key) if key[KEY_KIND] == MAP else None
    return [key[KEY_NAME]] if isinstance(state, Lasting) and state.end <= time else []
