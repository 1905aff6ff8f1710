"""The runner of curves: what grows beyond its bound is found, what does not is not."""

from __future__ import annotations

import pytest

from benchmarks import growth
from benchmarks.growth import Curve, curves, main, run_curve


def linear(size: int) -> float:
    return float(size)


def flat(size: int) -> float:
    return 7.0


def test_a_flat_cost_holds() -> None:
    outcome = run_curve(Curve("flat", (10, 100), flat))
    assert outcome.failures == []
    assert outcome.growth == 1.0
    assert "holds" in str(outcome)


def test_a_cost_that_grows_beyond_its_bound_fails() -> None:
    outcome = run_curve(Curve("linear", (10, 100), linear))
    assert outcome.failures == ["grew 10.0 times, at most 3 allowed"]


def test_a_turn_that_is_too_long_fails_however_little_it_grows() -> None:
    curve = Curve("turn", (20_000, 21_000), linear, max_growth=None, max_ms=20.5)
    assert run_curve(curve).failures == ["took 21.0 ms, at most 20.5 ms allowed"]


def test_the_least_cost_of_a_size_counts() -> None:
    costs = iter([5.0, 1.0, 9.0, 90.0, 2.0, 80.0])
    assert run_curve(Curve("busy", (1, 2), lambda _: next(costs))).costs_us == (1.0, 2.0)


@pytest.mark.parametrize("sizes", [(10,), (100, 10), (10, 10)])
def test_sizes_ascend(sizes: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError):
        Curve("wrong", sizes, flat)


def test_the_modules_are_collected_by_name() -> None:
    names = [curve.name for curve in curves()]
    assert len(names) == len(set(names)) > 0
    assert curves(["curves_slots"]) and not curves(["no such curve"])


def test_the_verdict_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "curves", lambda words: [Curve("flat", (1, 2), flat)])
    assert main([]) == 0
    monkeypatch.setattr(
        growth, "curves", lambda words: [Curve("flat", (1, 2), flat), Curve("bad", (1, 9), linear)]
    )
    assert main([]) == 1
    monkeypatch.setattr(growth, "curves", lambda words: [])
    assert main(["nothing"]) == 2
