"""Each line of the threat model names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)


def test_each_line_names_a_test() -> None:
    for line in re.split(r"\n(?=- |#|\n)", TEXT):
        assert not line.startswith("- ") or "`tests/" in line, line


def test_the_named_tests_exist() -> None:
    assert len(NAMED) > 5
    for path, name in NAMED:
        assert (ROOT / path).exists(), path
        assert not name or re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), (
            name
        )
