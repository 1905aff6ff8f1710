"""What never happens goes: events that nothing makes, functions that nothing names."""

from __future__ import annotations

import ast
import asyncio
from collections import Counter

from .source import FOLDERS, modules

INTERFACES = (asyncio.AbstractEventLoop, asyncio.BufferedProtocol, asyncio.Transport)
CALLED_BY_OTHERS = frozenset({name for each in INTERFACES for name in dir(each)}) | {
    "persistent_id", "persistent_load", "pytest_runtest_makereport",
}  # fmt: skip
"""Named by asyncio, pickle and pytest."""


def test_every_event_is_made_somewhere() -> None:
    (events,) = (module for module in modules("casty") if module.path == "casty/events.py")
    names = {node.name for node in events.tree.body if isinstance(node, ast.ClassDef)}
    made = {
        call.func.id
        for module in modules("casty")
        for call in ast.walk(module.tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    assert not names - made


def test_every_function_is_named_elsewhere() -> None:
    named: Counter[str] = Counter()
    defined: dict[str, str] = {}
    for module in modules(*FOLDERS):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if module.folder in ("casty", "sim") and not node.decorator_list:
                    defined[node.name] = f"{module.path}:{node.lineno}"
            elif isinstance(node, ast.Name):
                named[node.id] += 1
            elif isinstance(node, ast.Attribute):
                named[node.attr] += 1
            elif isinstance(node, ast.alias):
                named[node.name.rpartition(".")[2]] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named[node.value] += 1
    unused = {
        name: at
        for name, at in defined.items()
        if not named[name] and not name.startswith(("__", "visit_")) and name not in CALLED_BY_OTHERS
    }
    assert not unused
