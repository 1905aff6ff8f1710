"""Draw who imports whom, out of the code: ``python -m tools.graph [--write] [--why]``.

Packages are the folders and files of a tree. Every import counts: late ones, and those for type checkers. Without
options this prints, for each tree, how many packages, arrows and circles there are; ``--why`` adds which files make
each circle; ``--write`` puts the drawings into docs/internals/architecture.md. An arrow that others imply is not drawn.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "internals" / "architecture.md"
TREES = ("casty", "casty.cluster", "casty.distributed", "sim")
SHARED = "values"
"""What stands below the ports in the library is one box: nearly everybody imports it."""
LOWEST_DRAWN = "ports"

Graph = dict[str, dict[str, None]]
"""Name -> names that it imports, in order; each is a key too."""


@cache
def module_graph(root: Path = ROOT) -> Graph:
    """Return the imports of every file of the library and of the simulator, by dotted name."""
    paths: dict[str, Path] = {}
    for top in ("casty", "sim"):
        for path in sorted((root / top).rglob("*.py")):
            paths[_dotted(path.relative_to(root))] = path
    graph: Graph = {}
    for name, path in paths.items():
        found = _imports(name, path, paths)
        graph[name] = dict.fromkeys(target for target in found if target in paths and target != name)
    return graph


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imports(name: str, path: Path, known: dict[str, Path]) -> list[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            found += [full if (full := f"{base}.{alias.name}") in known else base for alias in node.names]
    return found


def room_of(module: str, tree: str) -> str | None:
    """Return the room of a tree that a file stands in; None for files elsewhere, and for the tree's own."""
    if not module.startswith(tree + "."):
        return None
    return module[len(tree) + 1 :].partition(".")[0]


def room_graph(modules: Graph, tree: str) -> Graph:
    """Return which packages of a tree import which."""
    rooms: Graph = {}
    for module, targets in modules.items():
        room = room_of(module, tree)
        if room is None:
            continue
        row = rooms.setdefault(room, {})
        for target in targets:
            other = room_of(target, tree)
            if other is not None and other != room:
                row[other] = None
    return {room: dict.fromkeys(sorted(rooms[room])) for room in sorted(rooms)}


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of names each of which reaches all others of its group, sorted."""
    reached = {name: _reached(graph, name) for name in graph}
    found: dict[tuple[str, ...], None] = {}
    for name in sorted(graph):
        group = tuple(sorted(other for other in reached[name] if name in reached[other]))
        if name in group:
            found[group] = None
    return [list(group) for group in found]


def _reached(graph: Graph, start: str) -> dict[str, None]:
    found: dict[str, None] = {}
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += graph[name]
    return found


def without_implied(graph: Graph) -> Graph:
    """Return the graph without the arrows that others imply; it may have no circle."""
    reached = {name: _reached(graph, name) for name in graph}
    return {
        name: dict.fromkeys(
            target
            for target in targets
            if not any(target in reached[other] for other in targets if other != target)
        )
        for name, targets in graph.items()
    }


def layers_of(tree: str, root: Path = ROOT) -> list[list[str]]:
    """Return the layers that pyproject.toml gives a tree, the highest first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract.get("containers") == [tree]:
            return [[name.strip() for name in line.split("|")] for line in contract["layers"]]
    raise LookupError(f"pyproject.toml: no layers of {tree}")


def drawn(modules: Graph, tree: str) -> Graph:
    """Return what the drawing of a tree shows: its packages, and in the library the lowest of them as one."""
    rooms = room_graph(modules, tree)
    if tree != "casty":
        return rooms
    layers = layers_of(tree)
    lowest = next(index for index, layer in enumerate(layers) if LOWEST_DRAWN in layer) + 1
    low = dict.fromkeys(name for layer in layers[lowest:] for name in layer if f"{tree}.{name}" in modules)
    low = dict.fromkeys(name for name in low if not _is_folder(modules, f"{tree}.{name}"))
    merged: Graph = {SHARED: {}}
    for room, targets in rooms.items():
        if room not in low:
            merged[room] = dict.fromkeys(SHARED if target in low else target for target in targets)
    return merged


def _is_folder(modules: Graph, name: str) -> bool:
    return any(module.startswith(name + ".") for module in modules)


def drawing(modules: Graph, tree: str) -> str:
    """Return a tree's packages as a Mermaid flow chart; an arrow points at what is imported."""
    graph = without_implied(drawn(modules, tree))
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"    {name}" for name, targets in graph.items() if not targets and not _is_target(graph, name)]
    lines += [f"    {name} --> {' & '.join(targets)}" for name, targets in graph.items() if targets]
    return "\n".join([*lines, "```"])


def _is_target(graph: Graph, name: str) -> bool:
    return any(name in targets for targets in graph.values())


def counts(modules: Graph, tree: str) -> str:
    """Return how many packages, arrows and circles a tree has, in words."""
    rooms = room_graph(modules, tree)
    arrows = sum(map(len, rooms.values()))
    return f"{tree}: {len(rooms)} packages, {arrows} arrows, {len(circles(rooms))} circles"


def page(text: str, modules: Graph) -> str:
    """Return a page with its drawings made anew: each stands between two comments that name its tree."""
    for tree in TREES:
        begin, end = f"<!-- drawing {tree} -->", "<!-- end of drawing -->"
        before, found, rest = text.partition(begin)
        if not found:
            raise LookupError(f"{PAGE.name}: no {begin}")
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n{counts(modules, tree)}\n\n{drawing(modules, tree)}\n{end}{after}"
    return text


def main() -> int:
    """Run the program; returns 1 when packages or files stand in a circle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the drawings into the page on architecture")
    parser.add_argument("--why", action="store_true", help="name the files of each circle")
    arguments = parser.parse_args()
    modules = module_graph()
    for tree in TREES:
        print(counts(modules, tree))
    of_files = circles(modules)
    print(f"files: {len(modules)}, {sum(map(len, modules.values()))} arrows, {len(of_files)} circles")
    for group in of_files if arguments.why else []:
        print("  ", *group)
    if arguments.write:
        PAGE.write_text(page(PAGE.read_text(), modules))
    return int(bool(of_files) or any(circles(room_graph(modules, tree)) for tree in TREES))


if __name__ == "__main__":
    sys.exit(main())
