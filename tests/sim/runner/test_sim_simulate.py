"""`simulate` and the pytest plugin."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sim import Faults, World, simulate
from sim.faults.random_nemesis import Nemesis
from sim.faults.settings import FAMILIES, LINK_FAMILIES, PROCESS_FAMILIES
from sim.kernel.draws import Draws
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
    [kept] = (project.path / "kept").iterdir()
    content = json.loads(kept.read_text())
    assert content["test"] == "test_it.py::test_even[seed3]" and "AssertionError" in content["error"]


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


def test_nemesis_does_everything_and_a_minority_is_down() -> None:
    done: dict[str, int] = {}

    async def main(world: World) -> None:
        names = [f"n{index}" for index in range(5)]
        for name in names:
            world.add_node(name, idle)
            await world.start(name)
        nemesis = Nemesis(world, Faults(gap_s=0.2, crash_gap_s=5))
        nemesis.begin(names)
        for _ in range(1000):
            await asyncio.sleep(0.1)
            stopped = [
                name for name in names if not world.processes[name].is_up or world.processes[name].is_paused
            ]
            assert len(stopped) <= 2
        nemesis.end()
        await world.quiesce(1.0)
        assert all(world.processes[name].is_up for name in names)
        assert not any(world.network.path(a, b).is_cut for a in names for b in names)
        done.update(nemesis.done)

    digests = []
    for _ in range(2):
        with World(3) as world:
            world.run(main(world))
            digests.append(world.digest())
    assert digests[0] == digests[1]
    assert sorted(done) == sorted([*LINK_FAMILIES, *PROCESS_FAMILIES])
