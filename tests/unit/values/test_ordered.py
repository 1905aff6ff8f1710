"""The frozen set that keeps an order."""

from __future__ import annotations

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from casty.ordered import FrozenOrderedSet
from casty.wire.codec import Codec


@given(st.lists(st.text(max_size=3)))
def test_it_is_a_frozenset_in_the_given_order(members: list[str]) -> None:
    ordered = FrozenOrderedSet(members)
    expected = list(dict.fromkeys(members))
    assert isinstance(ordered, frozenset)
    assert ordered == frozenset(members)
    assert hash(ordered) == hash(frozenset(members))
    assert list(ordered) == expected
    assert list(reversed(ordered)) == expected[::-1]
    assert [ordered[index] for index in range(len(ordered))] == expected
    assert repr(ordered) == f"FrozenOrderedSet({expected!r})"
    for again in (copy.copy(ordered), copy.deepcopy(ordered), pickle.loads(pickle.dumps(ordered))):
        assert list(again) == expected
        assert type(again) is FrozenOrderedSet


@given(st.lists(st.integers() | st.text(max_size=3)))
def test_it_travels_in_its_order_and_is_compared_as_a_set(members: list[object]) -> None:
    codec = Codec()
    ordered = FrozenOrderedSet(members)
    came = codec.decode(codec.encode(ordered))
    assert type(came) is FrozenOrderedSet
    assert list(came) == list(ordered)
    assert codec.canonical(ordered) == codec.canonical(frozenset(members))


def test_an_empty_one_is_the_empty_frozenset() -> None:
    assert FrozenOrderedSet[int]() == frozenset()
