"""``python -m benchmarks.growth [WORD ...]``: how costs grow with sizes; exits 1 where one grows beyond its bound.

Collects ``CURVES`` of every ``benchmarks/curves_*.py``. A bound compares two sizes within one run, or gives the
time that one turn of an event loop may take, so a busy machine shifts a curve as a whole and seldom bends it.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import benchmarks

__all__ = ["Curve", "Outcome", "curves", "main", "run_curve"]

PREFIX = "curves_"
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Curve:
    """What one operation costs over a range of sizes, and how much that may grow.

    Parameters
    ----------
    name
        What is measured, and the size of what: ``"release, by holds of the session"``.
    sizes
        At least two, ascending.
    cost_us
        Prepares a size and returns the cost of one operation there, in microseconds. Preparing does not count.
    max_growth
        What the cost at the largest size may be, as a multiple of that at the smallest; None without a bound.
    max_ms
        What the cost at any size may be, in milliseconds; None without a bound.
    repeats
        How often each size is measured; the least cost counts, which disturbances can only raise.
    """

    name: str
    sizes: tuple[int, ...]
    cost_us: Callable[[int], float]
    max_growth: float | None = 3.0
    max_ms: float | None = None
    repeats: int = REPEATS

    def __post_init__(self) -> None:
        assert len(self.sizes) >= 2, f"{self.name}: a curve has two sizes at least"
        assert list(self.sizes) == sorted(set(self.sizes)), f"{self.name}: sizes ascend"
        assert self.max_growth is not None or self.max_ms is not None, f"{self.name}: a curve has a bound"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One curve as measured."""

    curve: Curve
    costs_us: tuple[float, ...]

    @property
    def growth(self) -> float:
        """The cost at the largest size, as a multiple of that at the smallest."""
        return self.costs_us[-1] / self.costs_us[0]

    @property
    def failures(self) -> list[str]:
        """Each bound that does not hold."""
        curve, failures = self.curve, []
        if curve.max_growth is not None and self.growth > curve.max_growth:
            failures.append(f"grew {self.growth:.1f} times, at most {curve.max_growth:g} allowed")
        if curve.max_ms is not None and max(self.costs_us) > curve.max_ms * 1e3:
            failures.append(f"took {max(self.costs_us) / 1e3:.1f} ms, at most {curve.max_ms:g} ms allowed")
        return failures

    def __str__(self) -> str:
        verdict = "; ".join(self.failures) or "holds"
        points = "  ".join(
            f"{size:,}: {_readable(cost_us)}"
            for size, cost_us in zip(self.curve.sizes, self.costs_us, strict=True)
        )
        return f"{self.curve.name}\n    {points}\n    x{self.growth:.2f}  {verdict}"


def _readable(cost_us: float) -> str:
    return f"{cost_us / 1e3:,.1f} ms" if cost_us >= 1e4 else f"{cost_us:,.2f} us"


def run_curve(curve: Curve) -> Outcome:
    """Measure every size."""
    costs_us = []
    for size in curve.sizes:
        attempts = []
        for _ in range(curve.repeats):
            gc.collect()
            attempts.append(curve.cost_us(size))
        costs_us.append(max(min(attempts), 1e-3))
    return Outcome(curve, tuple(costs_us))


def curves(words: Sequence[str] = ()) -> list[Curve]:
    """Return all curves, or those with one of the words in their name or module, in order."""
    found: list[Curve] = []
    for module in sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__)):
        if not module.startswith(PREFIX):
            continue
        listed: tuple[Curve, ...] = importlib.import_module(f"benchmarks.{module}").CURVES
        found += [
            curve for curve in listed if not words or any(word in f"{module} {curve.name}" for word in words)
        ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each curve as it is measured; 1 where one grows beyond its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="part of a curve's name or module; default: all"
    )
    chosen = curves(parser.parse_args(arguments).words)
    if not chosen:
        print("no curve has such a name", file=sys.stderr)
        return 2
    failed = []
    for curve in chosen:
        outcome = run_curve(curve)
        print(outcome, flush=True)
        if outcome.failures:
            failed.append(curve.name)
    print(
        f"{len(chosen) - len(failed)} of {len(chosen)} curves hold"
        + "".join(f"\n  fails: {name}" for name in failed)
    )
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
