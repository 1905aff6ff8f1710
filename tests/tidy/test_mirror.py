"""Tests of one part stand where the part stands: the folders of `tests/unit` and `tests/sim` are those of the code."""

from __future__ import annotations

import pytest

from tests.tidy.source import ROOT

MIRRORS = {"tests/unit": "casty", "tests/sim": "sim"}
OTHERS = {
    "tests/unit/benchmarks": "benchmarks are measured with a library of their own",
    "tests/unit/values": "for the files that stand in casty itself",
}
"""Folders of tests whose names are no folder of the code, and why."""


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
