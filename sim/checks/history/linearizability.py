"""Is a history linearizable? Wing and Gong's search, just in time and with a memo, made to decide.

Sources: J. Wing, C. Gong, "Testing and Verifying Concurrent Objects" (1993); G. Lowe, "Testing for Linearizability"
(2017). Calls and returns form one list in order of time. An operation may come next if it was called before the
first return in the list, and if the model allows its answer; then both of its ends leave the list. When none fits,
the last choice is undone.

Most orders need not be tried, because another one is as good. What is left out, and why nothing is missed:

- An answered operation that changes nothing wherever it fits is taken as soon as it does: wherever else an order has
  it, it could stand here.
- Operations that are alike, answer included, come in the order of their calls, unless one lies within the other: they
  can change places. Those of unknown outcome never return, so none lies within another.
- One of unknown outcome may always be left out. So a place that was visited with the same answered operations behind
  it, in the same state, and with no other open ones used, explains all that this one could.
- One of unknown outcome is used as late as it can be. An answered operation does not follow it if, put before it, it
  gets the same answer and leads to the same state.

For the last two: take, of all places that were visited and from which an order leads on, one with the fewest answered
operations left, then the fewest open ones before the next answered one, then the fewest open ones used. Whatever is
left out there leads, through something visited, to a smaller one; so there is none, or the search found it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from ...history import Operation
from ..violation import Violation

__all__ = ["BUDGET", "IsEnough", "Model", "SearchEnd", "State", "linearize", "search"]

BUDGET = 500_000
"""Steps of the model after which a search gives up; an undecided history is never called a violation."""

State = Hashable
Step = Callable[[State, Operation], State | None]
"""The state after an operation with the answer it got; None if it cannot have got it. Open answers fit anything."""

Order = Callable[[Sequence[Operation]], Mapping[int, Sequence[int]]]
"""By the number of an operation, those that must come before it: what a look at the whole history tells."""


IsEnough = Callable[[State, int, int], bool]
"""Whether, from a state and with the operations of these bits done, so many more open ones may explain the rest."""


def _literally(operation: Operation) -> Hashable:
    return (operation.kind, tuple(operation.args.items()))


class Model(NamedTuple):
    """What an entity does, sequentially. States are hashable and never None.

    Of two operations that are `alike` the model makes no difference, if they got the same answer.
    """

    name: str
    initial: State
    step: Step
    order: Order | None = None
    alike: Callable[[Operation], Hashable] = _literally
    is_enough: Callable[[Sequence[Operation]], IsEnough] | None = None


class SearchEnd(NamedTuple):
    """How a search ended: `is_ok` None means undecided. `prefix` is the longest order that was found."""

    is_ok: bool | None
    prefix: Sequence[Operation]
    stuck: Operation | None
    steps: int = 0


def linearize(
    operations: Sequence[Operation],
    model: Model,
    entity: str,
    undecided: list[str] | None = None,
    budget: int = BUDGET,
) -> list[Violation]:
    """Return a violation if no order of the operations of one entity explains their answers.

    An entity whose search ran out of budget is no violation; its name goes into `undecided`.
    """
    end = search(operations, model, budget)
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
    if model.is_enough is None:
        return _Search(possible, model, budget).run()
    end = _Search(possible, model, budget // 25).run()
    return end if end.is_ok is not None else _deepen(possible, model, model.is_enough(possible), budget)


def _deepen(operations: Sequence[Operation], model: Model, is_enough: IsEnough, budget: int) -> SearchEnd:
    """Search with as few open operations as possible, then with one more, until it ends."""
    most = sum(not operation.is_ok for operation in operations)
    end = SearchEnd(None, [], None)
    for limit in range(most + 1):
        end = _Search(operations, model, budget, is_enough, limit).run()
        budget -= end.steps
        if end.is_ok is not False:
            return end
    return end._replace(is_ok=False)


_DEAR = 8
"""Steps that a look at all that is not done counts as."""
_LOOKS = (
    "counter.get", "map.get", "map.contains", "set.contains", "set.size", "queue.peek", "queue.size", "fence.read",
)  # fmt: skip
_NOTHING = Operation(-1, "", "", "", {}, -1)


class _Event:
    """One end of an operation in the doubly linked list; of an open operation the call alone, outside of it."""

    __slots__ = ("at", "bit", "is_call", "match", "needs", "next", "operation", "previous")

    def __init__(self, operation: Operation, bit: int, is_call: bool) -> None:
        self.operation = operation
        self.bit = bit
        self.is_call = is_call
        self.at = 0
        self.needs = 0
        """Bits of the operations that must come before."""
        self.match: _Event = self
        self.previous: _Event = self
        self.next: _Event | None = None


class _Place(NamedTuple):
    """Where the search stands."""

    state: State
    done: int
    rest: list[tuple[_Event, State]]
    """What may come next, and the states after it; the best is the last one."""
    step: _Event | None
    """What led here."""


class _Search:
    """One search; the fields are what the loop changes."""

    __slots__ = (
        "_answered",
        "_best",
        "_budget",
        "_head",
        "_is_enough",
        "_left",
        "_limit",
        "_model",
        "_open",
        "_path",
        "_seen",
        "_stuck",
    )

    def __init__(
        self,
        operations: Sequence[Operation],
        model: Model,
        budget: int,
        is_enough: IsEnough | None = None,
        limit: int = 0,
    ) -> None:
        events = _events(operations)
        calls = [event for event in events if event.is_call]
        _constrain(calls, model.order(operations) if model.order else {}, model.alike)
        answered = [event for event in calls if event.match is not event]
        self._model = model
        self._budget = budget
        self._is_enough = is_enough
        self._limit = limit
        """How many open operations may be used, where `is_enough` tells what they explain."""
        self._open = [event for event in calls if event.match is event]
        self._answered = sum(event.bit for event in answered)
        self._left = len(answered)
        self._head = _linked(events)
        self._path: list[_Place] = []
        self._seen: dict[tuple[int, State], list[int]] = {}
        """By answered operations and state: the open ones that were used, smallest sets only."""
        self._best: list[Operation] = []
        self._stuck: Operation | None = None

    def run(self) -> SearchEnd:
        """Search until an order is found, none is left, or the budget is spent."""
        budget = self._budget
        self._enter(self._model.initial, 0, None)
        while self._left:
            if self._budget < 0:
                return SearchEnd(None, self._best, self._stuck, budget - self._budget)
            place = self._path[-1]
            if place.rest:
                event, after = place.rest.pop()
                if self._is_new(place.done | event.bit, after):
                    self._lift(event)
                    self._enter(after, place.done | event.bit, event)
            else:
                self._leave()
                if not self._path:
                    return SearchEnd(False, self._best, self._stuck, budget - self._budget)
        return SearchEnd(True, self._order(), None, budget - self._budget)

    def _is_new(self, done: int, state: State) -> bool:
        answered = done & self._answered
        used = done ^ answered
        if self._is_enough is not None:
            self._budget -= _DEAR
            if not self._is_enough(state, done, self._limit - used.bit_count()):
                return False
        known = self._seen.setdefault((answered, state), [])
        if any(sets & ~used == 0 for sets in known):
            return False
        known[:] = [sets for sets in known if used & ~sets]
        known.append(used)
        return True

    def _order(self) -> list[Operation]:
        return [place.step.operation for place in self._path if place.step is not None]

    # -- places

    def _enter(self, state: State, done: int, step: _Event | None) -> None:
        """Collect what may come next: the one that changes nothing, or all that fit, the first to return first."""
        fitting: list[tuple[_Event, State]] = []
        self._path.append(_Place(state, done, fitting, step))
        event = self._head.next
        while event is not None and event.is_call:
            if event.needs & done == event.needs:
                self._budget -= 1
                after = self._model.step(state, event.operation)
                if after is not None:
                    if after == state and _is_look(event.operation):
                        fitting[:] = [] if self._may_wait(event, after) else [(event, after)]
                        return
                    fitting.append((event, after))
            event = event.next
        fitting[:] = [pair for pair in fitting if not self._may_wait(*pair)]
        fitting.sort(key=lambda pair: -pair[0].match.at)
        if event is not None:
            fitting[:0] = self._opened(state, done, event.at)
        if not fitting:
            self._remember(event)

    def _opened(self, state: State, done: int, last_at: int) -> list[tuple[_Event, State]]:
        """Return the open operations that may come next, the first called last."""
        found: list[tuple[_Event, State]] = []
        for event in self._open:
            if event.at > last_at:
                break
            if not event.bit & done and event.needs & done == event.needs:
                self._budget -= 1
                after = self._model.step(state, event.operation)
                if after is not None and after != state:
                    found.append((event, after))
        found.reverse()
        return found

    def _may_wait(self, answered: _Event, after: State) -> bool:
        """Whether one of the open operations just before could as well come after this one."""
        step = self._model.step
        between = [answered]
        for at in range(len(self._path) - 1, 0, -1):
            opened = self._path[at].step
            if opened is None or opened.match is not opened:
                return False
            if not any(event.needs & opened.bit for event in between):
                state: State | None = self._path[at - 1].state
                for event in (*between, opened):
                    self._budget -= 1
                    state = None if state is None else step(state, event.operation)
                if state == after:
                    return True
            between.insert(0, opened)
        return False

    def _leave(self) -> None:
        step = self._path.pop().step
        if step is not None and step.match is not step:
            self._left += 1
            _mend(step.match)
            _mend(step)

    def _lift(self, call: _Event) -> None:
        if call.match is not call:
            self._left -= 1
            _cut(call)
            _cut(call.match)

    def _remember(self, event: _Event | None) -> None:
        if len(self._path) > len(self._best):
            self._best = self._order()
            self._stuck = None if event is None else event.operation


def _is_look(operation: Operation) -> bool:
    """Whether its answer says that it changed nothing."""
    kind, value = operation.kind, operation.value
    return kind in _LOOKS or value is False or (value is None and kind in ("queue.dequeue", "lock.try"))


def _events(operations: Sequence[Operation]) -> list[_Event]:
    """Return calls and returns in order of time. A return at the time of a call comes first."""
    events: list[tuple[int, int, int, _Event]] = []
    for order, operation in enumerate(operations):
        call = _Event(operation, 1 << order, True)
        events.append((operation.call_ns, 1, order, call))
        if operation.is_ok and operation.return_ns is not None:
            back = _Event(operation, 1 << order, False)
            call.match, back.match = back, call
            # An operation that took no time still was called before it returned.
            is_instant = operation.return_ns == operation.call_ns
            events.append((operation.return_ns, 2 if is_instant else 0, order, back))
    events.sort(key=lambda event: event[:3])
    for at, (*_, event) in enumerate(events):
        event.at = at
    return [event for *_, event in events]


def _constrain(
    calls: Sequence[_Event], before: Mapping[int, Sequence[int]], alike: Callable[[Operation], Hashable]
) -> None:
    """Note what each operation has to wait for besides real time."""
    bits = {call.operation.number: call.bit for call in calls}
    latest: dict[Hashable, _Event] = {}
    for call in calls:
        operation = call.operation
        for number in before.get(operation.number, ()):
            call.needs |= bits[number]
        key = (alike(operation), operation.value, call.match is call)
        earlier = latest.get(key)
        # The numbers of those that open ones wait for differ; that of an answered one is its return.
        if earlier is None or earlier.match.at < call.match.at:
            latest[key] = call
            if earlier is not None:
                call.needs |= earlier.bit


def _linked(events: Sequence[_Event]) -> _Event:
    """Return the head of the list of all ends of answered operations."""
    head = last = _Event(_NOTHING, 0, False)
    for event in events:
        if event.match is not event:
            last.next = event
            event.previous = last
            last = event
    return head


def _cut(event: _Event) -> None:
    event.previous.next = event.next
    if event.next is not None:
        event.next.previous = event.previous


def _mend(event: _Event) -> None:
    event.previous.next = event
    if event.next is not None:
        event.next.previous = event
