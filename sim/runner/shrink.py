"""Makes a failing plan smaller: takes operations and faults out while the same thing still goes wrong.

Groups are tried first and halved until they are single items, as in delta debugging (Zeller and Hildebrandt,
"Simplifying and isolating failure-inducing input", 2002). Draws are keyed, so what is taken out leaves the others as
they are; that makes most steps succeed. Every attempt is a whole run, and their number is bounded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..plans.generate import SCENARIOS
from ..plans.json_reader import PlanError
from ..plans.plan import Plan
from .result import ERROR, HELD
from .simulate import Simulation
from .sweep import run_alone

if TYPE_CHECKING:
    from .result import Result

__all__ = ["MOST_RUNS", "Failing", "failing", "shrink"]

MOST_RUNS = 500
"""How often a plan is run at most; the smallest one found until then is the answer."""

Failing = Callable[[Plan], str]
"""Run a plan; returns what goes wrong, in a form to compare, or an empty text."""


def failing(plan: Plan) -> Failing:
    """Return what runs plans of this plan's scenario: one of `casty sim list`, or a test made with `simulate`.

    Raises
    ------
    PlanError
        The scenario is neither.
    """
    return _of_scenario if plan.scenario in SCENARIOS else _of_test(_simulation_of(plan.scenario))


def shrink(plan: Plan, fails: Failing, *, most_runs: int = MOST_RUNS) -> Plan:
    """Return a plan that fails in the same way with as few operations and faults as were found.

    Parameters
    ----------
    plan
        One that fails.
    fails
        See `failing`.
    most_runs
        How often it may be called.

    Raises
    ------
    PlanError
        The plan does not fail.
    """
    shrinking = _Shrinking(plan, fails, most_runs)
    if not shrinking.what:
        raise PlanError("plan", "nothing goes wrong in it, so there is nothing to shrink")
    while shrinking.one_round() and not shrinking.is_spent:
        pass
    return shrinking.plan


class _Shrinking:
    """The smallest failing plan so far."""

    def __init__(self, plan: Plan, fails: Failing, most_runs: int) -> None:
        self._fails = fails
        self._left = most_runs - 1
        self.plan = plan
        self.what = fails(plan)

    @property
    def is_spent(self) -> bool:
        return self._left <= 0

    def one_round(self) -> bool:
        """Take out what can be taken out; True if something was."""
        before = self.plan
        # Faults first: they are fewer, and what is left of a run without them is short.
        self._thin(lambda: len(self.plan.faults), lambda gone: self.plan.without(faults=gone))
        self._thin(lambda: len(self.plan.operations), lambda gone: self.plan.without(operations=gone))
        return self.plan != before

    def _thin(self, count: Callable[[], int], without: Callable[[tuple[int, ...]], Plan]) -> None:
        size = count()
        while size >= 1 and not self.is_spent:
            at = 0
            while at < count() and not self.is_spent:
                # What follows moves up when something goes.
                if not self._still_fails(without(tuple(range(at, min(at + size, count()))))):
                    at += size
            size //= 2

    def _still_fails(self, plan: Plan) -> bool:
        self._left -= 1
        if self._fails(plan) != self.what:
            return False
        self.plan = plan
        return True


def _of_scenario(plan: Plan) -> str:
    result: Result = run_alone(plan)
    if result.verdict == HELD:
        return ""
    number = result.violations[0].number if result.violations else ""
    kind = result.error.partition(":")[0] if result.verdict == ERROR else ""
    return f"{result.verdict} {number}{kind}"


def _of_test(simulation: Simulation) -> Failing:
    def fails(plan: Plan) -> str:
        try:
            simulation.run_seed(plan, {})
        except Exception as error:  # whatever a test raises is how it fails
            return type(error).__name__
        return ""

    return fails


def _simulation_of(scenario: str) -> Simulation:
    module, _, name = scenario.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None) if module else None
    except ImportError as error:
        raise PlanError("plan.scenario", f"cannot import {module!r}: {error}") from None
    simulation = getattr(found, "casty_simulation", None)
    if not isinstance(simulation, Simulation):
        raise PlanError(
            "plan.scenario",
            f"expected one of {list(SCENARIOS)}, or a test made with simulate, found {scenario!r}",
        )
    return simulation
