"""Many seeds of one scenario, summed up: failures, floors of the faults, goals that have to happen somewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from casty.cluster.authority import RULES

from ..plans.fault_kinds import ALLOCATING, ELASTIC, FAULTS, OF_DISKS, OF_JOURNALS, PHASES
from ..plans.generate import expand
from ..plans.plan import Plan
from ..plans.swarm.actors import ACTORS
from ..plans.swarm.disks import DISK_AIMS, DURABLE
from ..plans.swarm.faults import AIMS, HEIRS, LATE
from ..plans.swarm.journal import JOURNAL
from ..plans.swarm.ledgers import ENTITIES
from ..plans.swarm.members import MEMBER_AIMS
from ..plans.triggers import TRIGGERS
from .cpu_limit import SEED_LIMIT_S, OutOfTime, limited
from .result import ERROR, HELD, UNDECIDED, VIOLATED, Result
from .run import run_plan

__all__ = ["COVERAGE_GOALS", "Summary", "run_alone", "run_seeds", "sweep"]

VERDICTS = (HELD, VIOLATED, ERROR, UNDECIDED)
_HUNDRED = 100
_FLOOR_CALLS = 3
_FLOOR_HOLDS = 1
_MAX_FAILURES = 20

_COMMON = (
    "leaders", "a call was redirected", "duplicates applied", "snapshots installed", "learners", "joint changes",
    "sessions expired", "requests abandoned", "a leader died with calls under way", "a call was cancelled",
)  # fmt: skip
_WAITING = ("withdrawals asked",)
_WITHOUT_MEMORY = ("a call was refused for memory", "a full node was open again")
_HOLDING = (*_WAITING, "grants crossed a withdrawal", "a hold was lost")
_LIMITED = ("refused for max_waiters", "refused for max_entities", "refused for max_sessions")
_SERVING = (
    "services registered", "services taken back", "services stopped", "services found", "listings heard",
    "listings compared",
)  # fmt: skip
_ON_RECORD = (
    "all memory was lost", "all memory was lost with calls under way", "an entity was restored",
    "answers checked against the journal", "calls told that they are not on record",
    "calls told of the journal's failure",
)  # fmt: skip
_OF_ACTORS = (
    *(f"watches of a {target} by a {watcher}" for target in ("node", "client") for watcher in ("node", "client")),
    "watches of who was gone already", "watches of nobody", "watches of whoever is there",
    "watches of several of one", "ends that had to be told soon", "ends told late", "ends told over a fault",
    "ends told of who stopped", "ends told of who died with its process",
    "ends told of who was given up and lives", "ends told of clients out of reach",
    "an actor of a former process was told something", "an actor of one who was gone was told something",
    "actors got stuck", "actors restarted", "a process left in order", "a busy process left in peace",
    "an entity with an odd id answered", "an entity asked another one", "an entity lived again",
    "an endless handler was cancelled in a hand-over",
)  # fmt: skip
_OF_LEDGERS = (
    "an entity lived again", "one of the ledgers answered", "one of the visits answered", "snapshots kept",
    "recovered", "recovered from a snapshot and events", "events refused",
    *(f"heard by {how}" for how in ("a reply", "a tell", "a child", "a pipe", "what comes then")),
    "heard by a tell of what comes then",
    *(f"ledgers did: {deed}" for deed in ("add", "read", "effects", "slow", "nested", "stop", "refuse", "fail")),
    "ledgers did: restart", "events written to a journal", "all memory was lost",
)  # fmt: skip
COVERAGE_GOALS: dict[str, tuple[str, ...]] = {
    "lock": (*_COMMON, *_HOLDING, "a holder died"),
    "semaphore": (*_COMMON, *_HOLDING),
    "rw_lock": (*_COMMON, *_HOLDING),
    "election": (*_COMMON, *_HOLDING, "a holder died"),
    "barrier": (*_COMMON, *_WAITING, "barrier trips"),
    "counter": _COMMON,
    "map": _COMMON,
    "set": _COMMON,
    "queue": _COMMON,
    "membership": (
        *_COMMON,
        *_HOLDING,
        *_SERVING,
        "nodes joined",
        "a process left in order",
        "a node left for good",
        "a node was replaced",
        "replicas moved",
        "every founder was replaced",
    ),
    "memory": (*_WITHOUT_MEMORY, *(f"no memory to {what}" for what in ALLOCATING)),
    "mixed": (
        *_COMMON,
        *_HOLDING,
        *_SERVING,
        *_LIMITED,
        "a holder died",
        "barrier trips",
        "an entity lived again",
        "an entity answered",
        "links compared",
        "messages lost with links",
        *_WITHOUT_MEMORY,
    ),
    ACTORS: (*_COMMON, *_SERVING, *_OF_ACTORS),
    ENTITIES: (*_COMMON, *_OF_LEDGERS),
    JOURNAL: (*_COMMON, *_HOLDING, *_ON_RECORD),
    DURABLE: (
        *_COMMON,
        *_HOLDING,
        "disks opened again",
        "replicas restored",
        "replicas with damaged records",
        "all nodes died at once",
        "a start with an old disk came to nothing",
    ),
    "rogue": tuple(f"forged frames of kind {kind}" for kind in RULES),
}
"""Scenario -> what has to happen somewhere in a hundred seeds; a sweep in which it never did proved nothing."""


IN_EVERY_RUN: dict[str, tuple[str, ...]] = {
    "mixed": ("compactions", "snapshots installed", "learners", "joint changes")
}
"""Scenario -> what each of its runs has to see."""

_OF_MEMBERS = ("join", *ELASTIC)
"""Kinds that only ``membership`` draws."""
_ELSEWHERE = (*_OF_MEMBERS, *OF_JOURNALS, *OF_DISKS)
_AIMED = tuple(dict.fromkeys(f"{aim.kind} of {' '.join(aim.targets)}" for aim in AIMS.values()))
_WRITTEN = "written"
"""What only entities with a journal are waited for."""
_DRAWN = (
    *(kind for kind in FAULTS if kind not in _ELSEWHERE),
    *_AIMED,
    *(f"{kind} of {' '.join(targets)}" for kind, targets in (*LATE, HEIRS)),
    *(f"after {event}" for event in TRIGGERS if event != _WRITTEN),
    *(f"during {phase}" for phase in PHASES if phase),
)
FIRED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(COVERAGE_GOALS, tuple(name for name in _DRAWN if not name.startswith("allocation"))),
    **dict.fromkeys(("mixed", ACTORS), _DRAWN),
    "membership": (
        *_DRAWN,
        *_OF_MEMBERS,
        *(f"{kind} of {' '.join(targets)}" for kind, targets in MEMBER_AIMS),
    ),
    "memory": ("memory", "allocation", "link_loss"),
    ENTITIES: ("crash of @writer", f"after {_WRITTEN}", *OF_JOURNALS),
    JOURNAL: ("crash", "client_crash", "client_crash of @waiter", "after commit", *OF_JOURNALS),
    DURABLE: (
        *_DRAWN,
        *OF_DISKS,
        *(f"{kind} of {' '.join(targets)}" for kind, targets, _ in DISK_AIMS),
    ),
}
"""Scenario -> what has to fire somewhere in a hundred seeds: each kind of fault, each aim at a role, and whatever
waits for an event, or belongs to a phase. A role that nobody ever has makes an aim that proves nothing."""


@dataclass(slots=True)
class Summary:
    """What a sweep came to."""

    scenario: str
    seeds: int = 0
    counted: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    virtual_seconds: float = 0.0
    operations: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    hits: dict[str, dict[str, int]] = field(default_factory=dict)
    goals: dict[str, int] = field(default_factory=dict)
    runs_without: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Count one run, given as `Result.to_plain` makes it, with ``block`` and ``plan`` beside it."""
        self.seeds += 1
        self.counted += bool(row["counts"])
        self.verdicts[row["verdict"]] += 1
        self.virtual_seconds += row["virtual_seconds"]
        for name in ("operations", "faults", "goals"):
            _add_up(getattr(self, name), row[name])
        _add_up(self.runs_without, dict.fromkeys(self._lacks(row), 1))
        for kind, hits in row["hits"].items():
            _add_up(self.hits.setdefault(kind, {}), hits)
        if row["verdict"] != HELD and len(self.failures) < _MAX_FAILURES:
            self.failures.append(
                {"seed": row["seed"], "violation": row["violation"], "plan": row.get("plan")}
            )

    def _lacks(self, row: dict[str, Any]) -> list[str]:
        wanted = IN_EVERY_RUN.get(self.scenario, ()) if row["verdict"] == HELD else ()
        return [goal for goal in wanted if not row["goals"].get(goal)]

    def shortcomings(self) -> list[str]:
        """Return why the sweep proves less than it claims; judged from a hundred seeds on."""
        if self.seeds < _HUNDRED:
            return []
        missing = [
            f"goal never reached: {goal}"
            for goal in COVERAGE_GOALS[self.scenario]
            if not self.goals.get(goal)
        ]
        missing += [f"{count} runs without {goal}" for goal, count in self.runs_without.items()]
        missing += [f"fault {kind} never fired" for kind in FIRED[self.scenario] if not self.faults.get(kind)]
        for kind in sorted(self.hits):
            calls, holds = self.hits[kind].get("calls", 0), self.hits[kind].get("holds", 0)
            if calls * _HUNDRED < _FLOOR_CALLS * self.seeds:
                missing.append(f"fault {kind} met calls under way only {calls} times in {self.seeds} seeds")
            if self.scenario in ("lock", "mixed") and holds * _HUNDRED < _FLOOR_HOLDS * self.seeds:
                missing.append(f"fault {kind} met holds only {holds} times in {self.seeds} seeds")
        return missing

    @property
    def is_good(self) -> bool:
        """Whether everything held, and the sweep proves it."""
        return self.verdicts[HELD] == self.seeds and not self.shortcomings()

    def to_plain(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "scenario": self.scenario,
            "seeds": self.seeds,
            "counted": self.counted,
            "verdicts": self.verdicts,
            "virtual_seconds": round(self.virtual_seconds, 3),
            "operations": self.operations,
            "faults": self.faults,
            "hits": self.hits,
            "goals": self.goals,
            "shortcomings": self.shortcomings(),
            "failures": self.failures,
        }


def _add_up(total: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def run_seeds(
    scenario: str, seeds: Sequence[int], artifacts: Path, duration_s: int | None
) -> Iterator[dict[str, Any]]:
    """Run seeds one after the other, and write the plan of each that fails; an exception costs one seed."""
    for seed in seeds:
        plan = expand(scenario, seed, duration_s=duration_s)
        result = run_alone(plan)
        row = result.to_plain()
        if result.verdict != HELD:
            row["plan"] = str(write_plan(artifacts, scenario, seed, plan.to_json()))
            row["block"] = result.block(row["plan"])
        yield row


def run_alone(plan: Plan, limit_s: float = SEED_LIMIT_S) -> Result:
    """Run a plan; whatever it raises, or that it does not end, is an error of this run and of no other.

    Parameters
    ----------
    limit_s
        The most processor time, in seconds.
    """
    try:
        with limited(limit_s):
            return run_plan(plan)
    except (Exception, OutOfTime) as error:  # the boundary of a seed: the others go on
        text = f"the run ended with {type(error).__name__}: {error}; at {_place_of(error)}"
        result = Result(plan.scenario, plan.seed, ERROR, error=text)
        result.operations = dict.fromkeys(("ok", "failed", "unknown"), 0)
        return result


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[:-4:-1])


def write_plan(artifacts: Path, scenario: str, seed: int, text: str) -> Path:
    """Write a plan where failures are kept, and return its path."""
    artifacts.mkdir(parents=True, exist_ok=True)
    path = artifacts / f"{scenario}-{seed}.json"
    path.write_text(text)
    return path


def sweep(
    scenario: str,
    seeds: Sequence[int],
    *,
    jobs: int = 1,
    artifacts: Path = Path("casty-sim"),
    duration_s: int | None = None,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> Summary:
    """Run many seeds, with several processes if asked, and sum them up.

    Parameters
    ----------
    scenario, seeds
        What to run.
    jobs
        Processes; each takes every so-many-th seed.
    artifacts
        Where failing plans go.
    duration_s
        Virtual seconds of workload and faults a run.
    on_row
        Told of each run as it ends.
    """
    summary = Summary(scenario)
    rows = (
        run_seeds(scenario, seeds, artifacts, duration_s)
        if jobs <= 1 or len(seeds) <= 1
        else _in_processes(scenario, seeds, jobs, artifacts, duration_s)
    )
    for row in rows:
        summary.add(row)
        if on_row is not None:
            on_row(row)
    return summary


def _in_processes(
    scenario: str, seeds: Sequence[int], jobs: int, artifacts: Path, duration_s: int | None
) -> Iterator[dict[str, Any]]:
    rows: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    with ThreadPoolExecutor(jobs) as pool:
        workers = [
            pool.submit(_read_worker, scenario, list(seeds[job::jobs]), artifacts, duration_s, rows)
            for job in range(jobs)
        ]
        left = jobs
        while left:
            row = rows.get()
            if row is None:
                left -= 1
            else:
                yield row
        for worker in workers:
            worker.result()


def _read_worker(
    scenario: str,
    seeds: Sequence[int],
    artifacts: Path,
    duration_s: int | None,
    rows: SimpleQueue[dict[str, Any] | None],
) -> None:
    """Run one worker process; seeds that it does not report are errors, never silently left out."""
    command = [
        sys.executable, "-m", "casty.cli", "sim", "rows", scenario, "--artifacts", str(artifacts),
        *(() if duration_s is None else ("--duration", str(duration_s))), "--numbers", *map(str, seeds),
    ]  # fmt: skip
    reported: dict[int, None] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            row = json.loads(line)
            reported[row["seed"]] = None
            rows.put(row)
    for seed in seeds:
        if seed not in reported:
            lost = Result(scenario, seed, ERROR, error=f"the worker ended with {process.returncode}")
            lost.operations = {"ok": 0, "failed": 0, "unknown": 0}
            rows.put(lost.to_plain())
    rows.put(None)
