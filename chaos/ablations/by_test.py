"""Planted bugs that a test shows: the test runs twice in processes of their own, and has to fail with the bug only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Outcome", "run_test"]

ROOT = Path(__file__).parents[2]
_PASSED, _FAILED = 0, 1
_LIMIT_S = 600


class Outcome(NamedTuple):
    """Whether a test passed, and how it says that it did not."""

    has_passed: bool
    text: str


def run_test(test: str, planted: str = "") -> Outcome:
    """Run one test of this repository.

    Parameters
    ----------
    test
        Its pytest node id, as seen from the repository's root; all cases of a test with parameters when it names none.
    planted
        The name of the bug to plant before anything is collected; empty for none.

    Raises
    ------
    RuntimeError
        When pytest did not get as far as a verdict: there is no such test, or it cannot be collected.
    """
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "chaos.ablations.plant", test]
    if planted:
        words += ["--plant", planted]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode not in (_PASSED, _FAILED):
        raise RuntimeError(
            f"{test}: pytest ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    wrong = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    return Outcome(done.returncode == _PASSED, wrong[0] if wrong else "")
