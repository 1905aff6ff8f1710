"""Hypothesis draws whole plans - workload and faults - for lock, semaphore and barrier, and shrinks what fails.

A failure prints the plan as JSON; ``casty sim replay`` runs it again, and so does the blob that Hypothesis prints.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from chaos.ablations.bug import planted
from chaos.ablations.planted import PLANTED
from sim.plans.plan import Plan
from sim.plans.strategies import plans
from sim.runner.result import HELD
from sim.runner.run import run_plan

SEARCH = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def hold(plan: Plan) -> None:
    result = run_plan(plan)
    note(plan.to_json())
    assert result.verdict == HELD, result.block("(above)")


@pytest.mark.slow
@SEARCH
@given(plans("lock"))
def test_locks_exclude_and_are_free_again(plan: Plan) -> None:
    hold(plan)


@pytest.mark.slow
@SEARCH
@given(plans("semaphore"))
def test_permits_are_never_exceeded_nor_lost(plan: Plan) -> None:
    hold(plan)


@pytest.mark.slow
@SEARCH
@given(plans("barrier"))
def test_barriers_trip_for_exactly_their_parties(plan: Plan) -> None:
    hold(plan)


@pytest.mark.slow
def test_a_planted_bug_shrinks_to_a_short_story() -> None:
    """What Hypothesis leaves over is small enough to read."""
    failing: list[Plan] = []

    @settings(SEARCH, max_examples=60, database=None, phases=(Phase.generate, Phase.shrink))
    @given(plans("barrier", max_operations=12, max_faults=3, duration_s=5))
    def search(plan: Plan) -> None:
        result = run_plan(plan)
        if result.verdict != HELD:
            failing.append(plan)
        assert result.verdict == HELD

    bug = next(bug for bug in PLANTED if bug.name == "one-party-less")
    with planted(bug), pytest.raises(AssertionError):
        search()
    smallest = failing[-1]
    assert len(smallest.operations) <= 2
    assert len(smallest.faults) <= 2
