"""Tests of one part stand where the part stands: the folders of `tests/unit` and `tests/sim` are those of the code."""

from __future__ import annotations

import ast

import pytest

from tests.tidy.source import ROOT, Function, imported, modules

MIRRORS = {"tests/unit": "casty", "tests/sim": "sim"}
OTHERS = {
    "tests/unit/benchmarks": "benchmarks are measured with a library of their own",
    "tests/unit/values": "for the files that stand in casty itself",
}
"""Folders of tests whose names are no folder of the code, and why."""
KIT = (
    "tests.unit.",
    "tests.sim.",
    "tests.scripts.",
    "tests.cluster.",
    "tests.spec.",
    "tests.contract.",
    "tests.live.",
)


def folders(top: str) -> list[str]:
    """Return the folders below one that have tests in them."""
    return sorted({path.parent.relative_to(ROOT).as_posix() for path in (ROOT / top).rglob("test_*.py")})


@pytest.mark.parametrize("tests", MIRRORS)
def test_folders_of_tests_are_folders_of_the_code(tests: str) -> None:
    strange = [
        folder
        for folder in folders(tests)
        if folder not in OTHERS and not (ROOT / folder.replace(tests, MIRRORS[tests], 1)).is_dir()
    ]
    assert not strange


def test_no_exception_is_left_over() -> None:
    assert [folder for folder in OTHERS if not any((ROOT / folder).glob("test_*.py"))] == []


def test_the_kit_knows_no_test() -> None:
    wrong = [
        f"{module.path}:{line} imports {name}"
        for module in modules("tests/kit")
        for line, name in imported(module)
        if name.startswith(KIT)
    ]
    assert not wrong


def test_clocks_and_entropies_that_a_test_moves_stand_in_the_kit() -> None:
    """Whoever needs another way to move time adds it there, where all have it."""
    ports = ({"now", "call_at", "wall_s"}, {"token", "below"})
    found = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules("tests/unit", "tests/scripts")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and any(wanted <= _methods(node) for wanted in ports)
    ]
    assert not found


def _methods(node: ast.ClassDef) -> set[str]:
    return {one.name for one in node.body if isinstance(one, Function)}
