"""Is a history linearizable? Wing and Gong's search in Lowe's form: just-in-time, with a memo, entity by entity.

Sources: J. Wing, C. Gong, "Testing and Verifying Concurrent Objects" (1993); G. Lowe, "Testing for Linearizability"
(2017). Calls and returns form one list in order of time. An operation may come next if it was called before the
first return in the list, and if the model allows its answer; then both of its ends leave the list. When none fits,
the last choice is undone. A set of operations that was tried before with the same state is never tried again.
Operations of unknown outcome are tried after all others: most of them explain nothing, and may be left out for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from ..history import Operation
from .violation import Violation

__all__ = ["BUDGET", "Model", "SearchEnd", "linearize", "search"]

BUDGET = 500_000
"""Steps after which a search gives up; an undecided history is never called a violation."""

State = Hashable
Step = Callable[[State, Operation], State | None]
"""The state after an operation with the answer it got; None if it cannot have got it. Open answers fit anything."""


Order = Callable[[Sequence[Operation]], Mapping[int, Sequence[int]]]
"""By the number of an operation, those that must come before it: what a look at the whole history tells."""


class Model(NamedTuple):
    """What an entity does, sequentially. States are hashable and never None."""

    name: str
    initial: State
    step: Step
    order: Order | None = None


class SearchEnd(NamedTuple):
    """How a search ended: `is_ok` None means undecided. `prefix` is the longest order that was found."""

    is_ok: bool | None
    prefix: Sequence[Operation]
    stuck: Operation | None


class _Event:
    """One end of an operation in the doubly linked list."""

    __slots__ = ("bit", "is_call", "match", "needs", "next", "operation", "previous")

    def __init__(self, operation: Operation | None, bit: int, is_call: bool) -> None:
        self.operation = operation
        self.bit = bit
        self.is_call = is_call
        self.needs = 0
        self.match: _Event | None = None
        self.previous: _Event = self
        self.next: _Event | None = None


def linearize(
    operations: Sequence[Operation], model: Model, entity: str, undecided: list[str] | None = None
) -> list[Violation]:
    """Return a violation if no order of the operations of one entity explains their answers.

    An entity whose search ran out of budget is no violation; its name goes into `undecided`.
    """
    end = search(operations, model)
    if end.is_ok is None and undecided is not None:
        undecided.append(f"{model.name} {entity}")
    if end.is_ok is not False:
        return []
    tail = " -> ".join(f"#{operation.number}" for operation in end.prefix[-6:])
    stuck = f"; then nothing explains {end.stuck}" if end.stuck is not None else ""
    text = f"the longest linearizable prefix has {len(end.prefix)} of {len(operations)} operations ({tail}){stuck}"
    numbers = [operation.number for operation in end.prefix[-6:]]
    if end.stuck is not None:
        numbers.append(end.stuck.number)
    return [Violation(1, f"{model.name} {entity}", text, numbers)]


def search(operations: Sequence[Operation], model: Model, budget: int = BUDGET) -> SearchEnd:
    """Look for an order of one entity's operations that the model and real time allow."""
    possible = [operation for operation in operations if operation.is_possible]
    head, pending = _linked(possible, model.order(possible) if model.order else {})
    return _Search(head, pending, model).run(budget)


def _linked(operations: Sequence[Operation], before: Mapping[int, Sequence[int]]) -> tuple[_Event, int]:
    """Return the list's head and the number of returns in it. A return at the time of a call comes first."""
    events: list[tuple[int, int, int, _Event]] = []
    pending = 0
    bits = {operation.number: 1 << order for order, operation in enumerate(operations)}
    for order, operation in enumerate(operations):
        call = _Event(operation, 1 << order, True)
        for number in before.get(operation.number, ()):
            call.needs |= bits[number]
        events.append((operation.call_ns, 1, order, call))
        if operation.is_ok and operation.return_ns is not None:
            back = _Event(operation, 1 << order, False)
            call.match = back
            # An operation that took no time still was called before it returned.
            is_instant = operation.return_ns == operation.call_ns
            events.append((operation.return_ns, 2 if is_instant else 0, order, back))
            pending += 1
    events.sort(key=lambda event: event[:3])
    head = last = _Event(None, 0, False)
    for *_, event in events:
        last.next = event
        event.previous = last
        last = event
    return head, pending


class _Search:
    """One search; the fields are what the loop changes."""

    __slots__ = ("_best", "_head", "_model", "_pending", "_seen", "_stack", "_stuck")

    def __init__(self, head: _Event, pending: int, model: Model) -> None:
        self._head = head
        self._pending = pending
        self._model = model
        self._stack: list[tuple[_Event, State]] = []
        self._seen: dict[tuple[int, State], None] = {}
        self._best: list[Operation] = []
        self._stuck: Operation | None = None

    def run(self, budget: int) -> SearchEnd:
        """Search until an order is found, none is left, or the budget is spent."""
        step, seen = self._model.step, self._seen
        state = self._model.initial
        done = 0
        event = self._head.next
        tries_open = False
        while self._pending:
            budget -= 1
            if budget < 0:
                return SearchEnd(None, self._best, self._stuck)
            if event is not None and event.is_call:
                assert event.operation is not None
                is_next = (event.match is None) is tries_open and event.needs & done == event.needs
                after = step(state, event.operation) if is_next else None
                if after is not None and (key := (done | event.bit, after)) not in seen:
                    seen[key] = None
                    self._stack.append((event, state))
                    state, done = after, done | event.bit
                    self._lift(event)
                    event, tries_open = self._head.next, False
                else:
                    event = event.next
            elif not tries_open:
                event, tries_open = self._head.next, True
            else:
                self._remember(event)
                if not self._stack:
                    return SearchEnd(False, self._best, self._stuck)
                undone, state = self._stack.pop()
                done &= ~undone.bit
                self._unlift(undone)
                event, tries_open = undone.next, undone.match is None
        return SearchEnd(
            True, [call.operation for call, _ in self._stack if call.operation is not None], None
        )

    def _remember(self, event: _Event | None) -> None:
        if len(self._stack) >= len(self._best):
            self._best = [call.operation for call, _ in self._stack if call.operation is not None]
            self._stuck = None if event is None else event.operation

    def _lift(self, call: _Event) -> None:
        self._cut(call)
        if call.match is not None:
            self._pending -= 1
            self._cut(call.match)

    def _unlift(self, call: _Event) -> None:
        if call.match is not None:
            self._pending += 1
            self._mend(call.match)
        self._mend(call)

    @staticmethod
    def _cut(event: _Event) -> None:
        event.previous.next = event.next
        if event.next is not None:
            event.next.previous = event.previous

    @staticmethod
    def _mend(event: _Event) -> None:
        event.previous.next = event
        if event.next is not None:
            event.next.previous = event
