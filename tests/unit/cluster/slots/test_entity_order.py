"""Names in order: whatever comes and goes, in runs of bounded length."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from casty.entity_order import RUN, EntityOrder


@given(st.lists(st.integers(0, 30)), st.integers(0, 31))
def test_it_is_the_sorted_names_from_any_name_on(numbers: list[int], start: int) -> None:
    order, names = EntityOrder(), dict[bytes, None]()
    for number in numbers:
        name = b"%02d" % number
        if name in names:
            del names[name]
            order.remove(name)
        else:
            names[name] = None
            order.add(name)
    first = b"%02d" % start
    assert list(order.since(b"")) == sorted(names)
    assert list(order.since(first)) == sorted(name for name in names if name >= first)


def test_runs_stay_short_whatever_the_order_of_the_names() -> None:
    ascending = [b"%06d" % number for number in range(20 * RUN)]
    mixed = random.Random(1).sample(ascending, len(ascending))
    for names in (ascending, ascending[::-1], mixed):
        order = EntityOrder()
        for name in names:
            order.add(name)
        assert max(map(len, order.runs)) < RUN and len(order.runs) <= 80
        assert list(order.since(b"")) == ascending
        for name in mixed[RUN:]:
            order.remove(name)
        assert all(order.runs) and list(order.since(b"")) == sorted(mixed[:RUN])
