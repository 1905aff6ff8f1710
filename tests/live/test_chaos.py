"""A short chaos run with a fixed seed: real processes, killed and paused under the simulator's workload."""

from __future__ import annotations

import asyncio

import pytest

from chaos.__main__ import main, report
from chaos.nemesis import KINDS, Nemesis, schedule
from chaos.run import SCENARIOS, Outcome, run
from sim.plans.plan import FaultEvent


@pytest.mark.live
@pytest.mark.slow
async def test_locks_hold_while_nodes_are_killed_and_paused() -> None:
    outcome = await run("lock", nodes=3, seconds=12, seed=2, quiet=True)
    assert outcome.verdict == "held", report(outcome)
    assert outcome.faults["crash"] >= 1
    assert outcome.faults["pause"] >= 1
    assert outcome.operations["ok"] > 0


def test_a_schedule_is_its_seed() -> None:
    names = ["node-1", "node-2", "node-3"]
    assert schedule(7, 20, names) == schedule(7, 20, names)
    assert schedule(7, 20, names) != schedule(8, 20, names)
    longer = schedule(7, 30, names)
    assert longer[:22] == schedule(7, 20, names), "more time adds faults and changes none"
    assert sorted(inject.kind for inject in longer[:2]) == sorted(KINDS)


class Fragile:
    """A process that takes its time to be ready, and may not be harmed before."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")

    async def kill(self) -> None:
        self.said.append("kill")

    async def start(self) -> None:
        self.said.append("start")

    async def ready(self) -> None:
        await asyncio.sleep(0)
        self.said.append("ready")


async def test_nobody_is_harmed_before_the_one_before_is_ready() -> None:
    node = Fragile()
    faults = [
        FaultEvent(at, kind, ("n",), 1000) for at, kind in ((0, "crash"), (2000, "pause"), (4000, "crash"))
    ]
    nemesis = Nemesis({"n": node}, faults, lambda text: None)
    await nemesis.torment(60, lambda: 1)
    assert node.said == ["kill", "start", "ready", "pause", "resume", "kill", "start", "ready"]
    assert nemesis.done == {"crash": 2, "pause": 1} and nemesis.in_flight == 3


def test_the_scenarios_are_those_of_the_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == list(SCENARIOS)


async def test_too_few_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 or more"):
        await run("lock", nodes=2, seconds=1, seed=0)


def test_a_violation_is_told_with_the_way_to_see_it_again() -> None:
    outcome = Outcome("lock", 7, 3, 20, "violated", violations=["two held it"], timeline=["#1 ...", "#2 ..."])
    text = report(outcome)
    assert "two held it" in text
    assert "python -m chaos run lock --nodes 3 --seconds 20 --seed 7" in text
    assert outcome.to_plain()["violation"] == "two held it"
