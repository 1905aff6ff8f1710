"""Each near-linear checker: histories that are right, and each one broken in one place."""

from __future__ import annotations

import pytest

from sim.checks.history.barriers import check_barrier
from sim.checks.history.check import check_history
from sim.checks.history.counters import check_counter
from sim.checks.history.locks import check_fence, check_lock, check_semaphore
from sim.checks.history.queues import check_queue
from sim.checks.history.registers import check_register
from sim.checks.violation import Violation
from sim.history import Value
from tests.sim.checks.histories import Script


def numbers(found: list[Violation]) -> list[int]:
    return sorted({violation.number for violation in found})


# -- locks


def _two_holders() -> Script:
    script = Script("l")
    first = script.add(0, 2, "lock.acquire", {}, 10, until=9)
    script.add(10, 12, "lock.release", {"token": 10, "grant": first.number}, True)
    second = script.add(1, 13, "lock.acquire", {}, 11, until=19)
    script.add(20, 21, "lock.release", {"token": 11, "grant": second.number}, True)
    return script


def test_a_proper_lock_history() -> None:
    script = _two_holders()
    script.failed(3, 5, "lock.acquire", {})
    script.unknown(4, "lock.acquire", {})
    script.add(14, 15, "lock.try", {}, None)
    assert not check_lock("l", script.operations)


def test_two_sure_holders_at_once() -> None:
    script = _two_holders()
    script.add(14, 16, "lock.acquire", {}, 12, until=18)
    assert 23 in numbers(check_lock("l", script.operations))


def test_holds_that_touch_do_not_overlap() -> None:
    script = Script("l")
    script.add(0, 2, "lock.acquire", {}, 1, until=9)
    script.add(1, 9, "lock.acquire", {}, 2, until=12)
    assert not check_lock("l", script.operations)


def test_a_token_is_given_once() -> None:
    script = _two_holders()
    script.add(30, 31, "lock.acquire", {}, 11, until=33)
    assert numbers(check_lock("l", script.operations)) == [21]


def test_tokens_grow_even_when_nobody_is_sure_to_hold() -> None:
    script = Script("l")
    script.add(0, 2, "lock.acquire", {}, 10)
    script.add(3, 4, "lock.acquire", {}, 9)
    assert numbers(check_lock("l", script.operations)) == [21]


def test_a_hold_is_released_once() -> None:
    script = _two_holders()
    script.add(25, 26, "lock.release", {"token": 10, "grant": 0}, True)
    assert numbers(check_lock("l", script.operations)) == [26]


def test_a_client_that_was_left_may_stand_in_line_until_its_session_ends() -> None:
    script = _two_holders()
    script.failed(22, 24, "lock.acquire", {}, "NotStarted")
    script.add(30, 31, "lock.try", {}, None)
    assert not check_lock("l", script.operations)


def test_a_request_that_was_withdrawn_refuses_nobody() -> None:
    script = _two_holders()
    script.failed(22, 24, "lock.acquire", {}, "TimeoutError")
    script.add(30, 31, "lock.try", {}, None)
    assert numbers(check_lock("l", script.operations)) == [1]


def test_a_try_is_not_refused_by_nobody() -> None:
    script = _two_holders()
    script.add(30, 31, "lock.try", {}, None)
    assert numbers(check_lock("l", script.operations)) == [1]


# -- semaphores


def _permits(*spans: tuple[int, int, int]) -> Script:
    script = Script("s")
    for call, until, count in spans:
        asked = script.add(call, call + 1, "semaphore.acquire", {"permits": 3, "n": count}, True, until=until)
        script.add(until + 1, until + 2, "semaphore.release", {"grant": asked.number}, True)
    return script


def test_a_proper_semaphore_history() -> None:
    script = _permits((0, 10, 2), (2, 12, 1), (13, 20, 3))
    script.add(4, 5, "semaphore.available", {"permits": 3}, 0)
    assert not check_semaphore("s", script.operations)


def test_more_grants_than_permits() -> None:
    assert numbers(check_semaphore("s", _permits((0, 10, 2), (2, 12, 2)).operations)) == [28]


@pytest.mark.parametrize("answer", [1, 3, -1])
def test_a_count_of_free_permits_that_cannot_be(answer: int) -> None:
    script = _permits((0, 10, 2), (2, 12, 1))
    script.add(4, 5, "semaphore.available", {"permits": 3}, answer)
    assert numbers(check_semaphore("s", script.operations)) == [1]


def test_a_hold_that_ended_at_the_instant_of_the_question_may_be_over() -> None:
    script = Script("s")
    script.add(3, 4, "semaphore.acquire", {"permits": 1, "n": 1}, True, until=5)
    script.add(5, 5, "semaphore.available", {"permits": 1}, 1)
    assert not check_semaphore("s", script.operations)


@pytest.mark.parametrize(("is_released", "found"), [(False, []), (True, [1])])
def test_a_permit_whose_loss_the_client_knows_may_be_taken_for_a_while(
    is_released: bool, found: list[int]
) -> None:
    script = Script("s")
    asked = script.add(0, 1, "semaphore.acquire", {"permits": 1, "n": 1}, True)
    script.add(2, 3, "semaphore.release", {"grant": asked.number}, is_released)
    script.add(4, 5, "semaphore.available", {"permits": 1}, 0)
    assert numbers(check_semaphore("s", script.operations)) == found


# -- fences


def test_a_fence_takes_no_lower_token_and_refuses_for_a_reason() -> None:
    script = Script("f")
    script.add(0, 1, "fence.write", {"token": 5}, True)
    script.add(2, 3, "fence.write", {"token": 6}, True)
    script.add(4, 5, "fence.write", {"token": 5}, False)
    assert not check_fence("f", script.operations)
    script.add(6, 7, "fence.write", {"token": 5}, True)
    assert numbers(check_fence("f", script.operations)) == [22]
    other = Script("f")
    other.add(0, 1, "fence.write", {"token": 5}, True)
    other.add(2, 3, "fence.write", {"token": 7}, False)
    assert numbers(check_fence("f", other.operations)) == [22]


def test_a_check_is_seen_by_a_fence_and_a_read_tells_what_was_written() -> None:
    script = Script("f")
    script.add(0, 1, "fence.write", {"token": 5, "value": 1}, True)
    script.add(2, 3, "fence.check", {"token": 7}, True)
    script.add(4, 5, "fence.read", {}, "1@7")
    script.add(6, 7, "fence.write", {"token": 6, "value": 2}, False)
    assert not check_history(script.history)
    script.add(8, 9, "fence.check", {"token": 6}, True)
    assert numbers(check_history(script.history)) == [22]
    other = Script("f")
    other.add(0, 1, "fence.write", {"token": 5, "value": 1}, True)
    other.add(2, 3, "fence.read", {}, "2@5")
    assert numbers(check_history(other.history)) == [1]


# -- barriers


def _arrive(script: Script, call: int, back: int | None, party: str, expected: int = 2) -> None:
    args = {"party": party, "expected": expected}
    if back is None:
        script.unknown(call, "barrier.arrive", args)
    else:
        script.add(call, back, "barrier.arrive", args)


def test_a_proper_barrier_history() -> None:
    script = Script("b")
    _arrive(script, 0, 11, "a")
    _arrive(script, 10, 12, "b")
    _arrive(script, 13, 30, "b")
    _arrive(script, 20, 25, "a")
    assert not check_barrier("b", script.operations)


def test_an_unknown_arrival_may_have_completed_a_trip_but_only_one() -> None:
    script = Script("b")
    _arrive(script, 0, 11, "a")
    _arrive(script, 5, None, "b")
    assert not check_barrier("b", script.operations)
    _arrive(script, 12, 15, "a")
    assert numbers(check_barrier("b", script.operations)) == [31]


def test_a_return_without_the_other_party() -> None:
    script = Script("b")
    _arrive(script, 0, 11, "a")
    _arrive(script, 12, 13, "b")
    assert numbers(check_barrier("b", script.operations)) == [31]


def test_a_party_counts_once() -> None:
    script = Script("b")
    _arrive(script, 0, 11, "a")
    _arrive(script, 5, 12, "a")
    assert numbers(check_barrier("b", script.operations)) == [31]


def test_a_withdrawn_arrival_does_not_count() -> None:
    script = Script("b")
    _arrive(script, 0, 11, "a")
    script.failed(5, 10, "barrier.arrive", {"party": "b", "expected": 2})
    assert numbers(check_barrier("b", script.operations)) == [31]


# -- queues


def _queue() -> Script:
    script = Script("q")
    for value in range(3):
        script.add(value * 2, value * 2 + 1, "queue.enqueue", {"value": value})
    script.add(10, 11, "queue.dequeue", {}, 0)
    script.add(12, 13, "queue.dequeue", {}, 1)
    return script


def test_a_proper_queue_history() -> None:
    script = _queue()
    script.add(14, 15, "queue.peek", {}, 2)
    script.add(16, 17, "queue.dequeue", {}, 2)
    script.add(18, 19, "queue.dequeue", {}, None)
    script.add(20, 20, "queue.drained", {})
    assert not check_queue("q", script.operations)


def test_an_item_is_dequeued_once() -> None:
    script = _queue()
    script.add(14, 15, "queue.dequeue", {}, 1)
    assert 39 in numbers(check_queue("q", script.operations))


def test_an_item_comes_from_somewhere() -> None:
    script = _queue()
    script.add(14, 15, "queue.dequeue", {}, 77)
    assert numbers(check_queue("q", script.operations)) == [36]


def test_items_keep_their_order() -> None:
    script = Script("q")
    script.add(0, 1, "queue.enqueue", {"value": 1})
    script.add(2, 3, "queue.enqueue", {"value": 2})
    script.add(4, 5, "queue.dequeue", {}, 2)
    script.add(6, 7, "queue.dequeue", {}, 1)
    assert numbers(check_queue("q", script.operations)) == [37]


def test_a_queue_with_items_is_not_empty() -> None:
    script = _queue()
    script.add(14, 15, "queue.dequeue", {}, None)
    assert numbers(check_queue("q", script.operations)) == [1]


def test_an_acknowledged_item_is_not_lost_but_a_doubtful_dequeue_may_have_it() -> None:
    script = _queue()
    script.add(20, 20, "queue.drained", {})
    assert numbers(check_queue("q", script.operations)) == [36]
    script.unknown(15, "queue.dequeue", {})
    assert not check_queue("q", script.operations)


# -- counters


def test_a_proper_counter_history() -> None:
    script = Script("c")
    script.add(0, 5, "counter.add", {"amount": 2}, 5)
    script.add(1, 4, "counter.add", {"amount": 3}, 3)
    script.add(6, 7, "counter.subtract", {"amount": 1}, 4)
    script.add(8, 9, "counter.get", {}, 4)
    assert not check_counter("c", script.operations)


@pytest.mark.parametrize("answer", [4, 6, 0])
def test_a_count_out_of_bounds(answer: int) -> None:
    script = Script("c")
    script.add(0, 5, "counter.add", {"amount": 5}, 5)
    script.add(8, 9, "counter.get", {}, answer)
    assert numbers(check_counter("c", script.operations)) == [40]


def test_two_increments_that_gave_the_same_answer() -> None:
    script = Script("c")
    script.add(0, 9, "counter.add", {"amount": 1}, 1)
    script.add(1, 8, "counter.add", {"amount": 1}, 1)
    assert numbers(check_counter("c", script.operations)) == [40]


def test_answers_that_run_against_time() -> None:
    script = Script("c")
    script.unknown(0, "counter.add", {"amount": 1})
    script.add(1, 2, "counter.add", {"amount": 1}, 2)
    script.add(3, 4, "counter.add", {"amount": 1}, 1)
    assert numbers(check_counter("c", script.operations)) == [1, 40]


# -- registers


def _put(script: Script, call: int, back: int, value: int, before: int | None) -> None:
    script.add(call, back, "map.put", {"key": 1, "value": value}, before)


def test_a_proper_register_history() -> None:
    script = Script("m")
    _put(script, 0, 1, 1, None)
    _put(script, 2, 9, 2, 1)
    script.add(3, 4, "map.get", {"key": 1}, 1)
    script.add(5, 6, "map.get", {"key": 1}, 2)
    script.add(10, 11, "map.delete", {"key": 1}, True)
    script.add(12, 13, "map.get", {"key": 1}, None)
    assert not check_register("m", script.operations)


def test_a_value_from_nowhere() -> None:
    script = Script("m")
    script.add(3, 4, "map.get", {"key": 1}, 9)
    assert numbers(check_register("m", script.operations)) == [1]


def test_a_value_that_comes_back() -> None:
    script = Script("m")
    _put(script, 0, 1, 1, None)
    _put(script, 2, 3, 2, 1)
    script.add(4, 5, "map.get", {"key": 1}, 1)
    assert numbers(check_register("m", script.operations)) == [1]


def test_two_values_at_one_time() -> None:
    script = Script("m")
    _put(script, 0, 9, 1, None)
    _put(script, 0, 9, 2, 1)
    for call, value in ((10, 1), (12, 2), (14, 1), (16, 2)):
        script.add(call, call + 1, "map.get", {"key": 1}, value)
    assert numbers(check_register("m", script.operations)) == [1]


def test_a_deletion_in_the_middle_of_a_value() -> None:
    script = Script("m")
    _put(script, 0, 1, 1, None)
    script.add(2, 3, "map.delete", {"key": 1}, True)
    script.add(4, 5, "map.get", {"key": 1}, 1)
    assert numbers(check_register("m", script.operations)) == [1]


def test_all_checkers_are_called_for_their_own_structures() -> None:
    script = _two_holders()
    script.add(30, 31, "set.add", {"value": 1}, False)
    script.add(40, 41, "counter.get", {}, 3)
    assert numbers(check_history(script.history)) == [1, 40]


def test_a_party_may_be_in_a_trip_twice_but_counts_once() -> None:
    script = Script("b")
    _arrive(script, 0, 10, "a")
    _arrive(script, 1, 10, "a")
    _arrive(script, 9, 10, "b")
    assert not check_barrier("b", script.operations)
    alone = Script("b")
    _arrive(alone, 0, 10, "a")
    _arrive(alone, 1, 10, "a")
    assert numbers(check_barrier("b", alone.operations)) == [31]


# -- conditions, and structures that are destroyed


@pytest.mark.parametrize(("seen", "is_right"), [(7, True), (4, False), (0, False)])
def test_a_counter_that_is_set(seen: int, is_right: bool) -> None:
    script = Script("c")
    script.add(0, 1, "counter.add", {"amount": 4}, 4)
    script.add(2, 3, "counter.compare_and_set", {"expected": 4, "value": 7}, True)
    script.add(4, 5, "counter.compare_and_set", {"expected": 4, "value": 9}, False)
    script.add(6, 7, "counter.reset", {}, seen)
    script.add(8, 9, "counter.get", {}, 0)
    assert bool(check_history(script.history)) is not is_right


@pytest.mark.parametrize(
    ("kind", "args", "answer", "is_right"),
    [
        ("map.put_if_absent", {"value": 8}, False, True),
        ("map.put_if_absent", {"value": 8}, True, False),
        ("map.compare_and_set", {"expected": 1, "value": 8}, True, True),
        ("map.compare_and_set", {"expected": 1, "value": 8}, False, False),
        ("map.compare_and_set", {"expected": 2, "value": 8}, True, False),
    ],
)
def test_conditions_of_a_map(kind: str, args: dict[str, Value], answer: bool, is_right: bool) -> None:
    script = Script("m")
    script.add(0, 1, "map.put", {"key": 1, "value": 1}, None)
    script.add(2, 3, kind, {"key": 1, **args}, answer)
    script.add(4, 5, "map.get", {"key": 1}, 8 if answer else 1)
    assert bool(check_history(script.history)) is not is_right


def test_what_was_in_a_map_before_it_was_destroyed_is_gone() -> None:
    script = Script("m")
    script.add(0, 1, "map.put", {"key": 1, "value": 1}, None)
    script.add(2, 9, "map.destroy", {}, True)
    script.add(3, 12, "map.put", {"key": 2, "value": 2}, None)
    script.add(13, 14, "map.get", {"key": 2}, 2)
    assert not check_history(script.history), "what was put meanwhile may stay"
    script.add(15, 16, "map.get", {"key": 1}, 1)
    assert numbers(check_history(script.history)) == [1]
    empty = Script("m")
    empty.add(0, 1, "map.put", {"key": 1, "value": 1}, None)
    empty.add(2, 9, "map.destroy", {}, False)
    assert numbers(check_history(empty.history)) == [1]


def test_what_was_in_a_queue_or_set_before_it_was_destroyed_is_gone() -> None:
    queue = Script("q")
    queue.add(0, 1, "queue.enqueue", {"value": 1})
    queue.add(2, 3, "queue.destroy", {}, True)
    queue.add(4, 5, "queue.dequeue", {}, None)
    queue.add(6, 7, "queue.destroy", {}, False)
    assert not check_history(queue.history)
    queue.add(8, 9, "queue.dequeue", {}, 1)
    assert numbers(check_history(queue.history)) == [1]
    members = Script("s")
    members.add(0, 1, "set.add", {"value": 1}, True)
    members.add(2, 3, "set.remove", {"value": 1}, True)
    members.add(4, 5, "set.destroy", {}, True)
    members.add(6, 7, "set.destroy", {}, False)
    assert not check_history(members.history), "emptied it still exists"
    members.add(8, 9, "set.contains", {"value": 1}, True)
    assert numbers(check_history(members.history)) == [1]
