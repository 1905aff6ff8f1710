"""The simulator reads the library with its types: what is read by name could be gone, and its check hold for ever."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from casty.config import Settings
from sim.checks.step.leftovers import kept_rows
from sim.checks.step.portrait import slots_of
from sim.checks.step.remains import UNDER_WAY, Sizes, limits_at_rest

from .source import Module, called, dotted, modules

BY_NAME = frozenset(
    {"attrgetter", "delattr", "getattr", "getattr_static", "hasattr", "methodcaller", "setattr"}
)
"""What takes the name of an attribute as a text."""
OF_PYTHON = "sim/kernel/"
"""The loop and the fences stand in for modules of CPython, and there for what is private to these."""
READERS = "sim/checks/step/protected.py"
"""Where alone subclasses of what users have read it."""
OF_TUPLES = frozenset({"_asdict", "_fields", "_replace"})
"""Public in spite of their names: those of named tuples."""

ALLOWED = {
    "sim/faults/allocations.py": (
        1,
        "what stands in front of a replica lets through whatever is asked of that",
    ),
    "sim/plans/plan.py": (1, "fields of the plan's own dataclass, which are the keys of its JSON"),
    "sim/runner/shrink.py": (2, "a user's test, named by a plan, and what `simulate` made of it"),
    "sim/runner/simulate.py": (2, "the name of a user's test, which may be any callable"),
    "sim/runner/sweep.py": (1, "tables of its own dataclass, which are the keys of a run's JSON"),
    "sim/world/world.py": (1, "whatever a user's setup returned: it may have an `async with` to leave"),
}
"""How often a file names attributes by a text, and why: none of these reads the library."""


def test_attributes_are_named_by_texts_only_where_there_is_no_type() -> None:
    found = Counter(
        module.path for module in _outside_of_kernel() for node in ast.walk(module.tree) if _is_by_name(node)
    )
    assert dict(found) == {path: count for path, (count, _) in ALLOWED.items()}


def _outside_of_kernel() -> Iterator[Module]:
    return (module for module in modules("sim") if not module.path.startswith(OF_PYTHON))


def _is_by_name(node: ast.AST) -> bool:
    return called(node).rpartition(".")[2] in BY_NAME


def test_a_read_by_name_is_seen() -> None:
    texts = ("getattr(node, name)", "builtins.getattr(node, '_x')", "operator.attrgetter('x')(node)")
    assert [any(map(_is_by_name, ast.walk(ast.parse(text)))) for text in texts] == [True, True, True]


def test_nothing_private_is_read_of_others() -> None:
    """Pyright says so of what has a type; this of what is `Any` as well."""
    found = [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in _outside_of_kernel()
        if module.path != READERS
        for node in _private_of_others(module)
    ]
    assert not found


def _private_of_others(module: Module) -> Iterator[ast.Attribute]:
    """Yield reads of what is private and of no class of the module itself."""
    nodes = [
        node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute) and _is_private(node.attr)
    ]
    own = {node.attr for node in nodes if isinstance(node.ctx, ast.Store) and dotted(node.value) == "self"}
    own |= {node.name for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)}
    for node in nodes:
        if dotted(node.value) not in ("self", "cls") and node.attr not in own | OF_TUPLES:
            yield node


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_a_private_read_is_seen() -> None:
    text = (
        "class A:\n  def a(self, b):\n    self._a = b._a\n    return b._b, b._c()._replace(d=1), self._d._e"
    )
    found = [node.attr for node in _private_of_others(Module("a.py", text, ast.parse(text)))]
    assert sorted(found) == ["_b", "_c", "_e"]


SIZES = Sizes(groups=1, processes=1, members=1, entities=1, items=1, registered=1)
PATH = re.compile(r"([a-z_.]+)\.([A-Z]\w*)(?:\.(\w+))?")
"""A module of the library, a class, and one of its attributes."""
OF_PROCESSES = ("tasks", "timers")
TABLES = sorted({*kept_rows(Settings(), 1, 1), *limits_at_rest(Settings(), SIZES)[1], *UNDER_WAY})


@pytest.mark.parametrize("path", sorted({path.replace("[]", "") for path in TABLES}))
def test_each_table_with_a_limit_of_its_own_is_there(path: str) -> None:
    """Tables are found by a walk, and a limit by their names: one of a table that is gone says nothing any more."""
    found = PATH.fullmatch(path)
    if found is None:
        assert path in OF_PROCESSES
        return
    module, name, attribute = found.groups()
    cls = getattr(importlib.import_module(f"casty.{module}"), name)
    assert attribute is None or attribute in dict(slots_of(cls)) or _sets(cls, attribute)


def _sets(cls: type, attribute: str) -> bool:
    texts = [inspect.getsource(base) for base in cls.__mro__ if base.__module__.startswith("casty.")]
    return any(re.search(rf"^ +(self\.)?{attribute}\b.*[:=]", text, re.MULTILINE) for text in texts)
