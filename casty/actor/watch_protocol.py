"""The watch protocol between two processes, as one of them sees it. Pure.

Either process watches actors of the other. Every watch has an id that grows in the process that watches, and is known
by it on both sides. What has to arrive is *owed*: it is sent again, `RESEND_NS` apart and after each news of the way,
until its answer came. So everything may be lost, doubled, late or overtaken. States and messages of one watch:

=============  =====================================  ==================================================================
the watcher's  owed                                   left by
=============  =====================================  ==================================================================
asked          ``WATCH`` until ``HELD`` or ``GONE``   ``HELD``: held. ``GONE``: told, over. ``FULL``: asked again later
held           nothing                                ``GONE``: told, over. News of the way: asked again
left           ``UNWATCH`` until ``LEFT``             ``LEFT``, ``GONE``: over
=============  =====================================  ==================================================================

=============  =====================================  ==================================================================
the target's   owed                                   left by
=============  =====================================  ==================================================================
taken          ``HELD`` until ``KNOWN``               ``KNOWN``: confirmed. ``HEARD``, ``UNWATCH``, ``OVER``: no row
confirmed      nothing                                ``UNWATCH``, ``OVER``: no row. The target's end: ended
ended          ``GONE`` until ``HEARD``               ``HEARD``, ``UNWATCH``, ``OVER``: no row
=============  =====================================  ==================================================================

A row of either side that the other does not have is found out by the next message about it: ``WATCH`` makes it anew or
is answered ``GONE``, ``HELD`` of a watch that is over is answered ``HEARD``. A watch that was told once is over, so it
is told once. When the watcher's process takes the other one for lost, all its watches there are told and over; as the
other may live, it owes it ``OVER``, the highest id so far, until ``ENDED``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from casty.limits import MAX_NUMBER

__all__ = [
    "ANSWERS", "ENDED", "FULL", "GONE", "HEARD", "HELD", "KNOWN", "LEFT", "OVER", "RESEND_NS", "ROWS_A_FRAME",
    "UNWATCH", "WATCH", "Conversation", "Host", "Row", "Target", "is_row",
]  # fmt: skip

WATCH, UNWATCH, KNOWN, HEARD, OVER = range(1, 6)
"""What the watcher's process says: [WATCH, id, path, incarnation or None, number or None]; [kind, id] else."""
HELD, GONE, LEFT, ENDED, FULL = range(6, 11)
"""What the target's process says: [HELD, id, the actor's number]; [kind, id] else."""

ANSWERS = (HELD, GONE, LEFT, ENDED, FULL)
"""They say something about a watch of the process that hears them."""

RESEND_NS = 1_000_000_000
FULL_NS = 10_000_000_000
"""After so long a watch is asked for again where the target's process had no room for it."""

ROWS_A_FRAME = 100
"""Rows of one frame; each costs its receiver some microseconds."""

BYTES_A_FRAME = 64 * 1024

Row = list[object]
Target = Hashable
"""What a row here is about: the number of a living actor of this process, or the name of a process."""


class Host(Protocol):
    """What a conversation asks of the process that has it, and tells it."""

    def find(self, path: str, incarnation: str | None, number: int | None) -> Target | None:
        """Return what lives here at a path and is that life of it; None when there is nothing."""
        ...

    def number_of(self, target: Target) -> int:
        """Return the number by which the other process asks for exactly this life from now on; 0 for no number."""
        ...

    def admit(self, conversation: Conversation, id: int, target: Target) -> bool:
        """Make a row for a watch of the other process; False when that one has too many."""
        ...

    def release(self, conversation: Conversation, id: int, target: Target | None) -> None:
        """Nothing is owed for a watch of the other process any more; `target` is None when that ended before."""
        ...

    def told(self, conversation: Conversation, id: int) -> None:
        """The target of a watch of this process is gone."""
        ...

    def refused(self, conversation: Conversation, id: int) -> None:
        """The other process has no room for a watch of this one."""
        ...


class Conversation:
    """What this process and one other have to say about watches.

    Parameters
    ----------
    key
        The other process.

    Bounds: `mine` has a row per watch of this process there, `theirs` per watch of it here whose target lives, within
    what the host admits; `_owed` one per row of either, per watch that was left or whose target ended, and one for
    all that is over. Rows go with the watch and its confirmation, or with the process.
    """

    __slots__ = ("_fresh", "_owed", "_said", "key", "mine", "theirs")

    def __init__(self, key: str) -> None:
        self.key = key
        self.mine: dict[int, Row] = {}
        """Watches of this process, each as it is asked for."""
        self.theirs: dict[int, Target] = {}
        self._owed: dict[tuple[int, int], tuple[Row, int]] = {}
        """By kind and id: the row, and when it is sent (again)."""
        self._said: list[Row] = []
        """Answers for now; the other side asks again for one that is lost."""
        self._fresh: dict[tuple[int, int], None] = {}
        """What is owed and was not sent yet; a row goes when it is sent, or not owed any more."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to say or to remember."""
        return not (self.mine or self.theirs or self._owed or self._said)

    @property
    def owes(self) -> bool:
        """Whether something is to be sent until it is answered."""
        return bool(self._owed)

    # -- what this process wants

    def watch(self, id: int, path: str, incarnation: str | None, number: int | None) -> None:
        """Watch what lives there at a path, or that life of it."""
        self.adopt(id, [WATCH, id, path, incarnation, number])

    def adopt(self, id: int, row: Row) -> None:
        """Ask for a watch."""
        self.mine[id] = row
        self._owe(row)

    def give_away(self, id: int) -> Row | None:
        """Take a watch out of this conversation, as it belongs into another."""
        self._clear(WATCH, id)
        return self.mine.pop(id, None)

    def unwatch(self, id: int) -> None:
        """Watch no more; harmless when that is over."""
        if self.give_away(id) is not None:
            self._owe([UNWATCH, id])

    def end_all(self, last_id: int) -> list[int]:
        """Take the other process for lost, which may live: return its watches of this process's, which are over.

        `last_id` is the highest id of any watch so far.
        """
        ids = list(self.mine)
        self.mine.clear()
        left = [key for key in self._owed if key[0] in (WATCH, UNWATCH, OVER)]
        for key in left:
            self._clear(*key)
        if ids or left:
            self._owe([OVER, last_id])
        return ids

    def target_ended(self, id: int) -> None:
        """What the other process watches here is gone."""
        if self.theirs.pop(id, None) is not None:
            self._clear(HELD, id)
            self._owe([GONE, id])

    def repeat(self, host: Host) -> None:
        """There is news of the way to the other process, or of it: say everything again."""
        for row in self.mine.values():
            self._owe(row)
        for id, target in self.theirs.items():
            self._owe([HELD, id, host.number_of(target)])
        for row, _ in list(self._owed.values()):
            self._owe(row)

    # -- what the other one says

    def step(self, host: Host, row: Row, now_ns: int) -> None:
        """Take one message, which `is_row` found well made."""
        kind, id = row[0], row[1]
        assert isinstance(kind, int) and isinstance(id, int), "is_row was asked"
        if kind == HELD and row[2] and id in self.mine:
            # From now on it is this life that is watched, and no successor at its path.
            self.mine[id] = [WATCH, id, self.mine[id][2], self.key.rpartition("#")[2], row[2]]
        if kind in ANSWERS:
            self._answered(host, kind, id, now_ns)
        elif kind == WATCH:
            self._asked(host, row, id)
        elif kind == KNOWN:
            self._clear(HELD, id)
        elif kind == OVER:
            self._release_up_to(host, id)
        else:
            self._release(host, id)
            if kind == UNWATCH:
                self._said.append([LEFT, id])

    def _answered(self, host: Host, kind: int, id: int, now_ns: int) -> None:
        if kind == ENDED:
            owed = self._owed.get((OVER, 0))
            if owed is not None and owed[0][1] == id:
                self._clear(OVER, 0)
        elif kind == LEFT:
            self._clear(UNWATCH, id)
        elif id not in self.mine:
            self._said.append([HEARD, id])
            if kind == GONE:
                self._clear(UNWATCH, id)
        elif kind == HELD:
            self._clear(WATCH, id)
            self._said.append([KNOWN, id])
        elif kind == FULL:
            self._clear(WATCH, id)
            self._owed[WATCH, id] = (self.mine[id], now_ns + FULL_NS)
            host.refused(self, id)
        else:
            self.give_away(id)
            self._said.append([HEARD, id])
            host.told(self, id)

    def _asked(self, host: Host, row: Row, id: int) -> None:
        _, _, path, incarnation, number = row
        assert isinstance(path, str) and isinstance(incarnation, (str, type(None)))
        assert isinstance(number, (int, type(None)))
        owed = self._owed.get((GONE, id))
        if owed is not None:
            self._owe(owed[0])
            return
        target = self.theirs.get(id)
        if target is None:
            target = host.find(path, incarnation, number)
            if target is None:
                self._said.append([GONE, id])
                return
            if not host.admit(self, id, target):
                self._said.append([FULL, id])
                return
            self.theirs[id] = target
        self._owe([HELD, id, host.number_of(target)])

    def _release(self, host: Host, id: int) -> None:
        is_ended = self._clear(GONE, id)
        self._clear(HELD, id)
        target = self.theirs.pop(id, None)
        if target is not None or is_ended:
            host.release(self, id, target)

    def _release_up_to(self, host: Host, last_id: int) -> None:
        for id in [id for id in self.theirs if id <= last_id]:
            self._release(host, id)
        for id in [id for kind, id in self._owed if kind == GONE and id <= last_id]:
            self._release(host, id)
        self._said.append([ENDED, last_id])

    # -- what goes out

    def _owe(self, row: Row) -> None:
        kind, id = row[0], row[1]
        assert isinstance(kind, int) and isinstance(id, int)
        key = (kind, 0 if kind == OVER else id)
        self._owed[key] = (row, 0)
        self._fresh[key] = None

    def _clear(self, kind: int, id: int) -> bool:
        """Owe something no more; False when it was not owed."""
        self._fresh.pop((kind, id), None)
        return self._owed.pop((kind, id), None) is not None

    def news(self, now_ns: int) -> list[list[Row]]:
        """Return what has not been sent yet, by frames."""
        return self._send(list(self._fresh), now_ns)

    def due(self, now_ns: int) -> list[list[Row]]:
        """Return the same, and what was not answered in time."""
        return self._send([key for key, (_, due_ns) in self._owed.items() if due_ns <= now_ns], now_ns)

    def _send(self, keys: list[tuple[int, int]], now_ns: int) -> list[list[Row]]:
        rows, self._said = self._said, []
        self._fresh.clear()
        for key in keys:
            row = self._owed[key][0]
            self._owed[key] = (row, now_ns + RESEND_NS)
            rows.append(row)
        return _frames(rows)


def _frames(rows: list[Row]) -> list[list[Row]]:
    frames: list[list[Row]] = []
    size_bytes = BYTES_A_FRAME
    for row in rows:
        more_bytes = len(str(row[2]).encode()) if row[0] == WATCH else 0
        if size_bytes + more_bytes >= BYTES_A_FRAME or len(frames[-1]) >= ROWS_A_FRAME:
            frames.append([])
            size_bytes = 0
        size_bytes += more_bytes
        frames[-1].append(row)
    return frames


def is_row(row: object) -> bool:
    """Whether a row that came is one that a process may say."""
    if not isinstance(row, list) or len(row) < 2 or type(row[0]) is not int or not _is_number(row[1]):
        return False
    if row[0] == WATCH:
        return (
            len(row) == 5
            and isinstance(row[2], str)
            and isinstance(row[3], (str, type(None)))
            and (row[4] is None or _is_number(row[4]))
        )
    if row[0] == HELD:
        return len(row) == 3 and _is_number(row[2])
    return len(row) == 2 and UNWATCH <= row[0] <= FULL


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_NUMBER
