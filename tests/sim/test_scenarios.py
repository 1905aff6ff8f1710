"""Whole scenarios in the simulator: a few seeds of each, the plans that once failed, and one digest per plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.plans.generate import SCENARIOS, expand
from sim.plans.plan import Plan
from sim.runner.run import run_plan

CORPUS = sorted((Path(__file__).parents[2] / "chaos" / "corpus").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seed", range(3))
def test_every_promise_holds(scenario: str, seed: int) -> None:
    result = run_plan(expand(scenario, seed))
    assert result.verdict == "held", result.violations


@pytest.mark.slow
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_once_failed_holds(path: Path) -> None:
    result = run_plan(Plan.from_json(path.read_text()))
    assert result.verdict == "held", result.violations


@pytest.mark.slow
def test_a_plan_has_one_digest_whatever_ran_before() -> None:
    plan = expand("mixed", 11, duration_s=8)
    first = run_plan(plan).digest
    run_plan(expand("lock", 12, duration_s=8))
    assert run_plan(plan).digest == first


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) >= 3
