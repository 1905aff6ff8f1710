"""``python -m chaos run SCENARIO --nodes 3 --seconds 20 --seed N [--json]``; ``python -m chaos fuzz --count N``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from chaos.fuzz import FUZZERS
from chaos.run import SCENARIOS, Outcome, run

ERROR = 2


def main(words: Sequence[str] | None = None) -> int:
    """Run one scenario; 0 held, 1 violated, 2 it could not be run or checked."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the scenarios")
    running = commands.add_parser("run", help="run one")
    running.add_argument("scenario", choices=SCENARIOS)
    running.add_argument("--nodes", type=int, default=3, help="node processes; default 3")
    running.add_argument("--seconds", type=int, default=20, help="how long faults go on; default 20")
    running.add_argument("--seed", type=int, default=0, help="chooses workload and faults")
    running.add_argument("--json", action="store_true", help="print one JSON object")
    fuzzing = commands.add_parser("fuzz", help="apply mutants of the entries of each group")
    fuzzing.add_argument("group", nargs="*", choices=[*FUZZERS, []], help="default: all")
    fuzzing.add_argument("--count", type=int, default=20_000, help="mutants of each group; nightly a million")
    fuzzing.add_argument("--seed", type=int, default=0, help="chooses the mutants")
    options = parser.parse_args(words)
    if options.command == "list":
        print("\n".join(SCENARIOS))
        return 0
    if options.command == "fuzz":
        return fuzz(options.group or list(FUZZERS), options.count, options.seed)
    outcome = asyncio.run(
        run(options.scenario, options.nodes, options.seconds, options.seed, quiet=options.json)
    )
    print(json.dumps(outcome.to_plain()) if options.json else report(outcome))
    return {"held": 0, "violated": 1}.get(outcome.verdict, ERROR)


def fuzz(groups: Sequence[str], count: int, seed: int) -> int:
    """Fuzz some groups and print what was found; 0 when nothing was."""
    found = 0
    for group in groups:
        counts, faults = FUZZERS[group](count, seed)
        print(
            f"{group}, seed {seed}: {', '.join(f'{number} {what}' for what, number in sorted(counts.items()))}"
        )
        for what, example in faults.items():
            print(f"  {what}: {example}")
        found += len(faults)
    return min(found, 1)


def report(outcome: Outcome) -> str:
    """Return the outcome for people."""
    faults = ", ".join(f"{count} {kind}" for kind, count in outcome.faults.items()) or "none"
    lines = [
        f"{outcome.scenario}, seed {outcome.seed}: {outcome.verdict}",
        f"  operations {outcome.operations}, overlapping {outcome.overlapping}, faults: {faults}",
        *(f"  {text}" for text in outcome.violations),
        *(f"    {text}" for text in outcome.timeline),
    ]
    if outcome.verdict != "held":
        lines.append(f"  again: {outcome.command}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
