"""Public names are documented, and no name is cut short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import casty
from tests.tidy.source import PRODUCT, ROOT, Function, Module, modules

SHORT = (
    "addr", "buf", "cb", "cfg", "cnt", "conf", "conn", "ctl", "dst", "idx", "mgr", "msgs", "opts", "pkt",
    "proc", "ptr", "recv", "req", "resp", "ret", "srv", "tmp", "val",
)  # fmt: skip
MAX_PUBLIC_NAMES = 80


def test_every_module_says_what_it_is() -> None:
    assert not [
        module.path for module in modules() if module.text.strip() and ast.get_docstring(module.tree) is None
    ]


def test_public_definitions_have_docstrings() -> None:
    bare = [
        f"{module.path}:{node.lineno} {node.name}" for module in modules(*PRODUCT) for node in _bare(module)
    ]
    assert not bare


def _bare(module: Module) -> Iterator[Function | ast.ClassDef]:
    for node in module.tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not _is_overload(node):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from (
                method for method in node.body if isinstance(method, Function) and _needs_docstring(method)
            )


def _needs_docstring(method: Function) -> bool:
    return not method.name.startswith("_") and ast.get_docstring(method) is None and not _is_overload(method)


def _is_overload(node: Function | ast.ClassDef) -> bool:
    return any(
        "overload" in ast.dump(decorator) or "setter" in ast.dump(decorator)
        for decorator in node.decorator_list
    )


def test_names_are_words() -> None:
    found = [
        f"{module.path}:{line} {name}"
        for module in modules("casty", "sim", "chaos")
        for line, name in _bound(module)
        if name in SHORT
    ]
    assert not found


def _bound(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg.lstrip("_")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id.lstrip("_")
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr.lstrip("_")


def test_the_front_page_is_small_and_documented() -> None:
    names = list(casty.__all__)
    assert names == sorted(names)
    assert len(names) < MAX_PUBLIC_NAMES
    reference = (ROOT / "docs" / "reference.md").read_text()
    assert not [name for name in names if not hasattr(casty, name)]
    assert not [name for name in names if f"`{name}" not in reference]


# A private vocabulary has to be learned before a line can be read; each of these has a name in the field.
RETIRED = {
    "beat": "heartbeat", "beats": "heartbeats", "bury": "discard", "detour": "relay path", "detours": "relay paths",
    "door": "port, public name", "doors": "ports", "ghost": "revoked hold", "ghosts": "revoked holds",
    "graves": "dead incarnations", "outlet": "event sink", "seat": "replica id, place", "seats": "places",
    "seated": "has a replica",
    "stages": "recorders", "story": "timeline", "strike": "inject", "strikes": "faults",
    "tormentor": "plan nemesis", "visitor": "client core", "visitors": "client cores",
    "vitals": "failure detector",
}  # fmt: skip


def test_no_name_is_of_a_private_vocabulary() -> None:
    found = [
        f"{module.path}:{line} {name}: say {RETIRED[word]}"
        for module in modules("casty", "sim", "chaos", "tools")
        for line, name in _defined(module)
        for word in map(str.lower, _WORD.findall(name))
        if word in RETIRED
    ]
    assert not found


# In sessions these named several things each; elsewhere they mean accounts, futures and memory, as in the field.
RETIRED_IN_SESSIONS = {
    "forget": "end a call, drop a row", "forgets": "ends", "ledger": "client session", "ledgers": "client sessions",
    "settle": "resolve a call of a lost session, clear a number", "settled": "resolved, cleared",
}  # fmt: skip


def test_names_of_sessions_say_one_thing_each() -> None:
    seen = [
        (f"{module.path}:{line}", name)
        for module in modules("casty")
        if "casty/cluster/sessions/" in str(module.path)
        for line, name in _defined(module)
    ]
    words = [(place, word) for place, name in seen for word in map(str.lower, _WORD.findall(name))]
    assert len(words) > 500
    assert not [f"{place}: say {RETIRED_IN_SESSIONS[w]}" for place, w in words if w in RETIRED_IN_SESSIONS]


# Each has one meaning, which the glossary tells; everything else that it was used for has a verb of its own.
SAYS_ONE_THING = {
    "settle": (
        ("casty/cluster/multiraft/host.py", "casty/cluster/node/request_handler.py", "casty/transport/output_batch.py",
         "sim/runner/run.py"),
        "resolve a call, clear a number, pay what is owed, reconcile with a record",
    ),
    "abandon": (
        ("casty/cluster/sessions/", "casty/cluster/slots/machine.py", "casty/distributed/machines/"),
        "evict an actor, discard an awaitable, take who waits",
    ),
}  # fmt: skip


def test_verbs_with_one_meaning_are_used_for_no_other() -> None:
    found = [
        f"{module.path}:{node.lineno} {node.name}: say {rather}"
        for module in modules("casty", "sim")
        for node in ast.walk(module.tree)
        if isinstance(node, Function)
        for word in map(str.lower, _WORD.findall(node.name))
        for places, rather in [SAYS_ONE_THING.get(word, ((), ""))]
        if places and not str(module.path).startswith(places)
    ]
    assert not found


def test_what_is_forgotten_is_somebody_who_is_gone() -> None:
    """`forget` is given whom to forget; without one it is a row that is dropped, a call withdrawn, a table cleared."""
    functions = [
        (module.path, node)
        for module in modules("casty", "sim")
        for node in ast.walk(module.tree)
        if isinstance(node, Function) and "forget" in _WORD.findall(node.name.lower())
    ]
    assert len(functions) > 10
    assert not [
        f"{path}:{node.lineno} {node.name}"
        for path, node in functions
        if not {argument.arg for argument in node.args.args} - {"self"}
    ]


_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def _defined(module: Module) -> Iterator[tuple[int, str]]:
    yield from _bound(module)
    for node in ast.walk(module.tree):
        if isinstance(node, Function | ast.ClassDef):
            yield node.lineno, node.name
