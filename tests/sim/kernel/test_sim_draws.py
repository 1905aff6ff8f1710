"""Draws: pure functions of their key, frozen for ever."""

from __future__ import annotations

from sim.kernel.draws import Draws, Entropy, mix


def test_frozen_values() -> None:
    assert mix(0, 0) == 0xE220A8397B1DCDAF  # the first output of splitmix64 with seed 0
    draws = Draws(7)
    assert draws.key("delay", "a>b") == Draws(7).key("delay", "a>b")
    assert [draws.below("p", "s", index, 1000) for index in range(5)] == FROZEN


FROZEN = [560, 348, 592, 552, 640]


def test_keys_are_apart() -> None:
    draws = Draws(7)
    keys = [draws.key("ab", "c"), draws.key("a", "bc"), draws.key("abc", ""), Draws(8).key("ab", "c")]
    assert len(dict.fromkeys(keys)) == 4


def test_bounds() -> None:
    draws = Draws(1)
    for bound in (1, 2, 3, 1000, 2**56, 2**64, 2**100):
        values = [draws.below("bound", str(bound), index, bound) for index in range(200)]
        assert all(0 <= value < bound for value in values)
        assert bound < 1000 or len(dict.fromkeys(values)) > 100
    assert {draws.between("x", "y", index, -1, 1) for index in range(100)} == {-1, 0, 1}


def test_chance_is_about_right() -> None:
    draws = Draws(1)
    hits = sum(draws.chance("c", "s", index, 250_000) for index in range(4000))
    assert 850 < hits < 1150


def test_shuffle_is_a_permutation() -> None:
    assert sorted(Draws(1).shuffled("s", "x", list(range(20)))) == list(range(20))


def test_entropy_counts_per_purpose() -> None:
    one, other = Entropy(Draws(1), "a/0"), Entropy(Draws(1), "a/0")
    other.below("other purpose", 10)
    assert one.token("id", 16) == other.token("id", 16)
    assert one.token("id", 16) != Entropy(Draws(1), "b/0").token("id", 16)
    assert len(one.token("id", 5)) == 5
