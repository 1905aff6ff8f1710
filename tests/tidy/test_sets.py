"""No set is ever iterated: its order differs from process to process."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.source import Function, Module, called, modules

ORDERED = ("list", "tuple", "enumerate", "iter", "next", "zip", "map", "filter", "dict", "reversed", "join")
UNORDERED = ("sorted", "set", "frozenset", "min", "max", "any", "all", "sum", "len")
SET_TYPES = ("set", "frozenset", "AbstractSet", "MutableSet", "Set")

Known = frozenset[str]


def test_no_set_is_iterated() -> None:
    strays = [
        f"{module.path}:{line}" for module in modules("casty", "sim", "chaos") for line in iterations(module)
    ]
    assert not strays, "use a dict, a list or sorted()"


def iterations(module: Module) -> Iterator[int]:
    """Yield the lines on which something that looks like a set decides an order."""
    attributes = frozenset(name for name in _bound(ast.walk(module.tree)) if name.startswith("."))
    yield from _inside(module.tree, attributes)


def _inside(scope: ast.AST, outer: Known) -> Iterator[int]:
    """Go through one scope; names count where they are bound and in what is nested there."""
    nodes = list(_own(scope))
    known = outer | frozenset(_bound(iter(nodes)))
    harmless = {
        argument
        for node in nodes
        if called(node) in UNORDERED and isinstance(node, ast.Call)
        for argument in node.args
        if isinstance(argument, ast.GeneratorExp | ast.SetComp)
    }
    for node in nodes:
        generators = node.generators[:1] if node in harmless and isinstance(node, ast.GeneratorExp) else []
        harmless.update(generators)
    for node in nodes:
        if node not in harmless:
            yield from (used.lineno for used in _iterated(node) if _is_set(used, known))
        if isinstance(node, Function) and node is not scope:
            yield from _inside(node, known)


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope; a function in it, but not what is inside that function."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, Function):
            yield from _own(child)


def _iterated(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        return [node.iter]
    if isinstance(node, ast.Starred | ast.YieldFrom):
        return [node.value]
    if isinstance(node, ast.Call):
        if called(node).rpartition(".")[2] in ORDERED:
            return list(node.args)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
            return [node.func.value]
    return []


def _bound(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield every name and ``.attribute`` that is annotated or assigned as a set."""
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and _names_set(node.annotation):
            yield _key(node.target)
        elif isinstance(node, ast.arg) and node.annotation is not None and _names_set(node.annotation):
            yield node.arg
        elif isinstance(node, ast.Assign) and _is_set(node.value, frozenset()):
            yield from (_key(target) for target in node.targets)


def _names_set(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return isinstance(annotation, ast.Name) and annotation.id in SET_TYPES


def _key(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return "." + node.attr
    return node.id if isinstance(node, ast.Name) else "?"


def _is_set(node: ast.expr, known: Known) -> bool:
    if isinstance(node, ast.Set | ast.SetComp) or called(node) in ("set", "frozenset"):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return _is_set(node.left, known) or _is_set(node.right, known)
    return _key(node) in known - {"?"}


SAMPLE = """
class Box:
    def __init__(self, items: set[str]) -> None:
        self.items: set[str] = items
        list({1, 2})

    def first(self, other: list[str]) -> None:
        for item in self.items:
            pass
        for item in other:
            pass
        sorted(item for item in self.items)
        self.items.pop()

    def second(self, other: set[str]) -> list[str]:
        return [item for item in other]
"""


def test_the_check_itself_sees_them() -> None:
    module = Module("sample.py", SAMPLE, ast.parse(SAMPLE))
    assert sorted(iterations(module)) == [5, 8, 13, 16]
