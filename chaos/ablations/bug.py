"""What a planted bug is, and how long it takes to be found."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from sim.plans.generate import expand
from sim.runner.result import HELD
from sim.runner.sweep import run_alone

from .by_test import run_test

LONG_S = 20
"""Plans of searches last so long: what has to coincide needs time, more than sweeps of many seeds give it."""

__all__ = ["Finding", "Planted", "bug_in", "find", "planted", "shown"]


class Planted(NamedTuple):
    """One bug: its name, the safeguard it breaks, the scenario that should find it, and what is replaced.

    `broken` is the wrong attribute. `is_hard`: two or more events have to coincide before it shows. `shown_by`: the
    pytest node id of a test that fails with it, where no scenario has what it takes; then no seeds are tried.
    """

    name: str
    safeguard: str
    scenario: str
    owner: Any
    attribute: str
    broken: Any
    is_hard: bool = False
    shown_by: str = ""


class Finding(NamedTuple):
    """A bug that was found: after how many seeds, at which one, how the run ended, and what it said."""

    seeds: int
    seed: int
    verdict: str
    text: str


def bug_in(
    name: str,
    safeguard: str,
    scenario: str,
    owner: Any,
    attribute: str,
    make: Callable[[Any], Any],
    is_hard: bool = False,
) -> Planted:
    """Return the bug whose wrong attribute `make` makes out of the right one."""
    return Planted(name, safeguard, scenario, owner, attribute, make(vars(owner)[attribute]), is_hard)


@contextmanager
def planted(bug: Planted) -> Generator[None, None, None]:
    """Have the bug in the library for a while."""
    sound = vars(bug.owner)[bug.attribute]
    setattr(bug.owner, bug.attribute, bug.broken)
    try:
        yield
    finally:
        setattr(bug.owner, bug.attribute, sound)


def find(bug: Planted, seeds: Iterable[int], duration_s: int = LONG_S) -> Finding | None:
    """Run seeds with the bug until one does not hold that holds without it; None when there is none."""
    if bug.shown_by:
        return _find_by_test(bug)
    for count, seed in enumerate(seeds, 1):
        plan = expand(bug.scenario, seed, duration_s=duration_s)
        with planted(bug):
            result = run_alone(plan)
        if result.verdict != HELD and _holds(bug.scenario, seed, duration_s):
            return Finding(count, seed, result.verdict, result.violation or result.error or "")
    return None


@cache  # a plan has one verdict, and many bugs are found in the first seeds of a scenario
def _holds(scenario: str, seed: int, duration_s: int) -> bool:
    """Whether a plan holds in the library as it is."""
    return run_alone(expand(scenario, seed, duration_s=duration_s)).verdict == HELD


def shown(bug: Planted, test: str) -> Planted:
    """Return a bug that a test shows; see `Planted`."""
    return bug._replace(shown_by=test)


def _find_by_test(bug: Planted) -> Finding | None:
    """Run its test with the bug and without it; it counts as one seed."""
    outcome = run_test(bug.shown_by, bug.name)
    if outcome.has_passed or not run_test(bug.shown_by).has_passed:
        return None
    return Finding(1, 0, "failed", outcome.text or bug.shown_by)
