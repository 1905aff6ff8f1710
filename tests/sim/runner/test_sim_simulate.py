"""`simulate` and the pytest plugin."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sim import FaultEvent, Faults, Plan, PlanError, World, simulate
from sim.cli import main
from sim.faults.nemesis import Nemesis
from sim.faults.settings import FAMILIES, LINK_FAMILIES, PROCESS_FAMILIES
from sim.kernel.draws import Draws
from sim.plans.plan import PlannedOperation
from sim.runner.shrink import failing, shrink
from sim.world.process import Process

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

FILE = """
import asyncio
from sim import simulate

@simulate(seeds=4)
async def test_even(world):
    await asyncio.sleep(1)
    assert world.seed % 2 == 0 or world.seed < 3, "odd"

@simulate(seeds=[5])
async def test_with_fixture(world, tmp_path):
    assert world.seed == 5 and tmp_path
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # installed, the plugin would load twice
    pytester.makepyfile(test_it=FILE)
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    plugins = ["-p", "casty.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    return project.runpytest_subprocess(*plugins, *options)


def test_seeds_are_parameters_and_a_failure_says_how_to_replay(project: pytest.Pytester) -> None:
    result = run(project, "--casty-artifacts", "kept")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        [
            "casty: seeds as the tests name them*",
            "*odd*",
            "*casty: seed 3 failed after 1.0* virtual seconds, digest 1:*",
            "*casty: replay with: pytest 'test_it.py::test_even' --casty-seed 3*",
        ]
    )
    plan, kept = sorted((project.path / "kept").iterdir(), key=lambda path: len(path.suffixes), reverse=True)
    content = json.loads(kept.read_text())
    assert content["test"] == "test_it.py::test_even[seed3]" and "AssertionError" in content["error"]
    assert Plan.from_json(plan.read_text()).scenario == "test_it.test_even"
    again = run(project, "--casty-plan", str(plan))
    again.assert_outcomes(failed=1, skipped=1)
    again.stdout.fnmatch_lines(["casty: seeds of the plan of test_it.test_even, seed 3*", "*odd*"])


def test_a_plan_that_cannot_be_read_is_a_usage_error(project: pytest.Pytester) -> None:
    (project.path / "bad.json").write_text("{}")
    for name, text in (("gone.json", "cannot read"), ("bad.json", "version")):
        result = run(project, "--casty-plan", name)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*--casty-plan: *{text}*"])


def test_seed_options(project: pytest.Pytester) -> None:
    run(project, "-k", "even", "--casty-seed", "3").assert_outcomes(failed=1)
    run(project, "-k", "even", "--casty-seeds", "4:7").assert_outcomes(passed=2, failed=1)


def test_jobs_share_the_seeds(project: pytest.Pytester) -> None:
    result = run(project, "-k", "even", "--casty-jobs", "2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--casty-seed 3*"])
    run(project, "-k", "even", "--casty-jobs", "2", "--casty-seeds", "0:3").assert_outcomes(passed=1)


def test_plain_call_runs_every_seed() -> None:
    seen: list[int] = []

    @simulate(seeds=3)
    async def body(world: World) -> None:
        seen.append(world.seed)

    body()
    body(casty_seed=9)
    assert seen == [0, 1, 2, 9]


def test_families_are_switched_by_the_seed() -> None:
    chosen = [Faults.swarm().chosen(Draws(seed)) for seed in range(50)]
    average = sum(len(families) for families in chosen) / 50
    assert len(FAMILIES) * 0.4 < average < len(FAMILIES) * 0.6
    assert Faults.none().chosen(Draws(1)) == []
    with pytest.raises(ValueError, match="families"):
        Faults(families=("typo",))


async def idle(process: Process) -> None:
    await asyncio.sleep(0)


NAMES = [f"n{index}" for index in range(5)]


async def harmed(world: World, nemesis: Nemesis) -> None:
    for name in NAMES:
        world.add_node(name, idle)
        await world.start(name)
    nemesis.begin(lambda: NAMES)
    for _ in range(1000):
        await asyncio.sleep(0.1)
        processes = world.processes.values()
        assert sum(not process.is_up or process.is_paused for process in processes) <= 2
    nemesis.end()
    await world.quiesce(1.0)
    assert all(world.processes[name].is_up for name in NAMES)
    assert not any(world.network.path(a, b).is_cut for a in NAMES for b in NAMES)


def test_nemesis_does_everything_and_a_minority_is_down() -> None:
    digests, kinds, events = [], {}, ()
    for _ in range(2):
        with World(3) as world:
            nemesis = Nemesis(world, Faults(gap_s=0.2, crash_gap_s=5))
            world.run(harmed(world, nemesis))
            digests.append(world.digest())
            kinds, events = nemesis.done, tuple(nemesis.events)
    assert digests[0] == digests[1]
    assert sorted(kinds) == sorted([*LINK_FAMILIES, *PROCESS_FAMILIES])

    with World(3) as world:
        nemesis = Nemesis(world, Faults.none(), events)
        world.run(harmed(world, nemesis))
        assert tuple(nemesis.events) == events
        assert world.digest() == digests[0], "what came is all that happened"


@simulate(seeds=[4], faults=Faults(families=("crash", "pause", "reset"), gap_s=1, crash_gap_s=1))
async def crashes_twice(world: World) -> None:
    """Fails once two processes crashed, whatever else happened."""
    for name in NAMES:
        world.add_node(name, idle)
        await world.start(name)
    await asyncio.sleep(60)
    crashed = [entry.node for entry in world.trace if entry.kind == "Crashed"]
    assert len(crashed) < 2, crashed


def plan_of(casty_seed: int | Plan) -> tuple[Plan, str]:
    """Run a test that has to fail."""
    with pytest.raises(AssertionError) as caught:
        crashes_twice(casty_seed=casty_seed)
    return Plan.from_json(caught.value.__dict__["casty_plan"]), caught.value.__notes__[0]


def test_a_failure_has_the_plan_of_what_happened() -> None:
    plan, note = plan_of(0)
    assert plan.scenario.endswith("test_sim_simulate.crashes_twice") and plan.seed == 0
    crashes = [fault for fault in plan.faults if fault.kind == "crash"]
    assert len(crashes) >= 2 and crashes[0].describe() in note
    again, same = plan_of(plan)
    assert again == plan and same.splitlines()[0] == note.splitlines()[0], "with the same digest"


def test_a_failing_plan_shrinks_to_what_it_fails_with() -> None:
    plan, _ = plan_of(0)
    small = shrink(plan, failing(plan))
    assert [fault.kind for fault in small.faults] == ["crash", "crash"] and len(plan.faults) > 10
    plan_of(small)
    with pytest.raises(PlanError, match="nothing goes wrong"):
        shrink(small.without(faults=(0,)), failing(small))
    with pytest.raises(PlanError, match=r"plan\.scenario"):
        failing(replace(plan, scenario="no.such_test"))


def test_shrinking_keeps_what_is_needed_and_its_runs_are_bounded() -> None:
    operations = tuple(PlannedOperation(at, "client-1", "counter.add", "a") for at in range(40))
    faults = tuple(FaultEvent(at, "pause", ("node-1",)) for at in range(9))
    plan, runs = Plan("counter", 1, operations=operations, faults=faults), []

    def fails(tried: Plan) -> str:
        runs.append(tried)
        times = [operation.at_us for operation in tried.operations]
        return "lost" if 7 in times and 31 in times and tried.faults else ""

    small = shrink(plan, fails)
    assert [operation.at_us for operation in small.operations] == [7, 31] and len(small.faults) == 1
    assert len(runs) < 80
    runs.clear()
    assert fails(shrink(plan, fails, most_runs=10)) == "lost" and len(runs) == 11


def test_the_command_shrinks_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, _ = plan_of(0)
    (tmp_path / "plan.json").write_text(plan.to_json())
    words = ["shrink", str(tmp_path / "plan.json"), "-o", str(tmp_path / "small.json")]
    assert main(words) == 0
    assert f"faults: {len(plan.faults)} -> 2" in capsys.readouterr().out
    assert main(["shrink", str(tmp_path / "gone.json"), "-o", str(tmp_path / "small.json")]) == 2
    plan_of(Plan.from_json((tmp_path / "small.json").read_text()))
