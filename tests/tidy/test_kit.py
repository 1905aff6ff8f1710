"""Tests stand on one kit: one clock, one entropy, one world; whoever needs more of them adds it there, for all."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.tidy.source import Function, Module, dotted, imported, modules

KIT = "tests/kit/"
TESTS = (
    "tests.unit.",
    "tests.sim.",
    "tests.scripts.",
    "tests.cluster.",
    "tests.spec.",
    "tests.contract.",
    "tests.live.",
)
PORTS = {"clock": ("now", "call_at", "wall_s"), "entropy": ("token", "below")}
"""What a class defines that is one of these: any of it."""


def test_the_kit_knows_no_test() -> None:
    wrong = [
        f"{module.path}:{line} imports {name}"
        for module in modules("tests/kit")
        for line, name in imported(module)
        if name.startswith(TESTS)
    ]
    assert not wrong


@pytest.mark.parametrize("port", PORTS)
def test_there_is_one_clock_and_one_entropy(port: str) -> None:
    found = [name for module in modules("tests") for name in those_that_define(module, PORTS[port])]
    assert len(found) == 1, found
    assert found[0].startswith(f"{KIT}{port}.py")


def test_there_is_one_world_and_all_others_are_made_of_it() -> None:
    found = [stray for module in modules("tests") for stray in worlds_beside(module)]
    assert not found, "derive from `tests.kit.world.World`, or call it by what it is"


def test_nobody_reaches_into_the_clock() -> None:
    found = [
        f"{module.path}:{node.lineno}"
        for module in modules("tests")
        if not module.path.startswith(KIT)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and is_inside_the_clock(node)
    ]
    assert not found, "`skip` and `advance` move it, `run_due` and `run_next` run timers, `due` tells of them"


def is_inside_the_clock(node: ast.Attribute) -> bool:
    """Whether it is the list of timers, or an instant that is written."""
    name = dotted(node)
    is_written = isinstance(node.ctx, ast.Store)
    return name.endswith("clock._timers") or (is_written and name.endswith("clock.now_ns"))


def those_that_define(module: Module, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the classes that have a method of one of the names."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(one, Function) and one.name in names for one in node.body
        ):
            yield f"{module.path}:{node.lineno} {node.name}"


def worlds_beside(module: Module) -> Iterator[str]:
    """Yield the classes that are called a world and are none of the kit's."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ClassDef) or not node.name.endswith("World"):
            continue
        bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        is_the_one = node.name == "World" and module.path == f"{KIT}world.py"
        is_derived = node.name != "World" and any(dotted(base).endswith("World") for base in bases)
        if not is_the_one and not is_derived:
            yield f"{module.path}:{node.lineno} {node.name}"


def parsed(text: str, path: str = "tests/unit/x.py") -> Module:
    return Module(path, text, ast.parse(text))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("class World:\n    pass", 1),
        ("class World(World):\n    pass", 1),
        ("class World(NamedTuple):\n    pass", 1),
        ("class SlotWorld(Routes):\n    pass", 1),
        ("class SlotWorld(World[bytes], Routes):\n    pass", 0),
        ("class Changing(SlotWorld):\n    pass", 0),
        ("def f():\n    class SlotWorld:\n        pass", 1),
    ],
)
def test_worlds_beside_it_are_found(text: str, count: int) -> None:
    assert len(list(worlds_beside(parsed(text)))) == count


@pytest.mark.parametrize(
    ("text", "is_inside"),
    [
        ("world.clock.now_ns += 1", True),
        ("clock.now_ns = 1", True),
        ("at_ns = clock.now_ns", False),
        ("len(self.clock._timers)", True),
    ],
)
def test_a_hand_in_the_clock_is_seen(text: str, is_inside: bool) -> None:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    assert any(map(is_inside_the_clock, nodes)) is is_inside


def test_the_kit_s_own_world_is_the_one() -> None:
    assert not list(worlds_beside(parsed("class World(Generic[T]):\n    pass", f"{KIT}world.py")))


@pytest.mark.parametrize(
    "method", ["def now(self): ...", "async def call_at(self): ...", "def wall_s(self): ..."]
)
def test_a_clock_is_known_by_any_of_its_methods(method: str) -> None:
    assert list(those_that_define(parsed(f"class Any:\n    {method}"), PORTS["clock"]))
    assert not list(those_that_define(parsed(method), PORTS["clock"])), "a function is none"
