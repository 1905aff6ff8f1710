"""Imports run downward: `lint-imports` holds the layers, these tests the drawings and the circles."""

from __future__ import annotations

from tools.graph import PAGE, TREES, circles, layers_of, module_graph, page, room_graph, without_implied


def test_the_drawings_are_up_to_date() -> None:
    text = PAGE.read_text()
    assert text == page(text, module_graph()), "run `python -m tools.graph --write`"


def test_no_rooms_stand_in_a_circle() -> None:
    modules = module_graph()
    assert not [group for tree in TREES for group in circles(room_graph(modules, tree))]


def test_no_files_stand_in_a_circle() -> None:
    assert not circles(module_graph())


def test_layers_name_every_room() -> None:
    modules = module_graph()
    for tree in TREES:
        named = sorted(name for layer in layers_of(tree) for name in layer)
        assert named == list(room_graph(modules, tree))


def test_circles_and_implied_arrows_are_found() -> None:
    graph = {
        name: dict.fromkeys(targets)
        for name, targets in {"a": "bc", "b": "c", "c": "", "d": "e", "e": "d"}.items()
    }
    assert circles(graph) == [["d", "e"]]
    assert list(without_implied({name: graph[name] for name in "abc"})["a"]) == ["b"]
