"""The items of every queue, entry by entry: each is in one place, and leaves only with an answer that says so.

What a queue's machine did is not trusted here: before and after each entry its tables are read, and whatever appeared,
vanished or moved between them has to follow from the entry, its answer and the outcomes of others that it decided
(36 - 39). What the entry amounts to is told as rows, in the words of histories: also what no client ever hears, as that
an item is free again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.records import record_key
from casty.cluster.slots.schema import ABANDON, COMMAND
from casty.distributed.machines.base import DESTROY, OK, OVERLOADED, QUEUE, QUEUED, RECORD
from casty.distributed.machines.queue_shapes import (
    ACK,
    DEQUEUE,
    ENQUEUE,
    ENQUEUE_AS,
    GET,
    NACK,
    PUT,
    PUT_BACK,
    REMOVE,
    REQUEUE,
    RESERVE,
    SET_ASIDE,
    TAKE_DEAD,
)
from casty.distributed.machines.record import BEGIN, Record

from ..history.queue_rows import DEAD, FREE, LOST, MOVED, RESERVED, REVIVED, Change, Row
from .records import unwrapped
from .refusals import MAXSIZE

__all__ = ["QueueItems"]

Entity = tuple[int, bytes]
Key = tuple[int, int]
ReplySink = dict[Key, list[Any]]
Taken = dict[int, tuple[Key, bytes]]
Tailed = tuple[Change, Sequence[Any]]

_LEAVING = (REMOVE, SET_ASIDE)

_WORDS = {
    DESTROY: "destroy", ENQUEUE: "enqueue", ENQUEUE_AS: "enqueue", DEQUEUE: "dequeue", PUT: "put", GET: "get",
    RESERVE: "reserve", ACK: "ack", NACK: "nack", REQUEUE: "requeue", TAKE_DEAD: "dead",
}  # fmt: skip


class Seen(NamedTuple):
    """A queue as it stood: which life of the name it is, and each item's place, bytes, deliveries and holder."""

    life: int
    items: dict[int, tuple[str, bytes, int, Key | None]]
    next: int
    maxsize: int
    used: int
    """How many items are free or reserved."""


class QueueItems:
    """Looks at the queues of one slot before and after each entry.

    Parameters
    ----------
    report
        Takes the number of a promise and what is wrong with it.
    """

    def __init__(self, report: Callable[[int, str], None]) -> None:
        self._report = report
        self._before: dict[bytes, Seen | None] = {}
        self._taken: dict[tuple[bytes, int], Taken] = {}
        """By name and life: the numbers that were handed out for good, to which request, and their bytes."""
        self._acked: dict[tuple[bytes, int], dict[int, None]] = {}
        self._bytes: dict[tuple[bytes, int], dict[int, bytes]] = {}
        """By name and life: every item that was ever there."""
        self._asked: dict[Key, tuple[bytes, Sequence[Any]]] = {}
        """Requests that wait: at which queue, and what they ask for. One entry may answer those of several queues."""
        self._destroyed: dict[bytes, tuple[int, list[int]]] = {}
        """By name: which life of a queue was destroyed last, and the numbers of what was reserved then."""
        self._moved: list[Row] = []
        self.rows: list[Row] = []
        """What the latest entry did, in order."""

    def before(self, machine: SlotMachine, touched: Sequence[Entity]) -> None:
        """Remember how the queues stand that an entry may change."""
        self._before = {name: _seen(machine, name) for kind, name in touched if kind == QUEUE}

    def after(
        self,
        machine: SlotMachine,
        plain: list[Any],
        reply: list[Any],
        effects: Sequence[Any],
        *,
        is_new: bool,
    ) -> None:
        """Check what the entry did to them."""
        self.rows = []
        withdrawn = {(plain[1], row[0]): None for row in plain[3]} if plain[0] == ABANDON else {}
        for name, was in self._before.items():
            command: Sequence[Any] = ()
            answers: ReplySink = {}
            if plain[0] == COMMAND and plain[7][0] >= BEGIN:
                continue  # a history is put together: it is compared with the journal elsewhere
            if plain[0] == COMMAND and is_new:
                command, answer = unwrapped(QUEUE, plain[7], reply)
                answers[plain[1], plain[2]] = list(answer)
                if answer[:2] == [OVERLOADED, MAXSIZE]:
                    self._check_full(name, was, answer[2])
                self._asked[plain[1], plain[2]] = (name, command)
            for session, seq, told in effects:
                if self._asked_of((session, seq))[0] == name:
                    answers[session, seq] = list(told)
            now = _seen(machine, name)
            self._check_state(machine, name)
            self._check_end(name, was, now, command)
            if now is not None:
                self._compare(name, was, now, answers, withdrawn)
            self._tell(name, was, now, answers, withdrawn)

    def _asked_of(self, key: Key) -> tuple[bytes, Sequence[Any]]:
        return self._asked.get(key, (b"", ()))

    def _tell(
        self,
        name: bytes,
        was: Seen | None,
        now: Seen | None,
        answers: ReplySink,
        withdrawn: dict[Key, None],
    ) -> None:
        """Say in which order it happened: what was asked, then what others got of that, each item once it is free.

        Of several requests that one entry withdraws, a later one may get what an earlier one had, and give it back.
        """
        moved, self._moved = self._moved, []
        told = list(self._answered(name, was, answers))
        for at, (key, row) in enumerate(told):
            # What is handed on was free in between, wherever it is in the end.
            self.rows += [one._replace(args=(row.answer, FREE)) for one in moved if one.args[0] == row.answer]
            moved = [one for one in moved if one.args[0] != row.answer]
            self.rows.append(row)
            if key in withdrawn and type(row.answer) is bytes:
                is_handed_on = any(later.answer == row.answer for _, later in told[at + 1 :])
                place = FREE if is_handed_on else _place_of(now, row.answer)
                self.rows.append(Row(name, MOVED, (row.answer, place), None))
        self.rows += moved

    def _answered(self, name: bytes, was: Seen | None, answers: ReplySink) -> Iterator[tuple[Key, Row]]:
        """Return what each request was told for good, which it does not wait for any more."""
        for key, answer in answers.items():
            if answer[0] == QUEUED:
                continue
            command = self._asked.pop(key, (b"", ()))[1]
            if command and command[0] in _WORDS and answer[0] == OK:
                yield key, _row(name, was, command, answer)

    def forgotten(self, machine: SlotMachine) -> list[Row]:
        """Return what may be otherwise when all memory is lost: what is reserved is free, and what happened off the
        record did not happen.
        """
        rows: list[Row] = []
        for name in _names(machine):
            seen, tail = _seen(machine, name), _tail(machine, name)
            ends = [-1, -1, *(at for at, (_, change) in enumerate(tail) if change[0] == DESTROY)]
            if seen is not None:
                rows += self._undone(name, seen.life, dict.fromkeys(_reserved_in(seen)), tail[ends[-1] + 1 :])
            if ends[-1] >= 0:  # its end is not on record either
                life, reserved = self._destroyed.get(name, (0, []))
                held = dict.fromkeys(reserved, tail[ends[-1]][0])
                rows += self._undone(name, life, held, tail[ends[-2] + 1 : ends[-1]])
        return rows

    def _undone(
        self, name: bytes, life: int, held: Mapping[int, Change | None], tail: Sequence[Tailed]
    ) -> list[Row]:
        """Return what comes of the items of one queue: of those held, with what ended that, and of those changed."""
        known = self._bytes.get((name, life), {})
        back = [*held.items(), *((change[1], undone) for undone, change in tail if change[0] in _LEAVING)]
        free = [Row(name, REVIVED, (known[at], FREE), None, undone) for at, undone in back if at in known]
        come = [(change[1], undone) for undone, change in tail if change[0] in (ENQUEUE, PUT_BACK)]
        return free + [Row(name, LOST, (data, FREE), None, undone) for data, undone in come]

    # -- one queue

    def _check_state(self, machine: SlotMachine, name: bytes) -> None:
        state: Any = machine.entities.get((QUEUE, name))
        if state is None:
            return
        if state.getters and (state.fresh or state.returned):
            self._report(37, f"queue {name!r}: {len(state.getters)} wait for an item, and there are some")
        used = len(state.fresh) + len(state.returned) + len(state.reserved)
        if state.putters and (state.maxsize is None or used < state.maxsize):
            self._report(37, f"queue {name!r}: {len(state.putters)} wait for room, and there is some")
        if state.max_deliveries is not None:
            for held in state.reserved.values():
                if held.deliveries > state.max_deliveries:
                    self._report(
                        38, f"queue {name!r}: item {held.number} is delivered {held.deliveries} times"
                    )
        places = [*_places(state)]
        if len(places) != len({number for number, *_ in places}):
            self._report(38, f"queue {name!r}: an item is in two places: {sorted(places)[:20]}")
        for session, seq in (
            *state.reserved, *state.getters, *state.putters, *state.revoked, *state.dismissed,
        ):  # fmt: skip
            if session not in machine.sessions:
                self._report(24, f"queue {name!r} has request {(session, seq)} of a session that is gone")

    def _check_full(self, name: bytes, was: Seen | None, maxsize: int) -> None:
        """Who is refused for want of room is told how much there is, and it was used."""
        if was is None or was.maxsize != maxsize or was.used < maxsize:
            self._report(9, f"queue {name!r}: refused for maxsize = {maxsize}, and it was {was}")

    def _check_end(self, name: bytes, was: Seen | None, now: Seen | None, command: Sequence[Any]) -> None:
        """A queue ends by its destruction alone."""
        if was is None or (now is not None and now.life == was.life):
            return
        if not command or command[0] != DESTROY:
            self._report(36, f"queue {name!r} is gone with {len(was.items)} items, and nobody destroyed it")
        self._destroyed[name] = (was.life, _reserved_in(was))
        self._taken.pop((name, was.life), None)
        self._acked.pop((name, was.life), None)

    def _compare(
        self, name: bytes, was: Seen | None, now: Seen, answers: ReplySink, withdrawn: dict[Key, None]
    ) -> None:
        taken, acked = self._of(name, now)
        same = was if was is not None and was.life == now.life else Seen(now.life, {}, 1, 0, 0)
        self._bytes.setdefault((name, now.life), {}).update(
            {number: row[1] for seen in (same, now) for number, row in seen.items.items()}
        )
        handed: dict[int, Key] = {}
        revived = put_back = 0
        for key, answer in answers.items():
            asked = self._asked_of(key)[1]
            operation = asked[0] if asked else -1
            if answer[0] == OK and type(answer[1]) is bytes:
                handed[answer[2]] = key
            elif operation == ACK and answer[:2] == [OK, True]:
                acked[answer[2]] = None
            elif operation == REQUEUE and answer[0] == OK:
                revived = answer[1]
            elif operation == PUT_BACK and answer == [OK, True]:
                put_back = asked[2]
        self._check_gone(name, same, now, handed, revived)
        for number in [number for number in {**now.items, **handed} if number in taken]:
            key, data = taken.pop(number)
            if number in acked or (key not in withdrawn and number != put_back):
                self._report(39, f"queue {name!r}: item {number} is there again, and {key} had taken it")
            self._moved.append(Row(name, MOVED, (data, _place_of(now, data)), None))
        for number, key in handed.items():
            if number not in now.items:
                taken[number] = key, answers[key][1]
            elif key not in withdrawn:
                self._report(39, f"queue {name!r}: item {number} is still there, and {key} took it")
        self._check_new(name, same, now, handed)
        self._check_moves(name, same, now, handed)
        self._check_order(name, same, now, handed)

    def _of(self, name: bytes, now: Seen) -> tuple[Taken, dict[int, None]]:
        of = (name, now.life)
        return self._taken.setdefault(of, {}), self._acked.setdefault(of, {})

    def _check_gone(self, name: bytes, same: Seen, now: Seen, handed: dict[int, Key], revived: int) -> None:
        acked = self._acked[name, now.life]
        for number, (place, *_) in same.items.items():
            if number in now.items or number in handed or number in acked:
                continue
            if place == DEAD and revived:
                revived -= 1
            else:
                self._report(36, f"queue {name!r}: item {number} is gone, and nobody has it")

    def _check_new(self, name: bytes, same: Seen, now: Seen, handed: dict[int, Key]) -> None:
        """New items are numbered without a gap."""
        expected = same.next
        for number in sorted({**now.items, **handed}):
            if number >= same.next:
                if number != expected:
                    self._report(36, f"queue {name!r}: item {number} came after {expected - 1}")
                expected = number + 1
                if number in now.items and now.used > now.maxsize:
                    self._report(
                        9, f"queue {name!r}: item {number} came into one of {now.maxsize}, which are there"
                    )
        if expected != now.next:
            self._report(
                36, f"queue {name!r}: items up to {now.next - 1} were numbered, {expected - 1} are known"
            )

    def _check_moves(self, name: bytes, same: Seen, now: Seen, handed: dict[int, Key]) -> None:
        for number, (before, data, counted, holder) in same.items.items():
            place, bytes_now, deliveries, holder_now = now.items.get(number, ("", data, counted, None))
            moved_on = place == RESERVED and holder_now != holder
            if bytes_now != data:
                self._report(36, f"queue {name!r}: item {number} has other bytes than it had")
            # More than once in one entry, where that ends what several requests had.
            if deliveries < counted + moved_on or (place == before == FREE and deliveries != counted):
                self._report(
                    38, f"queue {name!r}: delivery {deliveries} of item {number} follows delivery {counted}"
                )
            if place == FREE and before == DEAD:
                self._report(38, f"queue {name!r}: item {number} was dead, and is free as if it had not been")
            if before == RESERVED and (moved_on or place in (FREE, DEAD) or number in handed):
                self._moved.append(Row(name, MOVED, (data, _place_of(now, data)), None))

    def _check_order(self, name: bytes, same: Seen, now: Seen, handed: dict[int, Key]) -> None:
        """Whoever gets an item gets the first that is free: nothing before it was free all the time (37)."""
        given = [*handed] + [
            number
            for number, row in now.items.items()
            if row[0] == RESERVED and (number not in same.items or same.items[number][3] != row[3])
        ]
        given = [number for number in given if same.items.get(number, (FREE,))[0] != DEAD]
        stayed = [
            number
            for number, row in now.items.items()
            if row[0] == FREE and same.items.get(number, ("",))[0] == FREE
        ]
        if given and stayed and min(stayed) < max(given):
            self._report(37, f"queue {name!r}: item {max(given)} was handed out while {min(stayed)} was free")


def _places(state: Any) -> Iterator[tuple[int, str, bytes, int, Key | None]]:
    for at, data in enumerate(state.fresh):
        yield state.next - len(state.fresh) + at, FREE, data, 0, None
    for number, data, deliveries in state.returned:
        yield number, FREE, data, deliveries, None
    for number, (data, deliveries) in state.dead.items():
        yield number, DEAD, data, deliveries, None
    for key, held in state.reserved.items():
        yield held.number, RESERVED, held.data, held.deliveries, key


def _place_of(now: Seen | None, data: bytes) -> str:
    """Where an item went that came back, by its bytes: on from there it may be somebody's already."""
    rows = () if now is None else now.items.values()
    return DEAD if any(row[:2] == (DEAD, data) for row in rows) else FREE


def _row(name: bytes, was: Seen | None, command: Sequence[Any], answer: list[Any]) -> Row:
    operation, value = command[0], answer[1]
    args: tuple[Any, ...] = ()
    if operation in (ENQUEUE, ENQUEUE_AS, PUT):
        args = (command[1],)
    elif operation == RESERVE and value is not None:
        value = answer[2]
    elif operation in (ACK, NACK):
        args = (was.items[answer[2]][1] if was is not None and value else None,)
    return Row(name, _WORDS[operation], args, value)


def _names(machine: SlotMachine) -> list[bytes]:
    """Return the queues that are there or have a record."""
    there = [name for kind, name in machine.entities if kind == QUEUE]
    return list(
        dict.fromkeys(
            [*there, *(key[1:] for kind, key in machine.entities if kind == RECORD and key[0] == QUEUE)]
        )
    )


def _tail(machine: SlotMachine, name: bytes) -> list[Tailed]:
    """Return the changes of a queue of which nobody said that they are on record."""
    record: Record | None = machine.entities.get(record_key((QUEUE, name)))
    if record is None:
        return []
    return [
        (Change(name, record.life, number), change)
        for number, change in enumerate(record.tail, record.mark + 1)
    ]


def _reserved_in(seen: Seen) -> list[int]:
    return [number for number, row in seen.items.items() if row[0] == RESERVED]


def _seen(machine: SlotMachine, name: bytes) -> Seen | None:
    state: Any = machine.entities.get((QUEUE, name))
    if state is None or not state.exists:
        return None
    items = {number: (place, data, count, key) for number, place, data, count, key in _places(state)}
    used = sum(row[0] != DEAD for row in items.values())
    return Seen(state.life, items, state.next, state.maxsize or used, used)
