"""Files, functions and nesting stay small."""

from __future__ import annotations

import ast
import statistics

from tests.tidy.source import PRODUCT, Function, code_lines, functions, modules

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
MAX_MEDIAN_LINES = 10
MAX_NESTING = 2


def test_files_are_short() -> None:
    long = {module.path: lines for module in modules() if (lines := module.text.count("\n")) > MAX_FILE_LINES}
    assert not long


def test_functions_are_short() -> None:
    long = {
        f"{module.path}:{function.lineno} {function.name}": code_lines(function)
        for module in modules()
        for function in functions(module)
        if code_lines(function) > MAX_FUNCTION_LINES
    }
    assert not long


def test_most_functions_are_very_short() -> None:
    lengths = [code_lines(function) for module in modules(*PRODUCT) for function in functions(module)]
    assert statistics.median(lengths) <= MAX_MEDIAN_LINES


def test_definitions_nest_twice_at_most() -> None:
    """A method of a class is nested once, a function in a method or a decorator's inner one twice."""
    deep = [
        f"{module.path}:{line}"
        for module in modules(*PRODUCT, "chaos", "benchmarks")
        for line, depth in _definitions(module.tree, -1)
        if depth > MAX_NESTING
    ]
    assert not deep, "state belongs into classes, not into closures"


def _definitions(node: ast.AST, depth: int) -> list[tuple[int, int]]:
    found = []
    for child in ast.iter_child_nodes(node):
        is_definition = isinstance(child, Function | ast.ClassDef)
        if isinstance(child, Function | ast.ClassDef):
            found.append((child.lineno, depth + 1))
        found += _definitions(child, depth + is_definition)
    return found
