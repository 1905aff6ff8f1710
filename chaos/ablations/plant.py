"""A pytest plugin, ``-p chaos.ablations.plant --plant NAME``: everything runs with that bug in the library."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from .bug import planted
from .planted import PLANTED

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the name of the bug."""
    parser.addoption("--plant", default="", metavar="NAME", help="plant this bug; see chaos.ablations --list")


def pytest_configure(config: pytest.Config) -> None:
    """Plant it before any test is collected, until the end."""
    name = config.getoption("--plant")
    if not name:
        return
    found = [bug for bug in PLANTED if bug.name == name]
    if not found:
        raise pytest.UsageError(f"--plant: expected a name that --list shows, found {name!r}")
    placing = ExitStack()
    placing.enter_context(planted(found[0]))
    config.add_cleanup(placing.close)
