"""No module keeps state that changes: two event loops in two threads would share it."""

from __future__ import annotations

import ast

from tests.tidy.source import Module, called, modules

CHANGES = (
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "setdefault", "update",
)  # fmt: skip
ALLOWED = (
    ("casty/forks.py", "_kept"),  # descriptors are the process's: each has one row, written in one step
    ("casty/wire/pack.py", "_idle"),  # each packer in it is taken out before it is used
)


def test_no_module_changes_what_it_holds() -> None:
    strays = [
        (module.path, name)
        for module in modules("casty")
        for name in _changed(module, _held(module))
        if (module.path, name) not in ALLOWED
    ]
    assert not strays


def test_a_changed_table_is_found() -> None:
    text = "rows: dict[int, int] = {}\ndef keep(key):\n    rows[key] = 1\n"
    module = Module("x.py", text, ast.parse(text))
    assert _changed(module, _held(module)) == ["rows"]


def _held(module: Module) -> dict[str, None]:
    """Return the names that a module binds at its top."""
    found: dict[str, None] = {}
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        found.update(dict.fromkeys(target.id for target in targets if isinstance(target, ast.Name)))
    return found


def _changed(module: Module, held: dict[str, None]) -> list[str]:
    found: dict[str, None] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            found.update(dict.fromkeys(node.names))
        elif isinstance(node, ast.Call):
            owner, _, method = called(node).rpartition(".")
            if method in CHANGES:
                found[owner] = None
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store | ast.Del)
            and isinstance(node.value, ast.Name)
        ):
            found[node.value.id] = None
    return [name for name in found if name in held and not _is_at_the_top(module, name)]


def _is_at_the_top(module: Module, name: str) -> bool:
    """Whether a name is bound again inside a function: then it is that function's own."""
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    )
