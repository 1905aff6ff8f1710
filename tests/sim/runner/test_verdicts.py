"""What a run or a sweep is called: errors out of contract, errors nobody awaits, hangs, searches that gave up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from sim import World, simulate
from sim.checks.history.contracts import check_contract
from sim.history import History
from sim.kernel.errors import BackgroundError
from sim.plans.generate import expand
from sim.plans.plan import ClusterShape, FaultEvent, Plan, PlannedOperation
from sim.plans.roles import ROLES, is_role
from sim.plans.triggers import TRIGGERS
from sim.runner.cpu_limit import OutOfTime, limited
from sim.runner.plan_nemesis import PlanNemesis
from sim.runner.result import ERROR, HELD, UNDECIDED, Result
from sim.runner.run import Execution
from sim.runner.sweep import FIRED, Summary, run_alone, run_seeds


@pytest.mark.parametrize(
    ("kind", "error", "took_s", "is_fine"),
    [
        ("counter.add", "InternalError", 5.0, False),
        ("counter.add", "Refused", 0.1, False),
        ("counter.add", "Unavailable", 5.0, True),
        ("counter.add", "Unavailable", 3.0, False),
        ("counter.add", "OutcomeUnknown", 3.0, True),
        ("counter.get", "OutcomeUnknown", 5.0, False),
        ("counter.add", "TimeoutError", 5.0, False),
        ("lock.acquire", "TimeoutError", 2.0, True),
        ("lock.release", "Destroyed", 1.0, False),
        ("barrier.arrive", "BrokenBarrier", 1.0, True),
        ("counter.add", "cancelled", 1.0, True),
    ],
)
def test_errors_have_a_contract(kind: str, error: str, took_s: float, is_fine: bool) -> None:
    history = History()
    operation = history.call("client-1", kind, "a", {}, 0)
    history.unknown(operation, error, 1)
    assert (check_contract(operation, took_s, 5.0) is None) is is_fine


async def fail() -> None:
    raise RuntimeError("the application crashed")


def test_a_task_that_fails_unheard_fails_its_seed() -> None:
    @simulate(seeds=1)
    async def test_task(world: World) -> None:
        kept = asyncio.create_task(fail())
        await asyncio.sleep(5)
        assert kept.done()

    with pytest.raises(BackgroundError, match="the application crashed"):
        test_task()


def test_a_task_that_fails_unheard_is_found_among_many() -> None:
    @simulate(seeds=1)
    async def test_tasks(world: World) -> None:
        kept = [asyncio.create_task(fail())]
        await kept[0].get_loop().run_in_executor(None, kept.clear)
        for _ in range(300):
            await asyncio.create_task(asyncio.sleep(0.01))

    with pytest.raises(BackgroundError, match="the application crashed"):
        test_tasks()


def test_a_callback_that_fails_fails_its_seed() -> None:
    @simulate(seeds=1)
    async def test_callback(world: World) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(5)

    with pytest.raises(BackgroundError, match="ZeroDivisionError"):
        test_callback()


def test_an_error_that_is_awaited_is_none() -> None:
    @simulate(seeds=1)
    async def test_awaited(world: World) -> None:
        first = asyncio.create_task(fail())
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], RuntimeError)
        second = asyncio.create_task(fail())
        await asyncio.wait([second])
        assert second.exception() is not None

    test_awaited()


def test_what_hangs_is_stopped() -> None:
    def hang() -> None:
        end_s = time.process_time() + 5
        with limited(0.05):
            while time.process_time() < end_s:
                pass

    with pytest.raises(OutOfTime):
        hang()


def test_a_run_that_hangs_within_an_instant_is_an_error_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def spin(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(PlanNemesis, "begin", spin)
    result = run_alone(expand("counter", 1, duration_s=1), limit_s=0.5)
    assert result.verdict == ERROR
    assert "OutOfTime" in (result.violation or "")


def test_an_exception_costs_one_seed_and_its_plan_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right = Execution.run

    def run(execution: Execution) -> Result:
        if execution._plan.seed == 1:
            raise KeyError("broken checker")
        return right(execution)

    monkeypatch.setattr(Execution, "run", run)
    rows = list(run_seeds("counter", [1, 2], tmp_path, 1))
    assert [row["verdict"] for row in rows] == [ERROR, "held"]
    assert "broken checker" in rows[0]["violation"]
    assert Path(rows[0]["plan"]).exists()


def test_an_undecided_run_is_not_called_held(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Execution.run

    def run(execution: Execution) -> Result:
        execution._recorder.undecided.append("queue a")
        return right(execution)

    monkeypatch.setattr(Execution, "run", run)
    assert run_alone(expand("counter", 1, duration_s=1)).verdict == UNDECIDED
    result = run_alone(expand("mixed", 1, duration_s=1))
    assert result.verdict == UNDECIDED
    summary = Summary("mixed")
    summary.add(result.to_plain())
    assert not summary.is_good
    assert summary.failures[0]["violation"] == "the search gave up on queue a"


def test_a_fault_that_never_fired_is_told() -> None:
    summary = Summary("counter", seeds=100, faults=dict.fromkeys(FIRED["counter"], 1))
    del summary.faults["half_open"]
    assert "fault half_open never fired" in summary.shortcomings()
    assert not [text for text in summary.shortcomings() if "crash never" in text]


@pytest.mark.parametrize(
    ("scenario", "what"),
    [
        ("counter", "crash of @acker"),
        ("mixed", "after elected"),
        ("mixed", "during probes"),
        ("membership", "join"),
        ("membership", "crash of @leader @follower"),
        ("membership", "clog of @node @starting"),
    ],
)
def test_a_role_or_an_event_that_never_came_up_is_told(scenario: str, what: str) -> None:
    summary = Summary(scenario, seeds=100, faults=dict.fromkeys(FIRED[scenario], 1))
    del summary.faults[what]
    assert [text for text in summary.shortcomings() if "never fired" in text] == [f"fault {what} never fired"]


def test_everything_that_may_name_a_role_or_wait_is_wanted() -> None:
    wanted = (*FIRED["membership"], *FIRED["entities"])
    roles = {target for what in wanted for target in what.split() if is_role(target)}
    assert roles == set(ROLES)
    assert {f"after {event}" for event in TRIGGERS} <= {*FIRED["mixed"], *FIRED["entities"]}


def test_faults_say_what_they_waited_for() -> None:
    plan = Plan(
        "counter",
        1,
        ClusterShape(settings={"slots": 2, "session_ttl_s": 6.0}),
        operations=(PlannedOperation(0, "client-1", "counter.add", "a", {"amount": 1}),),
        faults=(
            FaultEvent(0, "restart", ("node-1",), after_ready=True),
            FaultEvent(0, "pause", ("@leader",), 1000, trigger=("elected", 1, 300_000)),
            FaultEvent(0, "wall_step", ("node-2",), 1000, {"seconds": -60}, phase="founding"),
        ),
        duration_us=8_000_000,
    )
    result = run_alone(plan)
    assert result.verdict == HELD
    assert (result.faults["after elected"], result.faults["during founding"]) == (1, 1)
