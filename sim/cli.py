"""``casty sim``: run one seed, sweep many, replay or shrink a plan."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from .plans.generate import ACTOR_KINDS, ROGUE, SCENARIO_KINDS, SCENARIOS, expand
from .plans.json_reader import PlanError
from .plans.plan import Plan
from .plans.swarm.actors import ACTORS, TREE_ARGUMENTS
from .plans.swarm.disks import DURABLE
from .plans.swarm.journal import JOURNAL, NOT_RECORDED
from .plans.swarm.ledgers import ENTITIES, LEDGER_ARGUMENTS
from .plans.swarm.memory import MEMORY_ARGUMENTS
from .plans.swarm.services import SERVICE_ARGUMENTS
from .runner.logs import logged
from .runner.result import HELD, Result
from .runner.run import run_plan
from .runner.shrink import MOST_RUNS, failing, shrink
from .runner.sweep import Summary, run_seeds, sweep, write_plan

__all__ = ["main"]

USAGE = 2


def main(words: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    words
        What comes after ``casty sim``.

    Returns
    -------
    int
        0: everything held; 1: something did not; 2: wrong usage.
    """
    options = _parser().parse_args(list(words))
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        with logged(logging.DEBUG if options.verbose else logging.CRITICAL):
            return run(options)
    except (PlanError, OSError) as error:
        print(f"casty sim: {error}", file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="casty sim", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="show the log of the simulated nodes")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="name the scenarios")
    listing.set_defaults(run=_list)
    one = commands.add_parser("run", help="run one seed of a scenario")
    one.add_argument("scenario", choices=SCENARIOS)
    one.add_argument("--seed", type=int, required=True)
    one.set_defaults(run=_run)
    many = commands.add_parser("sweep", help="run many seeds; the plans of those that fail are written")
    many.add_argument("scenario", choices=SCENARIOS)
    many.add_argument(
        "--seeds", type=_seed_range, required=True, metavar="FROM:TO", help="TO is not included"
    )
    many.add_argument("--jobs", type=_positive, default=1, help="processes")
    many.set_defaults(run=_sweep)
    again = commands.add_parser("replay", help="run a plan")
    again.add_argument("plan", type=Path)
    again.set_defaults(run=_replay)
    smaller = commands.add_parser("shrink", help="take out of a failing plan what it fails without")
    smaller.add_argument("plan", type=Path)
    smaller.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the smaller plan")
    smaller.add_argument("--runs", type=_positive, default=MOST_RUNS, metavar="N", help="how many at most")
    smaller.set_defaults(run=_shrink)
    rows = commands.add_parser(
        "rows", help="run seeds and print one JSON object a line, as sweep's workers do"
    )
    rows.add_argument("scenario", choices=SCENARIOS)
    rows.add_argument("--numbers", type=int, nargs="*", default=[])
    rows.set_defaults(run=_rows)
    for command in (listing, one, many, again):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    for command in (one, many, again, rows):
        command.add_argument(
            "--artifacts", type=Path, default=Path("casty-sim"), help="where failing plans go"
        )
    for command in (one, many, rows):
        command.add_argument(
            "--duration", type=_positive, default=None, metavar="S", help="virtual seconds of workload"
        )
    return parser


def _seed_range(text: str) -> range:
    first, colon, last = text.partition(":")
    try:
        seeds = range(int(first), int(last)) if colon else range(int(first))
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise argparse.ArgumentTypeError(f"expected FROM:TO with at least one seed, found {text!r}")
    return seeds


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, at least 1, found {text!r}")
    return value


def _list(options: argparse.Namespace) -> int:
    everything = tuple(chain(*SCENARIO_KINDS.values()))
    kinds = {**SCENARIO_KINDS, "mixed": (*everything, *ACTOR_KINDS), "membership": everything}
    kinds["memory"] = (*everything, *MEMORY_ARGUMENTS)
    kinds[ACTORS] = (*TREE_ARGUMENTS, *SERVICE_ARGUMENTS)
    kinds[ENTITIES] = tuple(LEDGER_ARGUMENTS)
    kinds[JOURNAL] = tuple(chain(*(own for name, own in SCENARIO_KINDS.items() if name not in NOT_RECORDED)))
    kinds[ROGUE] = kinds[DURABLE] = kinds["mixed"]
    if options.json:
        print(json.dumps({name: list(own) for name, own in kinds.items()}))
    else:
        for name, own in kinds.items():
            texts = {
                "mixed": "all of these together",
                ROGUE: "the same, and a process that forges frames",
                DURABLE: "the same on nodes with disks, and what happens to those",
            }
            print(f"{name:10} {texts.get(name) or ' '.join(own)}")
    return 0


def _run(options: argparse.Namespace) -> int:
    plan = expand(options.scenario, options.seed, duration_s=options.duration)
    result = run_plan(plan)
    path = "-"
    if result.verdict != HELD:
        path = str(write_plan(options.artifacts, plan.scenario, plan.seed, plan.to_json()))
    return _report(result, path, options.json)


def _replay(options: argparse.Namespace) -> int:
    plan = Plan.from_json(options.plan.read_text())
    return _report(run_plan(plan), str(options.plan), options.json)


def _shrink(options: argparse.Namespace) -> int:
    plan = Plan.from_json(options.plan.read_text())
    small = shrink(plan, failing(plan), most_runs=options.runs)
    options.output.write_text(small.to_json())
    for what, before, after in (
        ("operations", plan.operations, small.operations), ("faults", plan.faults, small.faults),
    ):  # fmt: skip
        print(f"{what}: {len(before)} -> {len(after)}")
    for fault in small.faults:
        print(f"  {fault.at_us / 1e6:.6f} s: {fault.describe()}")
    print(f"written to {options.output}")
    return 0


def _report(result: Result, path: str, is_json: bool) -> int:
    if is_json:
        print(json.dumps({**result.to_plain(), "plan": None if path == "-" else path}))
    elif result.verdict == HELD:
        print(_line(result.to_plain()))
        for name, count in result.goals.items():
            print(f"  {name}: {count}")
        for what in result.skipped:
            print(f"  skipped: {what}")
    else:
        print(result.block(path))
    return int(result.verdict != HELD)


def _line(row: dict[str, Any]) -> str:
    operations = ", ".join(f"{count} {name}" for name, count in row["operations"].items())
    return (
        f"{row['scenario']} {row['seed']}: {row['verdict']}, {row['virtual_seconds']:.1f} virtual s in "
        f"{row['wall_seconds']:.2f} s, {operations}; {sum(row['faults'].values())} faults, {row['digest']}"
    )


def _sweep(options: argparse.Namespace) -> int:
    progress = _Progress(len(options.seeds), options.json)
    summary = sweep(
        options.scenario,
        options.seeds,
        jobs=options.jobs,
        artifacts=options.artifacts,
        duration_s=options.duration,
        on_row=progress.row,
    )
    if options.json:
        print(json.dumps(summary.to_plain()))
    else:
        _print_summary(summary)
    return int(not summary.is_good)


class _Progress:
    """Tells a person how far a sweep is."""

    def __init__(self, total: int, is_json: bool) -> None:
        self._total = total
        self._is_json = is_json
        self._done = 0

    def row(self, row: dict[str, Any]) -> None:
        """Tell of one run."""
        self._done += 1
        if row["verdict"] != HELD:
            print(
                row.get("block") or row["violation"],
                file=sys.stderr if self._is_json else sys.stdout,
                flush=True,
            )
        if self._done % 100 == 0 or self._done == self._total:
            print(f"{self._done} of {self._total} seeds", file=sys.stderr, flush=True)


def _print_summary(summary: Summary) -> None:
    verdicts = ", ".join(f"{count} {name}" for name, count in summary.verdicts.items())
    print(f"{summary.scenario}: {summary.seeds} seeds: {verdicts}; {summary.counted} count")
    print(f"  virtual seconds: {summary.virtual_seconds:.0f}")
    print(f"  operations: {_counts(summary.operations)}")
    print(f"  faults: {_counts(summary.faults)}")
    hits = {
        kind: f"{own.get('calls', 0)}/{own.get('holds', 0)}" for kind, own in sorted(summary.hits.items())
    }
    print(f"  faults that met calls/holds: {_counts(hits)}")
    print(f"  goals: {_counts(summary.goals)}")
    for shortcoming in summary.shortcomings():
        print(f"  SHORT: {shortcoming}")
    for failure in summary.failures:
        print(f"  seed {failure['seed']}: {failure['violation']}")


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def _rows(options: argparse.Namespace) -> int:
    for row in run_seeds(options.scenario, options.numbers, options.artifacts, options.duration):
        print(json.dumps(row), flush=True)
    return 0
