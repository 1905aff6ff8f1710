"""The general search: right answers on small histories, and fast enough on long ones."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.checks.history.linearizability import linearize, search
from sim.checks.history.models import COUNTER_MODEL, LOCK_MODEL, QUEUE_MODEL, REGISTER_MODEL, SET_MODEL
from sim.history import History, Operation
from sim.kernel.draws import Draws
from tests.sim.checks.histories import Script


def test_an_empty_history_is_linearizable() -> None:
    assert search([], COUNTER_MODEL).is_ok


def test_a_stale_read_is_not() -> None:
    script = Script("k")
    script.add(0, 1, "map.put", {"key": 1, "value": 1})
    script.add(2, 3, "map.put", {"key": 1, "value": 2}, 1)
    script.add(4, 5, "map.get", {"key": 1}, 1)
    (violation,) = linearize(script.operations, REGISTER_MODEL, "k")
    assert violation.number == 1
    assert "longest linearizable prefix has 2 of 3" in violation.text
    assert 2 in violation.operations


def test_concurrent_answers_may_come_in_any_order() -> None:
    script = Script("c")
    script.add(0, 10, "counter.add", {"amount": 2}, 5)
    script.add(1, 9, "counter.add", {"amount": 3}, 3)
    assert not linearize(script.operations, COUNTER_MODEL, "c")


def test_an_unknown_operation_counts_once_late_or_never() -> None:
    for answer, is_ok in ((1, True), (0, True), (2, False)):
        script = Script("c")
        script.unknown(0, "counter.add", {"amount": 1})
        script.add(5, 6, "counter.get", {}, answer)
        assert bool(search(script.operations, COUNTER_MODEL).is_ok) is is_ok
    script.add(8, 9, "counter.get", {}, 1)


def test_a_failed_operation_never_counts() -> None:
    script = Script("c")
    script.failed(0, 3, "counter.add", {"amount": 1})
    script.add(5, 6, "counter.get", {}, 1)
    assert linearize(script.operations, COUNTER_MODEL, "c")


def overlapping_enqueues(count: int, taken: list[int]) -> list[Operation]:
    """Return enqueues that all overlap, some time of peace, and then one dequeue after the other."""
    queue = Script("q")
    for value in range(count):
        queue.add(0, 100, "queue.enqueue", {"value": value})
    for at, value in enumerate(taken):
        queue.add(200 + 2 * at, 201 + 2 * at, "queue.dequeue", {}, value)
    return queue.operations


def test_the_order_of_overlapping_enqueues_is_read_off_what_was_dequeued() -> None:
    operations = overlapping_enqueues(16, list(range(15, -1, -1)))
    assert search(operations, QUEUE_MODEL, budget=1_000).is_ok is True
    assert search(operations, QUEUE_MODEL._replace(order=None), budget=1_000).is_ok is None


def test_a_value_that_was_dequeued_twice_is_no_queue() -> None:
    operations = overlapping_enqueues(4, [2, 1, 2, 3])
    assert search(operations, QUEUE_MODEL).is_ok is False


def test_a_search_that_was_given_up_is_named() -> None:
    undecided: list[str] = []
    operations = overlapping_enqueues(40, list(range(39, -1, -1)))
    assert linearize(operations, QUEUE_MODEL._replace(order=None), "q", undecided, budget=10_000) == []
    assert undecided == ["queue q"]


def test_queue_set_and_lock_models() -> None:
    queue = Script("q")
    queue.add(0, 1, "queue.enqueue", {"value": 1})
    queue.add(2, 3, "queue.enqueue", {"value": 2})
    queue.add(4, 5, "queue.peek", {}, 1)
    queue.add(4, 5, "queue.size", {}, 2)
    assert not linearize(queue.operations, QUEUE_MODEL, "q")
    queue.add(6, 7, "queue.dequeue", {}, 2)
    assert linearize(queue.operations, QUEUE_MODEL, "q")
    members = Script("s")
    members.add(0, 1, "set.add", {"value": 1}, True)
    members.add(2, 3, "set.size", {}, 1)
    assert not linearize(members.operations, SET_MODEL, "s")
    members.add(4, 5, "set.remove", {"value": 1}, False)
    assert linearize(members.operations, SET_MODEL, "s")
    lock = Script("l")
    lock.add(0, 1, "lock.acquire", {}, 5)
    lock.add(2, 3, "lock.try", {}, None)
    lock.add(4, 5, "lock.release", {"token": 5}, True)
    lock.add(6, 7, "lock.acquire", {}, 6)
    assert not linearize(lock.operations, LOCK_MODEL, "l")
    lock.add(8, 9, "lock.acquire", {}, 7)
    assert linearize(lock.operations, LOCK_MODEL, "l")


def test_a_spent_budget_is_undecided() -> None:
    history = _counter_history(50, 5, 1)
    assert search(list(history), COUNTER_MODEL, budget=10).is_ok is None


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_trying_every_order(seed: int) -> None:
    operations = _small_history(seed)
    assert search(operations, REGISTER_MODEL).is_ok is _brute(operations)


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_operations_of_ten_clients_are_decided_quickly(seed: int) -> None:
    history = _counter_history(1000, 10, seed)
    start_s = time.perf_counter()
    assert search(list(history), COUNTER_MODEL).is_ok
    assert time.perf_counter() - start_s < 1.5  # the bar is 0.3 s on an idle machine


def _counter_history(count: int, clients: int, seed: int) -> History:
    """A correct history: each operation takes effect somewhere between its call and its return."""
    draws = Draws(seed)
    free = [0] * clients
    spans = []
    for number in range(count):
        client = draws.below("client", "", number, clients)
        call = free[client] + draws.below("gap", "", number, 5)
        point = call + draws.below("point", "", number, 40)
        back = point + draws.below("back", "", number, 40)
        free[client] = back + 1
        spans.append((point, number, call, back, client))
    value, answers = 0, {}
    for _, number, *_ in sorted(spans):
        value += 1 if draws.below("kind", "", number, 2) else 0
        answers[number] = value
    history = History()
    for _, number, call, back, client in sorted(spans, key=lambda span: span[2]):
        kind = "counter.add" if draws.below("kind", "", number, 2) else "counter.get"
        operation = history.call(f"client-{client}", kind, "c", {"amount": 1}, call)
        history.ok(operation, answers[number], back)
    return history


def _small_history(seed: int) -> list[Operation]:
    draws = Draws(seed)
    script = Script("k")
    for number in range(draws.between("count", "", 0, 1, 6)):
        call = draws.below("call", "", number, 8)
        back = call + 1 + draws.below("length", "", number, 6)
        seen = draws.choice("seen", "", number, (None, 10, 11, 12))
        if draws.below("kind", "", number, 2):
            script.add(call, back, "map.put", {"key": 1, "value": 10 + number % 3}, seen)
        else:
            script.add(call, back, "map.get", {"key": 1}, seen)
    return script.operations


def _brute(operations: list[Operation]) -> bool:
    for order in itertools.permutations(operations):
        state = REGISTER_MODEL.initial
        for position, operation in enumerate(order):
            # A return at the time of a call precedes it; an operation without duration is concurrent to both.
            if any(
                later.end_ns <= operation.call_ns and later.call_ns < operation.call_ns
                for later in order[position + 1 :]
            ):
                break
            after = REGISTER_MODEL.step(state, operation)
            if after is None:
                break
            state = after
        else:
            return True
    return False
