"""Queues, from what their clients saw: nothing lost, nothing doubled, nothing out of order. Values are unique."""

from __future__ import annotations

from collections.abc import Sequence
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


class _Items:
    """Who enqueued and who dequeued each value."""

    def __init__(self, name: str, operations: Sequence[Operation]) -> None:
        self._subject = f"queue {name}"
        self._operations = operations
        self._put = {
            one.args["value"]: one for one in operations if one.kind == "queue.enqueue" and one.is_possible
        }
        self._got: dict[object, Operation] = {}
        self._doubtful = [
            one for one in operations if one.kind == "queue.dequeue" and one.is_possible and not one.is_ok
        ]
        self._found: list[Violation] = []

    def check(self) -> list[Violation]:
        """Run all checks."""
        for operation in self._operations:
            if (
                operation.kind in ("queue.dequeue", "queue.peek")
                and operation.is_ok
                and operation.value is not None
            ):
                self._take(operation)
        self._check_order()
        if not any(_may_destroy(operation) for operation in self._operations):
            self._check_empty()
            self._check_drained()
        return self._found

    def _report(self, number: int, text: str, *operations: Operation) -> None:
        self._found.append(Violation(number, self._subject, text, [one.number for one in operations]))

    def _take(self, operation: Operation) -> None:
        value = operation.value
        source = self._put.get(value)
        if source is None or source.call_ns > operation.end_ns:
            self._report(36, f"#{operation.number} got {value!r}, which nobody had enqueued", operation)
        elif operation.kind == "queue.dequeue":
            if value in self._got:
                first = self._got[value]
                self._report(
                    39, f"#{first.number} and #{operation.number} both got {value!r}", first, operation
                )
            self._got[value] = operation

    def _taken_at(self, value: object) -> int:
        """When the value can have left the queue at the earliest."""
        taken = self._got.get(value)
        return FOREVER_NS if taken is None else taken.call_ns

    def _check_order(self) -> None:
        """Whoever was certainly enqueued earlier is not certainly dequeued later."""
        known = [one for one in self._put.values() if one.is_ok and one.args["value"] in self._got]
        leaves = RunningMaximum((one.end_ns, self._taken_at(one.args["value"]), one.number) for one in known)
        by_number = {one.number: one for one in known}
        for value, taken in self._got.items():
            source = self._put.get(cast("Value", value))
            earlier = None if source is None else leaves.before(source.call_ns)
            if earlier is not None and taken.end_ns < earlier[0]:
                first = by_number[earlier[1]]
                text = f"#{taken.number} got {value!r} before {first.args['value']!r}, which was enqueued earlier"
                self._report(37, text, first, taken)

    def _check_empty(self) -> None:
        """An empty answer needs an instant at which everything that certainly was there can be gone."""
        for operation in self._operations:
            is_empty = (
                operation.kind in ("queue.dequeue", "queue.peek")
                and operation.is_ok
                and operation.value is None
            )
            if is_empty:
                self._explain_empty(operation)

    def _explain_empty(self, operation: Operation) -> None:
        inside = [one for one in self._put.values() if one.is_ok and one.end_ns < operation.call_ns]
        staying = [one for one in inside if self._taken_at(one.args["value"]) > operation.end_ns]
        # A dequeue of unknown outcome explains one item that nobody else got.
        lost = [one for one in staying if one.args["value"] not in self._got]
        kept = len(staying) - len(lost)
        excuses = sum(one.call_ns < operation.end_ns for one in self._doubtful)
        if kept or len(lost) > excuses:
            text = f"#{operation.number} found it empty, but {len(staying)} items were certainly in it"
            self._report(1, text, operation, *staying[:3])

    def _check_drained(self) -> None:
        if not any(one.kind == "queue.drained" and one.is_ok for one in self._operations):
            return
        lost = [one for one in self._put.values() if one.is_ok and one.args["value"] not in self._got]
        if len(lost) > len(self._doubtful):
            names = [one.args["value"] for one in lost[:5]]
            text = f"{len(lost)} acknowledged items are gone ({names} ...), {len(self._doubtful)} dequeues are in doubt"
            self._report(36, text, *lost[:5])
