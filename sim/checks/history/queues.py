"""Queues, from what their clients saw: nothing lost, nothing doubled, nothing out of order. Values are unique."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import cast

from ...history import FOREVER_NS, Operation, Value
from ..violation import Violation
from .intervals import RunningMaximum

__all__ = ["check_queue"]


def check_queue(name: str, operations: Sequence[Operation]) -> list[Violation]:
    """Check multisets (36), order (37), single delivery (39), and answers of an empty queue (1). Items of a queue that
    may have been destroyed need not come out.

    An operation ``queue.drained`` (recorded by whoever emptied the queue at the end) says that nothing is left.
    """
    return _Items(name, operations).check()


def _may_destroy(operation: Operation) -> bool:
    """Whether items may be gone with their queue; the general search tells when that explains an answer."""
    return operation.kind == "queue.destroy" and operation.is_possible and operation.value is not False


_PUTTING = ("queue.enqueue", "queue.put")
_TAKING = ("queue.dequeue", "queue.get", "queue.dead")
_DELIVERING = ("queue.dequeue", "queue.get", "queue.reserve")


def _overlap(one: Operation, other: Operation) -> bool:
    """Whether there was an instant at which both were sure to hold."""
    starts, ends = (one.return_ns, other.return_ns), (one.until_ns, other.until_ns)
    return max(start or FOREVER_NS for start in starts) < min(end or 0 for end in ends)


class _Items:
    """Who enqueued each value, who had it first, and who took it for good."""

    def __init__(self, name: str, operations: Sequence[Operation]) -> None:
        self._subject = f"queue {name}"
        self._operations = operations
        self._put = {one.args["value"]: one for one in operations if one.kind in _PUTTING and one.is_possible}
        self._got: dict[object, Operation] = {}
        self._first: dict[object, Operation] = {}
        """The first delivery of each value that anybody saw."""
        self._doubtful = [
            one
            for one in operations
            if one.kind in (*_TAKING, *_DELIVERING) and one.is_possible and not one.is_ok
        ]
        """Calls that may have had an item: for good, or until it was put back."""
        self._acks = {
            one.args["value"]: one
            for one in operations
            if one.kind == "queue.ack" and one.is_possible and not one.is_ok
        }
        self._reserved = [
            one for one in operations if one.kind == "queue.reserve" and one.is_ok and one.value is not None
        ]
        self._found: list[Violation] = []

    def check(self) -> list[Violation]:
        """Run all checks."""
        for operation in self._operations:
            self._look(operation)
        self._check_order()
        self._check_reservations()
        if not any(_may_destroy(operation) for operation in self._operations):
            self._check_empty()
            self._check_drained()
        return self._found

    def _look(self, operation: Operation) -> None:
        if not operation.is_ok or operation.value is None:
            return
        if operation.kind in (*_DELIVERING, "queue.peek", "queue.dead"):
            self._take(operation)
        elif operation.kind == "queue.ack" and operation.value is True:
            self._end(operation.args["value"], operation)

    def _report(self, number: int, text: str, *operations: Operation) -> None:
        self._found.append(Violation(number, self._subject, text, [one.number for one in operations]))

    def _take(self, operation: Operation) -> None:
        value = operation.value
        source = self._put.get(value)
        if source is None or source.call_ns > operation.end_ns:
            self._report(36, f"#{operation.number} got {value!r}, which nobody had enqueued", operation)
            return
        if operation.kind in _DELIVERING and value not in self._first:
            self._first[value] = operation
        if operation.kind in _TAKING:
            self._end(value, operation)

    def _end(self, value: object, operation: Operation) -> None:
        """Somebody had a value last."""
        if value in self._got:
            first = self._got[value]
            self._report(39, f"#{first.number} and #{operation.number} both got {value!r}", first, operation)
        self._got[value] = operation

    def _check_reservations(self) -> None:
        """While somebody is sure to have an item reserved nobody else gets it (38)."""
        by_value: dict[object, list[Operation]] = {}
        for one in self._operations:
            if one.kind in _DELIVERING and one.is_ok and one.value is not None:
                by_value.setdefault(one.value, []).append(one)
        for held in self._reserved:
            if held.until_ns is None or held.return_ns is None:
                continue
            for other in by_value[held.value]:
                if other is not held and held.return_ns < other.call_ns and other.end_ns < held.until_ns:
                    text = f"#{other.number} got {held.value!r}, while #{held.number} was sure to have it reserved"
                    self._report(38, text, held, other)
        for one, other in combinations(self._reserved, 2):
            if one.value == other.value and _overlap(one, other):
                text = (
                    f"#{one.number} and #{other.number} were sure to have {one.value!r} reserved at one time"
                )
                self._report(38, text, one, other)

    def _taken_at(self, value: object) -> int:
        """When the value can have left the queue at the earliest."""
        taken = self._got.get(value)
        return FOREVER_NS if taken is None else taken.call_ns

    def _first_at(self, value: object) -> int:
        """When the value can have been delivered for the first time at the earliest."""
        first = self._first.get(value)
        return FOREVER_NS if first is None else first.call_ns

    def _check_order(self) -> None:
        """Whoever was certainly enqueued earlier is not certainly delivered later.

        Unless somebody may have had it in between, of whom nobody heard: then it was put back meanwhile.
        """
        known = [one for one in self._put.values() if one.is_ok and one.args["value"] in self._first]
        leaves = RunningMaximum((one.end_ns, self._first_at(one.args["value"]), one.number) for one in known)
        by_number = {one.number: one for one in known}
        doubtful_ns = min((one.call_ns for one in self._doubtful), default=FOREVER_NS)
        for value, first in self._first.items():
            source = self._put.get(cast("Value", value))
            earlier = None if source is None else leaves.before(source.call_ns)
            if earlier is not None and first.end_ns < min(earlier[0], doubtful_ns):
                sooner = by_number[earlier[1]]
                text = f"#{first.number} got {value!r} before {sooner.args['value']!r}, which was enqueued earlier"
                self._report(37, text, sooner, first)

    def _check_empty(self) -> None:
        """An empty answer needs an instant at which everything that certainly was there can be gone."""
        for operation in self._operations:
            is_empty = (
                operation.kind in ("queue.dequeue", "queue.peek", "queue.reserve")
                and operation.is_ok
                and operation.value is None
            )
            if is_empty:
                self._explain_empty(operation)

    def _explain_empty(self, operation: Operation) -> None:
        inside = [one for one in self._put.values() if one.is_ok and one.end_ns < operation.call_ns]
        staying = [one for one in inside if self._taken_at(one.args["value"]) > operation.end_ns]
        # Who reserved it before, or may have, explains one item: it may be reserved still, or dead.
        reserved = {one.value for one in self._reserved if one.call_ns < operation.end_ns}
        free = [one for one in staying if one.args["value"] not in reserved]
        excuses = sum(one.call_ns < operation.end_ns for one in self._doubtful)
        if len(free) > excuses:
            text = f"#{operation.number} found it empty, but {len(free)} items were certainly in it"
            self._report(1, text, operation, *free[:3])

    def _check_drained(self) -> None:
        if not any(one.kind == "queue.drained" and one.is_ok for one in self._operations):
            return
        gone = [one for one in self._put.values() if one.is_ok and one.args["value"] not in self._got]
        lost = [one for one in gone if one.args["value"] not in self._acks]
        doubtful = [one for one in self._doubtful if one.kind in _TAKING]
        if len(lost) > len(doubtful):
            names = [one.args["value"] for one in lost[:5]]
            text = (
                f"{len(lost)} acknowledged items are gone ({names} ...), {len(doubtful)} takes are in doubt"
            )
            self._report(36, text, *lost[:5])
