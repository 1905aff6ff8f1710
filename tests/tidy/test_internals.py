"""The book of how it works says what is there: the steps of each walk, the tables of frames and entries."""

from __future__ import annotations

import ast
import re

import pytest

from casty.cluster.control import schema as control
from casty.cluster.slots import schema as slots
from tests.tidy.source import ROOT, Function
from tools.tables import FIELDS, PAGE, page

BOOK = ROOT / "docs" / "internals"
STEP = re.compile(r"^\| `([\w/]+\.py)` \| `([\w.]+)` \|", re.MULTILINE)


def steps(text: str) -> list[tuple[str, str]]:
    """Return the (file, function) rows of a walk."""
    return STEP.findall(text)


def defined(path: str) -> list[str]:
    """Return the functions and methods of a file, methods with their class."""
    found = []
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, Function):
            found.append(node.name)
        elif isinstance(node, ast.ClassDef):
            found += [f"{node.name}.{item.name}" for item in node.body if isinstance(item, Function)]
    return found


@pytest.mark.parametrize("path", sorted(BOOK.glob("life-of-*.md")), ids=lambda path: path.stem)
def test_each_step_of_a_walk_is_there(path: object) -> None:
    found = steps((BOOK / str(path)).read_text())
    assert len(found) > 10
    lost = [step for step in found if not (ROOT / step[0]).is_file() or step[1] not in defined(step[0])]
    assert not lost


def test_the_tables_are_up_to_date() -> None:
    text = PAGE.read_text()
    assert text == page(text), "run `python -m tools.tables --write`"


def test_each_field_of_an_entry_has_a_name() -> None:
    for group, module in (("control", control), ("slots", slots)):
        entries = module.ENTRIES.rows
        named = {
            getattr(module, name.partition(".")[2]): len(fields)
            for name, fields in FIELDS.items()
            if name.startswith(group + ".")
        }
        assert named == {number: len(rule.rules) for number, rule in entries.items()}


def test_every_page_of_the_book_is_listed() -> None:
    index = (BOOK / "README.md").read_text()
    assert not [
        path.name for path in BOOK.glob("*.md") if path.name != "README.md" and path.name not in index
    ]
