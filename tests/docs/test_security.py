"""Each line of the threat model, and each promise to an actor, names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
SEMANTICS = (ROOT / "docs" / "semantics.md").read_text()
TABLE = SEMANTICS.partition("### What an actor may rely on")[2].partition("\n## ")[0]
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT + TABLE)


def test_each_line_names_a_test() -> None:
    for line in re.split(r"\n(?=- |#|\n)", TEXT):
        assert not line.startswith("- ") or "`tests/" in line, line


def test_each_promise_to_an_actor_names_a_test() -> None:
    rows = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    assert len(rows) >= 10
    assert [row for row in rows if "`tests/" not in row] == []


def test_the_named_tests_exist() -> None:
    assert len(NAMED) > 5
    for path, name in NAMED:
        assert (ROOT / path).exists(), path
        assert not name or re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), (
            name
        )
