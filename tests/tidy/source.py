"""The project's own source, parsed once, for the tests of its style."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("casty", "sim")
FOLDERS = (*PRODUCT, "chaos", "benchmarks", "examples", "tools", "tests")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file."""

    path: str
    text: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        """The top folder."""
        return self.path.partition("/")[0]


def modules(*folders: str) -> tuple[Module, ...]:
    """Return the Python files below the folders."""
    return tuple(module for folder in folders or FOLDERS for module in _below(folder))


@cache
def _below(folder: str) -> tuple[Module, ...]:
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text()
        found.append(Module(path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    return tuple(found)


def clear() -> None:
    """Let go of all that was parsed: millions of objects, which every full collection would look at."""
    _below.cache_clear()
    texts.cache_clear()


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Return (path, text) of every file that people read: code, documents, recipes."""
    found = [(module.path, module.text) for module in modules()]
    others = [
        *ROOT.glob("*.md"),
        *ROOT.glob("*.toml"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / ".ci").iterdir(),
    ]
    others += [
        *(ROOT / "tests").rglob("*.txt"),
        *(ROOT / "chaos").rglob("*.json"),
        *(ROOT / "typings").rglob("*.pyi"),
    ]
    others += [ROOT / "Makefile", ROOT / ".gitignore", ROOT / "LICENSE"]
    found += [(path.relative_to(ROOT).as_posix(), path.read_text()) for path in sorted(others)]
    return tuple(found)


def functions(module: Module) -> Iterator[Function]:
    """Yield every function of a file."""
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            yield node


def code_lines(function: Function) -> int:
    """Count the lines of a function without its decorators and its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return max(lines, 1)


def called(node: ast.AST) -> str:
    """Return the dotted name of what is called, or an empty text."""
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of attributes, or an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        prefix = dotted(node.value)
        return f"{prefix}.{node.attr}" if prefix else ""
    return ""


def imported(module: Module) -> Iterator[tuple[int, str]]:
    """Yield (line, module name) of every import, late ones included."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
