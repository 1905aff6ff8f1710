"""What no file may say."""

from __future__ import annotations

import re

import pytest

from tests.tidy.source import PRODUCT, modules, texts

# Written in pieces, so that this file does not say them either.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE = re.compile(
    r"/(home|ro" + r"ot|Users|wo" + r"rk|mnt)/|/tmp/" + r"[a-z]|\bindex-" + r"url\b|/sim" + r"ple/"
)
MAKERS = re.compile(
    r"\b(cla" + r"ude|anthro" + r"pic|open" + r"ai|chat" + r"gpt|co" + r"pilot|LL" + r"M)\b", re.IGNORECASE
)
TICKETS = re.compile(r"\b(issue|ticket|PR) ?#?\d+\b|\bfirst-" + r"light\b", re.IGNORECASE)
SILENCED = re.compile(r"#\s*(type|pyright|mypy):\s*(ignore|basic)|#\s*no" + r"qa")


@pytest.mark.parametrize(
    "words", [UNFINISHED, MACHINE, MAKERS, TICKETS], ids=["unfinished", "machine", "makers", "tickets"]
)
def test_forbidden_words(words: re.Pattern[str]) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if words.search(line)
    ]
    assert not found


def test_no_checker_is_silenced() -> None:
    found = [
        f"{module.path}:{number}"
        for module in modules(*PRODUCT)
        if module.path != "casty/sim.py"  # a star import is its purpose
        for number, line in enumerate(module.text.splitlines(), 1)
        if SILENCED.search(line)
    ]
    assert not found


def test_tests_do_not_sleep() -> None:
    found = [
        f"{module.path}:{number}"
        for module in modules("tests")
        for number, line in enumerate(module.text.splitlines(), 1)
        if re.search(r"\btime\." + r"sleep\(", line)
    ]
    assert not found
