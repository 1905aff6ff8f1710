"""Type checkers know what an ask returns, written as on the specification's page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ASKS = Path(__file__).with_name("asks.py")
ROOT = Path(__file__).parents[2]
EXPECTED = ["int"] * 5 + ["str"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["-m", "mypy", "--strict", "--no-error-summary"], r'Revealed type is "(?:builtins\.)?(\w+)"'),
        (["-m", "pyright", "--pythonpath", sys.executable], r'Type of ".*" is "(\w+)"'),
    ],
    ids=["mypy", "pyright"],
)
def test_the_type_of_a_reply_follows_from_the_question(words: list[str], pattern: str) -> None:
    done = subprocess.run(
        [sys.executable, *words, str(ASKS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(pattern, done.stdout) == EXPECTED, done.stdout
