"""``python -m chaos.ablations``: plant each bug, and count the seeds that it takes to find it."""

from __future__ import annotations

import argparse
import sys

from sim.executor import run_plan
from sim.swarm import expand

from .planted import PLANTED, Planted

DURATION_S = 20


def seeds_to_find(planted: Planted, most: int) -> tuple[int, str] | None:
    """Return how many seeds it took and what was found; None when `most` seeds found nothing."""
    sound = vars(planted.owner)[planted.attribute]
    setattr(planted.owner, planted.attribute, planted.broken)
    try:
        for seed in range(most):
            result = run_plan(expand(planted.scenario, seed, duration_s=DURATION_S))
            if result.verdict != "held":
                found = result.violations[0] if result.violations else result.verdict
                return seed + 1, str(found)
        return None
    finally:
        setattr(planted.owner, planted.attribute, sound)


def main() -> int:
    """Run them all; exit 0 when each was found."""
    parser = argparse.ArgumentParser(prog="python -m chaos.ablations")
    parser.add_argument("--seeds", type=int, default=50, help="most seeds for each bug")
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args()
    missed = 0
    for planted in PLANTED:
        if options.names and planted.name not in options.names:
            continue
        found = seeds_to_find(planted, options.seeds)
        missed += found is None
        text = "NOT found" if found is None else f"found after {found[0]} seeds: {found[1][:110]}"
        print(f"{planted.name:16} {planted.safeguard:18} {planted.scenario:10} {text}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
