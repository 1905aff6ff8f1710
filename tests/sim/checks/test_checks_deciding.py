"""The search leaves most orders out: it still agrees with one that leaves out nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.checks.history.linearizability import Model, State, search
from sim.checks.history.models import COUNTER_MODEL, SET_MODEL
from sim.checks.history.trails import CounterTrails
from sim.history import FOREVER_NS, Operation
from tests.sim.checks.histories import MODELS, Script, drawn


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
