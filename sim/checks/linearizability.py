"""A general linearizability checker: the search of Wing and Gong with the memo of Lowe, entity by entity.

Sources: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993); Lowe, "Testing for linearizability" (2017).
An operation of unknown outcome has no return: it may be placed anywhere after its call, or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from ..history import UNKNOWN, Record

__all__ = ["Model", "Verdict", "linearizable"]


class Model(NamedTuple):
    """What an entity does: `step(state, action, args)` gives the next state and the result."""

    initial: Hashable
    step: Callable[[Any, str, tuple[Any, ...]], tuple[Hashable, Any]]


class Verdict(NamedTuple):
    """Whether a history is linearizable; `prefix` is the longest order found that explains it."""

    is_linearizable: bool
    prefix: tuple[Record, ...]
    is_complete: bool


class _Node:
    """One end of an operation in a doubly linked list of calls and returns."""

    __slots__ = ("index", "is_call", "match", "next", "previous", "record")

    def __init__(self, record: Record, index: int, is_call: bool) -> None:
        self.record = record
        self.index = index
        self.is_call = is_call
        self.match: _Node | None = None
        self.next: _Node | None = None
        self.previous: _Node | None = None


def _linked(records: Sequence[Record]) -> _Node:
    """Return the head of a list of calls and returns in order of time; a return precedes a call at the same time."""
    ends: list[tuple[float, int, int, _Node]] = []
    for index, record in enumerate(records):
        call, back = _Node(record, index, True), _Node(record, index, False)
        call.match = back
        ends.append((record.call_ns, 1, index, call))
        ends.append((float("inf") if record.return_ns is None else record.return_ns, 0, index, back))
    ends.sort(key=lambda end: end[:3])
    head = last = _Node(records[0], -1, False)
    for *_, node in ends:
        last.next, node.previous = node, last
        last = node
    return head


def _lift(call: _Node) -> None:
    for node in (call, call.match):
        assert node is not None and node.previous is not None
        node.previous.next = node.next
        if node.next is not None:
            node.next.previous = node.previous


def _unlift(call: _Node) -> None:
    for node in (call.match, call):
        assert node is not None and node.previous is not None
        node.previous.next = node
        if node.next is not None:
            node.next.previous = node


def linearizable(records: Sequence[Record], model: Model, *, max_steps: int = 2_000_000) -> Verdict:
    """Search for an order of the operations that the model explains.

    Parameters
    ----------
    records
        The operations on one entity; failed ones are left out by the caller.
    model
        What the entity does.
    max_steps
        Where the search gives up; `Verdict.is_complete` is then False.
    """
    if not records:
        return Verdict(True, (), True)
    return _Search(records, model).run(max_steps)


class _Search:
    def __init__(self, records: Sequence[Record], model: Model) -> None:
        self._head = _linked(records)
        self._model = model
        self._records = records
        self._needed = sum(record.status != UNKNOWN for record in records)
        self._seen: dict[tuple[int, Hashable], None] = {}
        self._stack: list[tuple[_Node, Hashable]] = []
        self._best: tuple[Record, ...] = ()

    def run(self, max_steps: int) -> Verdict:
        state: Hashable = self._model.initial
        done, known = 0, 0
        node = self._head.next
        for _ in range(max_steps):
            if known == self._needed:
                return Verdict(True, tuple(call.record for call, _ in self._stack), True)
            if node is not None and node.is_call:
                result = self._place(node, state, done)
                if result is None:
                    node = node.next
                    continue
                self._stack.append((node, state))
                state, done = result, done | 1 << node.index
                known += node.record.status != UNKNOWN
                _lift(node)
                node = self._head.next
                continue
            # A return (or the end): whatever precedes it has to be placed differently.
            if len(self._stack) > len(self._best):
                self._best = tuple(call.record for call, _ in self._stack)
            if not self._stack:
                return Verdict(False, self._best, True)
            call, state = self._stack.pop()
            done &= ~(1 << call.index)
            known -= call.record.status != UNKNOWN
            _unlift(call)
            node = call.next
        return Verdict(True, self._best, False)

    def _place(self, node: _Node, state: Hashable, done: int) -> Hashable | None:
        record = node.record
        after, result = self._model.step(state, record.action, record.args)
        if record.status != UNKNOWN and result != record.result:
            return None
        key = (done | 1 << node.index, after)
        if key in self._seen:
            return None
        self._seen[key] = None
        return after
