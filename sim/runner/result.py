"""What a run came to, for people and for programs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..checks.violation import Violation
from ..history import Operation
from ..kernel.trace import Trace

__all__ = ["ERROR", "HELD", "UNDECIDED", "VIOLATED", "Result", "evidence_of", "verdict_of"]

HELD = "held"
VIOLATED = "violated"
ERROR = "error"
UNDECIDED = "undecided"
"""The search of a history gave up: it was neither explained nor refuted, so the run proves nothing."""

_MAX_UNKNOWN = 0.2
LAST_EVENTS = 12
"""Events at the end of a run that a report shows."""


@dataclass(slots=True)
class Result:
    """One run.

    Parameters
    ----------
    scenario, seed, verdict, digest
        What ran and how it ended; `verdict` is `HELD`, `VIOLATED`, `ERROR` (the run itself failed)
        or `UNDECIDED` (a history could neither be explained nor refuted).
    virtual_seconds, wall_seconds, events
        How long, in the world's time and in real time, and how many events its trace has.
    operations
        How many ended ok, failed (certainly not applied) or unknown.
    faults
        Fault kind -> how many were applied.
    hits
        Fault kind -> how many of them met calls under way, and how many met holds.
    goals
        Interesting thing -> how often it happened.
    violation
        The first broken invariant, or the error, in words.
    """

    scenario: str
    seed: int
    verdict: str = HELD
    digest: str = ""
    virtual_seconds: float = 0.0
    wall_seconds: float = 0.0
    events: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    overlapping: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    hits: dict[str, list[int]] = field(default_factory=dict)
    goals: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    timeline: list[str] = field(default_factory=list)
    error: str = ""
    undecided: list[str] = field(default_factory=list)

    @property
    def violation(self) -> str | None:
        """What is wrong, in one line."""
        if self.violations:
            return str(self.violations[0])
        if self.error:
            return self.error
        return f"the search gave up on {', '.join(self.undecided)}" if self.undecided else None

    @property
    def counts(self) -> bool:
        """Whether the run proves something: calls overlapped, and few ended unknown."""
        total = sum(self.operations.values())
        return total > 0 and self.overlapping > 0 and self.operations["unknown"] <= _MAX_UNKNOWN * total

    def to_plain(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "verdict": self.verdict,
            "digest": self.digest,
            "virtual_seconds": round(self.virtual_seconds, 6),
            "wall_seconds": round(self.wall_seconds, 3),
            "events": self.events,
            "operations": self.operations,
            "faults": self.faults,
            "hits": {kind: {"calls": hits[0], "holds": hits[1]} for kind, hits in self.hits.items()},
            "goals": self.goals,
            "counts": self.counts,
            "skipped": self.skipped,
            "violation": self.violation,
        }

    def block(self, plan_file: str) -> str:
        """Return the text that a failure prints."""
        lines = [f"{self.verdict.upper()}: {self.violation}"]
        lines += [f"  also: {violation}" for violation in self.violations[1:4]]
        lines.append(f"  {self.scenario}, seed {self.seed}, digest {self.digest}, plan {plan_file}")
        lines.append(f"  replay: casty sim replay {plan_file}")
        lines += [f"  {line}" for line in self.timeline]
        lines.append(f"  {platform.python_implementation()} {platform.python_version()}")
        return "\n".join(lines)


def verdict_of(result: Result) -> str:
    """Return what a run comes to, by what was found in it."""
    if result.violations:
        return VIOLATED
    if result.error:
        return ERROR
    return UNDECIDED if result.undecided else HELD


def evidence_of(trace: Trace, operations: Sequence[Operation], violation: Violation) -> list[str]:
    """Return the operations of a violation, and the last events of the run."""
    lines = [str(operations[number]) for number in violation.operations if number < len(operations)]
    last = [trace[at] for at in range(max(0, len(trace) - LAST_EVENTS), len(trace))]
    return lines + [f"{one.t_ns / 1e9:.6f} {one.node}: {one.kind}{tuple(one.event)!r}" for one in last]
