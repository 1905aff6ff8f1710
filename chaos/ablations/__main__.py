"""``python -m chaos.ablations --seeds N``: how many seeds it takes to find each planted bug."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
from collections.abc import Sequence

from . import ABLATIONS, Ablation, Finding, find

_EASY, _HARD = 50, 2000


def main(words: Sequence[str] | None = None) -> int:
    """Search for each planted bug; 0 when all were found, 1 when one was not, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m chaos.ablations", description=__doc__)
    parser.add_argument("names", nargs="*", help="which; default all")
    parser.add_argument("--seeds", type=int, help=f"at most; default {_EASY}, and {_HARD} for a hard one")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--repeat", type=int, default=1, help="search so many times, on other seeds each")
    parser.add_argument("--list", action="store_true", help="only name them")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    options = parser.parse_args(words)
    logging.getLogger("casty").setLevel(logging.CRITICAL)
    strays = [name for name in options.names if name not in ABLATIONS]
    if strays:
        parser.error(f"unknown: {', '.join(strays)}; expected some of {', '.join(ABLATIONS)}")
    chosen = [ABLATIONS[name] for name in options.names or ABLATIONS]
    missed = 0
    for ablation in chosen:
        if options.list:
            print(f"{ablation.name:24} {ablation.area:18} {ablation.scenario:10} {ablation.story}")
            continue
        most = options.seeds or (_HARD if ablation.is_hard else _EASY)
        found = _search(ablation, options.first, most, options.repeat)
        missed += len(found) < options.repeat
        print(_row(ablation, found, most, options.repeat, options.json), flush=True)
    return int(missed > 0)


def _search(ablation: Ablation, first: int, most: int, repeat: int) -> list[Finding]:
    found = []
    for _ in range(repeat):
        finding = find(ablation, range(first, first + most))
        if finding is None:
            break
        found.append(finding)
        first = finding.seed + 1
    return found


def _row(ablation: Ablation, found: list[Finding], most: int, repeat: int, is_json: bool) -> str:
    counts = [finding.seeds for finding in found]
    if is_json:
        return json.dumps({
            "name": ablation.name, "area": ablation.area, "scenario": ablation.scenario, "hard": ablation.is_hard,
            "seeds": counts, "missed": repeat - len(found), "violation": found[0].text if found else None,
        })  # fmt: skip
    if len(found) < repeat:
        return f"{ablation.name:24} NOT FOUND within {most} seeds ({counts} before)"
    middle = statistics.median(counts)
    times = f"median {middle:g}, worst {max(counts)}" if repeat > 1 else f"{counts[0]} seeds"
    return f"{ablation.name:24} {ablation.area:18} {times:24} {found[0].text[:120]}"


if __name__ == "__main__":
    sys.exit(main())
