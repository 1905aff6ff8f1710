"""Rows of the wire are read by name: no field of a row is looked up by a bare number where that was cleaned up."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from .source import Module, modules

CLEAN = ("casty/cluster/slots/", "casty/cluster/multiraft/")

SEQUENCES = (
    "names", "left", "changes", "entries", "entries[-1]", "self._ends", "self._ends[0]", "self._deadlines",
    "self._deadlines[0]", "ready.entries", "inbound.parts",
)  # fmt: skip
"""What has a first and a last element; heaps and pages have pairs there."""


def numbered(module: Module) -> Iterator[str]:
    """Yield where something that is no sequence is subscripted with a number."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Subscript):
            continue
        index = node.slice.operand if isinstance(node.slice, ast.UnaryOp) else node.slice
        if isinstance(index, ast.Constant) and type(index.value) is int:
            value = ast.unparse(node.value)
            if value not in SEQUENCES:
                yield f"{module.path}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("folder", CLEAN)
def test_fields_of_rows_have_names(folder: str) -> None:
    found = modules(folder)
    assert found, "the folder has another name now"
    assert [text for module in found for text in numbered(module)] == []


def test_a_number_is_found() -> None:
    tree = ast.parse("row[2] + names[-1] + row[-1] + row[SEQ] + table[key][0]")
    found = [text.partition(": ")[2] for text in numbered(Module("x.py", "", tree))]
    assert sorted(found) == ["row[-1]", "row[2]", "table[key][0]"]
