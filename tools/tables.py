"""Make the tables of frames and entries out of the code: ``python -m tools.tables --write``.

Without ``--write`` this says whether docs/internals/frames.md is up to date.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from casty.cluster.authority import RULES, TO_CLIENT
from casty.cluster.control import schema as control
from casty.cluster.slots import schema as slots
from casty.distributed.machines.registry import STRUCTURES
from casty.limits import MAX_NUMBER
from casty.schema import Row
from casty.wire import frames

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "internals" / "frames.md"
EVERY_LINK = "every link; see `wire/hello.py` and `transport/connection.py`"
FIRST_OF_OPEN_LINKS = 16
"""Kinds below it are the link's own."""

FIELDS: dict[str, tuple[str, ...]] = {
    "control.FOUND": ("document",),
    "control.JOIN": ("node id", "incarnation", "host", "port", "traits"),
    "control.STATUS": ("node id", "incarnation", "status"),
    "control.REGION": ("name", "shards", "role"),
    "control.SERVICE": ("node id", "incarnation", "base", "announcement", "changes"),
    "control.SILENT": ("node id", "incarnation", "is silent"),
    "control.PLACE": ("slot", "epoch", "leaves", "comes"),
    "control.HELD": ("slot", "epoch", "term", "step", "node ids", "targets"),
    "control.FORGET": ("node id", "incarnation"),
    "slots.OPEN": ("attempt", "gateway"),
    "slots.COMMAND": ("session", "number", "low", "wait low", "kind", "entity", "command"),
    "slots.CLOSE": ("session",),
    "slots.EXPIRE": ("session",),
    "slots.CANCEL": ("session", "number", "kind", "entity"),
    "slots.ABANDON": ("session", "low", "requests"),
    "slots.LAPSE": ("time", "entities"),
    "slots.OPEN_FOR": ("attempt", "gateway", "time to live in ms"),
    "slots.APPENDED": ("log", "writer", "expected", "events"),
    "slots.PAY": ("kind", "entity"),
}
"""What the fields of an entry are, in order. The schema has the rules, and a test compares the lengths."""


def _named(module: ModuleType) -> Iterator[tuple[str, int]]:
    """Yield the numbers that a module exports, by name, in the order in which they are written."""
    exported: list[str] = list(module.__all__)
    numbers = [
        (name, value) for name, value in vars(module).items() if name in exported and type(value) is int
    ]
    yield from numbers


def frame_rows() -> list[str]:
    """Return the rows of the table of frames, by number."""
    rows = ["| number | frame | client | stranger | peer | member | reaches | speaks for |", f"|{'---|' * 8}"]
    for name, number in sorted(_named(frames), key=lambda row: row[1]):
        rule = RULES.get(number)
        if rule is not None:
            verdicts = f"{rule.client} | {rule.stranger} | {rule.peer} | {rule.member}"
            rows.append(f"| {number} | `{name}` | {verdicts} | {rule.destination} | {rule.speaks_for} |")
            continue
        reaches = "a client, from a node" if number in TO_CLIENT else "whoever asked for the status"
        if number < FIRST_OF_OPEN_LINKS:
            reaches = EVERY_LINK
        rows.append(f"| {number} | `{name}` | | | | | {reaches} | |")
    return rows


def entry_rows(group: str, module: ModuleType, entries: Mapping[int, Row]) -> list[str]:
    """Return the rows of the table of a group's entries, by number."""
    names = {number: name for name, number in _named(module) if f"{group}.{name}" in FIELDS}
    rows = ["| number | entry | fields | rules |", "|---|---|---|---|"]
    for number, rule in entries.items():
        name = names[number]
        fields = ", ".join(FIELDS[f"{group}.{name}"])
        rows.append(f"| {number} | `{name}` | {fields} | {_short(rule)} |")
    return rows


def command_rows() -> list[str]:
    """Return the rows of the table of commands: what field 7 of a slot's ``COMMAND`` may be."""
    rows = ["| kind | structure | commands |", "|---|---|---|"]
    for kind, structure in STRUCTURES.items():
        names = _keys(type(structure))
        commands = [
            f"{number} `{names.get(number, '?')}`{_fields(rule)}" for number, rule in structure.shapes.items()
        ]
        rows.append(f"| {kind} | {structure.name} | {'; '.join(commands) or 'see `slots/records.py`'} |")
    return rows


def _keys(structure: type) -> dict[int, str]:
    """Return how the numbers of a structure's commands are called: the keys of `shapes`, as they are written."""
    module: Any = sys.modules[structure.__module__]
    for node in ast.walk(ast.parse(inspect.getsource(structure))):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == "shapes"
            and isinstance(node.value, ast.Dict)
        ):
            return {getattr(module, key.id): key.id for key in node.value.keys if isinstance(key, ast.Name)}
    return {}


def _fields(rule: object) -> str:
    text = _short(rule)
    return "" if text == "an empty list" else f" {text.removeprefix('a list of ')}"


def _short(rule: object) -> str:
    return str(rule).replace(str(MAX_NUMBER), "2^63 - 1").replace("|", "\\|")


def page(text: str) -> str:
    """Return the page with its tables made anew: each stands between two comments that name it."""
    tables = {
        "frames": frame_rows(),
        "control": entry_rows("control", control, control.ENTRIES.rows),
        "slots": entry_rows("slots", slots, slots.ENTRIES.rows),
        "commands": command_rows(),
    }
    for name, rows in tables.items():
        begin, end = f"<!-- table {name} -->", "<!-- end of table -->"
        before, found, rest = text.partition(begin)
        if not found:
            raise LookupError(f"{PAGE.name}: no {begin}")
        text = "\n".join([before + begin, *rows, end]) + rest.partition(end)[2]
    return text


def main() -> int:
    """Run the program; returns 1 when the page is not up to date and was not to be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    arguments = parser.parse_args()
    text = PAGE.read_text()
    made = page(text)
    if arguments.write:
        PAGE.write_text(made)
        return 0
    print("up to date" if made == text else "not up to date: run it with --write")
    return int(made != text)


if __name__ == "__main__":
    sys.exit(main())
