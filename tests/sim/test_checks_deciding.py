"""The search leaves most orders out: it still agrees with one that leaves out nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.checks.linear import Model, State, search
from sim.checks.models import COUNTER_MODEL, QUEUE_MODEL, REGISTER_MODEL, SET_MODEL
from sim.checks.trails import CounterTrails
from sim.draws import Draws
from sim.history import FOREVER_NS, Operation, Value
from tests.sim.histories import Script

KINDS: dict[str, tuple[str, ...]] = {
    "counter": (
        "counter.add", "counter.add", "counter.subtract", "counter.get", "counter.destroy", "counter.reset",
        "counter.compare_and_set",
    ),
    "set": ("set.add", "set.add", "set.remove", "set.contains", "set.size", "set.destroy"),
    "queue": ("queue.enqueue", "queue.enqueue", "queue.dequeue", "queue.peek", "queue.size", "queue.destroy"),
    "map": ("map.put", "map.put", "map.get", "map.delete", "map.put_if_absent", "map.contains", "map.sweep"),
}  # fmt: skip
MODELS = {"counter": COUNTER_MODEL, "set": SET_MODEL, "queue": QUEUE_MODEL, "map": REGISTER_MODEL}
NUMBERS: tuple[Value, ...] = tuple(range(-20, 21))
ANSWERS: tuple[Value, ...] = (None, True, False, *range(14))
COUNTED = ("counter.add", "counter.subtract", "counter.get", "counter.reset")


@pytest.mark.parametrize("structure", MODELS)
@given(seed=st.integers(0, 1 << 40))
@settings(max_examples=500, deadline=None)
def test_it_agrees_with_a_search_that_leaves_out_nothing(structure: str, seed: int) -> None:
    operations = drawn(structure, seed)
    expected = is_explained(operations, MODELS[structure])
    assert search(operations, MODELS[structure]).is_ok is expected
    if structure == "counter":
        # So small a budget that the trails are counted from the beginning.
        assert search(operations, COUNTER_MODEL, budget=24).is_ok in (expected, None)
        most = sum(not operation.is_ok for operation in operations)
        enough = CounterTrails(operations).is_enough
        assert enough(COUNTER_MODEL.initial, 0, most) or not expected
        fewest = next((few for few in range(most + 1) if is_explained(operations, COUNTER_MODEL, few)), None)
        assert fewest is None or enough(COUNTER_MODEL.initial, 0, fewest)


def drawn(structure: str, seed: int) -> list[Operation]:
    """Return up to nine operations that overlap: answered as the model does, and half of the time one is not."""
    draws = Draws(seed)
    model = MODELS[structure]
    script = Script("x")
    planned = []
    for number in range(draws.between("count", "", 0, 2, 9)):
        call = draws.between("call", "", number, 0, 12)
        point = call + draws.between("point", "", number, 0, 5)
        back = point + draws.between("back", "", number, 1, 5)
        kind = draws.choice("kind", "", number, KINDS[structure])
        planned.append((point, number, call, back, kind, _args(draws, structure, kind, number)))
    state = model.initial
    for _, number, call, back, kind, args in sorted(planned):
        if draws.below("open", "", number, 3) == 0:
            operation = script.unknown(call, kind, args)
            after = model.step(state, operation) if draws.below("applied", "", number, 2) else state
        else:
            operation = script.add(call, back, kind, args)
            after = None
            for operation.value in NUMBERS if kind in COUNTED else ANSWERS:
                after = model.step(state, operation)
                if after is not None:
                    break
            if draws.below("wrong", "", number, 12) == 0:
                operation.value = draws.choice("value", "", number, (None, True, False, 0, 1, 2, 3))
        state = state if after is None else after
    return [one for one in script.operations if _has_sense(one)]


def _has_sense(operation: Operation) -> bool:
    """Whether an answer is of the type that the structure answers with."""
    expected = int if operation.kind in COUNTED else bool
    return (
        not operation.is_ok or not operation.kind.startswith("counter") or type(operation.value) is expected
    )


def _args(draws: Draws, structure: str, kind: str, number: int) -> dict[str, Value]:
    if structure == "counter":
        if kind == "counter.compare_and_set":
            return {
                "expected": draws.below("expected", "", number, 3),
                "value": draws.below("set", "", number, 4),
            }
        is_sum = kind in ("counter.add", "counter.subtract")
        return {"amount": draws.between("amount", "", number, 1, 2)} if is_sum else {}
    if structure == "set":
        return (
            {}
            if kind in ("set.size", "set.destroy")
            else {"value": draws.between("member", "", number, 1, 2)}
        )
    if structure == "queue":
        return {"value": number} if kind == "queue.enqueue" else {}
    return {"key": 1, "value": number}


def is_explained(operations: Sequence[Operation], model: Model, most_open: int = 99) -> bool:
    """Try every order, and every choice of at most so many operations of unknown outcome."""
    ends = [one.end_ns if one.is_ok else FOREVER_NS for one in operations]
    places: list[tuple[State, int, int]] = [(model.initial, 0, 0)]
    seen = dict.fromkeys(places)
    everything = sum(1 << at for at, one in enumerate(operations) if one.is_ok)
    while places:
        state, done, used = places.pop()
        if done & everything == everything:
            return True
        first_end = min(end for at, end in enumerate(ends) if not done & 1 << at)
        for at, one in enumerate(operations):
            if not done & 1 << at and one.call_ns < first_end and used + (not one.is_ok) <= most_open:
                after = model.step(state, one)
                place = (after, done | 1 << at, used + (not one.is_ok))
                if after is not None and place not in seen:
                    seen[place] = None
                    places.append((after, done | 1 << at, used + (not one.is_ok)))
    return False


def test_of_two_that_are_alike_the_inner_one_may_come_first() -> None:
    script = Script("s")
    script.add(0, 20, "set.add", {"value": 1}, True)
    script.add(5, 6, "set.add", {"value": 1}, True)
    script.add(8, 9, "set.remove", {"value": 1}, True)
    assert search(script.operations, SET_MODEL).is_ok


def test_one_state_is_worth_more_with_other_open_operations_left() -> None:
    script = Script("c")
    for at, amount in enumerate((1, 2, 3)):
        script.unknown(at, "counter.add", {"amount": amount})
    script.add(5, 6, "counter.get", {}, 3)
    script.add(8, 9, "counter.get", {}, 4)
    assert search(script.operations, COUNTER_MODEL).is_ok
