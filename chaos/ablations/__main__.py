"""``python -m chaos.ablations``: plant each bug, and count the seeds that it takes to find it."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
from collections.abc import Sequence

from sim.runner.logs import logged

from .bug import Finding, Planted, find
from .planted import PLANTED

EASY, HARD = 50, 2000


def main(words: Sequence[str] | None = None) -> int:
    """Run them; exit 0 when each was found, 1 when one was not, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m chaos.ablations", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument(
        "--seeds", type=int, help=f"most seeds for each bug; default {EASY}, for a hard one {HARD}"
    )
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--repeat", type=int, default=1, help="search so many times, on other seeds each")
    parser.add_argument("--list", action="store_true", help="only name them")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    options = parser.parse_args(words)
    strays = [name for name in options.names if name not in [bug.name for bug in PLANTED]]
    if strays:
        parser.error(f"unknown: {', '.join(strays)}; see --list")
    with logged(logging.CRITICAL):
        return _report(options)


def _report(options: argparse.Namespace) -> int:
    missed = 0
    for bug in [bug for bug in PLANTED if not options.names or bug.name in options.names]:
        if options.list:
            print(
                f"{bug.name:24} {bug.safeguard:18} {bug.shown_by or bug.scenario:10} {'hard' if bug.is_hard else ''}"
            )
            continue
        most = options.seeds or (HARD if bug.is_hard else EASY)
        repeat = 1 if bug.shown_by else options.repeat
        found = _search(bug, options.first, most, repeat)
        missed += len(found) < repeat
        print(_row(bug, found, most, repeat, options.json), flush=True)
    return int(missed > 0)


def _search(bug: Planted, first: int, most: int, repeat: int) -> list[Finding]:
    found = []
    for _ in range(repeat):
        finding = find(bug, range(first, first + most))
        if finding is None:
            break
        found.append(finding)
        first = finding.seed + 1
    return found


def _row(bug: Planted, found: list[Finding], most: int, repeat: int, is_json: bool) -> str:
    counts = [finding.seeds for finding in found]
    if is_json:
        return json.dumps({
            "name": bug.name, "safeguard": bug.safeguard, "scenario": bug.scenario, "test": bug.shown_by,
            "hard": bug.is_hard,
            "seeds": counts, "missed": repeat - len(found), "violation": found[0].text if found else None,
        })  # fmt: skip
    if bug.shown_by:
        return f"{bug.name:24} {bug.safeguard:18} {'found' if found else 'NOT found'} by {bug.shown_by}"
    head = f"{bug.name:24} {bug.safeguard:18} {bug.scenario:10}"
    if len(found) < repeat:
        return f"{head} NOT found within {most} seeds{f'; before: {counts}' if counts else ''}"
    times = f"median {statistics.median(counts):g}, worst {max(counts)}" if repeat > 1 else f"{counts[0]}"
    return f"{head} found after {times} seeds: {found[0].text[:110]}"


if __name__ == "__main__":
    sys.exit(main())
