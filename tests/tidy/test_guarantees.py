"""The table of what survives what: each cell that promises something names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUARANTEES = ROOT / "docs" / "guarantees.md"
NONE = "-"


def tables() -> list[dict[str, list[str]]]:
    """Return the tables that begin with a column `event`, by the first cell of each row."""
    found: list[dict[str, list[str]]] = []
    is_inside = False
    for line in GUARANTEES.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| event |"):
            found.append({})
            is_inside = True
        elif not line.startswith("|"):
            is_inside = False
        elif is_inside and not set(line) <= set("|- "):
            found[-1][cells[0]] = cells[1:]
    return found


def names_in(place: str) -> list[str]:
    """Return the tests of a file, by its name or its path; there is one of that name."""
    paths = [ROOT / place] if "/" in place else sorted((ROOT / "tests").rglob(place))
    assert len(paths) == 1 and paths[0].is_file(), f"{place}: expected one file of that name, found {paths}"
    tree = ast.parse(paths[0].read_text(encoding="utf-8"))
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    ]


def test_every_cell_of_what_survives_what_names_a_test_that_exists() -> None:
    promised, proved = tables()
    assert list(promised) == list(proved), "the same rows, in the same order"
    missing: list[str] = []
    for event, cells in promised.items():
        assert len(cells) == len(proved[event]) == 4, event
        for promise, proof in zip(cells, proved[event], strict=True):
            names = re.findall(r"`([^`]+)`", proof)
            if (promise == NONE) is not (proof == NONE) or (promise != NONE and not names):
                missing.append(f"{event}: {promise!r} is proved by {proof!r}")
            for name in names:
                place, _, test = name.partition("::")
                if test not in names_in(place):
                    missing.append(f"{event}: there is no {name}")
    assert not missing
