"""``casty sim``: what it prints, what it writes, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.ablations.bug import planted
from chaos.ablations.planted import PLANTED
from sim.cli import main
from sim.plans.generate import SCENARIOS
from sim.plans.plan import Plan
from sim.runner.sweep import COVERAGE_GOALS, Summary

FIELDS = (
    "scenario", "seed", "verdict", "digest", "virtual_seconds", "wall_seconds", "events", "operations", "faults",
    "goals", "violation",
)  # fmt: skip
SHORT = ("--duration", "2")


def test_list_names_all_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SCENARIOS)
    assert main(["list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(SCENARIOS)


def test_run_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "counter", "--seed", "7", "--json", *SHORT]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [name for name in FIELDS if name not in result] == []
    assert (result["scenario"], result["seed"], result["verdict"]) == ("counter", 7, "held")
    assert main(["run", "counter", "--seed", "7", *SHORT]) == 0
    assert result["digest"] in capsys.readouterr().out


@pytest.mark.slow
def test_a_failure_leaves_a_plan_that_replays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bug = next(bug for bug in PLANTED if bug.name == "no-dedup")
    words = ["counter", "--seeds", "0:4", "--artifacts", str(tmp_path)]
    with planted(bug):
        assert main(["sweep", *words, "--json"]) == 1
        summary = json.loads(capsys.readouterr().out)
        path = Path(summary["failures"][0]["plan"])
        assert Plan.from_json(path.read_text()).seed == summary["failures"][0]["seed"]
        assert main(["replay", str(path)]) == 1
        block = capsys.readouterr().out
    assert summary["failures"][0]["violation"].splitlines()[0] in block
    assert f"casty sim replay {path}" in block
    assert main(["replay", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "held"


@pytest.mark.slow
def test_several_processes_run_every_seed_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["sweep", "set", "--seeds", "3:7", "--jobs", "2", "--artifacts", str(tmp_path), "--json", *SHORT]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["seeds"] == summary["verdicts"]["held"] == 4
    assert summary["failures"] == []


@pytest.mark.parametrize(
    "words", [["run", "meteor", "--seed", "1"], ["run", "lock"], ["sweep", "lock", "--seeds", "x"]]
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_plan_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"version": 9}')
    assert main(["replay", str(path)]) == 2
    assert "plan.version" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "none.json")]) == 2


def _row(seed: int, verdict: str = "held") -> dict[str, object]:
    return {
        "seed": seed, "verdict": verdict, "counts": True, "virtual_seconds": 1.0, "operations": {"ok": 1},
        "faults": {"pause": 1}, "hits": {"pause": {"calls": 0, "holds": 0}}, "goals": {}, "violation": None,
    }  # fmt: skip


def test_a_sweep_that_proves_nothing_fails() -> None:
    summary = Summary("lock")
    for seed in range(99):
        summary.add(_row(seed))
    assert summary.is_good
    summary.add(_row(99))
    assert not summary.is_good
    shortcomings = summary.shortcomings()
    assert [f"goal never reached: {goal}" for goal in COVERAGE_GOALS["lock"]] == shortcomings[
        : len(COVERAGE_GOALS["lock"])
    ]
    assert any("pause met calls under way only 0 times" in text for text in shortcomings)
