"""What a text names is there: files, tests, decisions, links, and sections of the papers that are followed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.tidy.source import FOLDERS, ROOT, modules, texts

SUFFIXES = "py|md|json|txt|toml|pyi"
PATH = re.compile(
    rf"(?<![\w./{{}}-])((?:[\w-]+/)*[\w-]+\.(?:{SUFFIXES}))(?:::(\w+)(?:\[[^\]]*\])?)?(?![\w/-])"
)
"""A file, with a test in it or without."""
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
DECISION = re.compile(r"\bADRs? (\d{4})")
SECTION = re.compile(r"\b[Ss]ections? \d+(?:\.\d+)*")
PAPERS = ("casty/consensus/", "tests/scripts/raft/", "tests/unit/consensus/")
"""Where sections are those of the Raft paper and of its author's dissertation, as the files say first."""
MADE_UP = ("PLAN.json", "casty.toml", "worker.py")
"""Files of a user, in examples."""


@cache
def _files() -> tuple[str, ...]:
    top = [path.name for path in ROOT.iterdir() if path.is_file()]
    below = [
        path.relative_to(ROOT).as_posix()
        for folder in (*FOLDERS, "docs", "typings")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return (*top, *below)


def _found(name: str) -> list[str]:
    """Return the files that a name may mean: its path from the top, or the end of it."""
    return [path for path in _files() if path == name or path.endswith("/" + name)]


def _prose() -> Iterator[tuple[str, str]]:
    """Yield (place, text) of documents, docstrings and comments."""
    for path, text in texts():
        if path.endswith(".md") and path != "CHANGELOG.md":
            yield path, text
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module.path}:{getattr(node, 'lineno', 1)}", ast.get_docstring(node) or ""
        for number, line in enumerate(module.text.splitlines(), 1):
            yield f"{module.path}:{number}", line.partition("# ")[2]


def test_files_that_are_named_are_there() -> None:
    lost = [
        f"{place}: {found[0]}"
        for place, text in _prose()
        for found in PATH.finditer(text)
        if not _found(found[1]) and found[1] not in MADE_UP
    ]
    assert not lost


def test_tests_that_are_named_are_there() -> None:
    lost = [
        f"{place}: {found[0]}"
        for place, text in _prose()
        for found in PATH.finditer(text)
        if found[2] and not any(f"def {found[2]}(" in (ROOT / path).read_text() for path in _found(found[1]))
    ]
    assert not lost


def test_links_lead_somewhere() -> None:
    lost = []
    for path, text in texts():
        for target in LINK.findall(CODE.sub("", text)) if path.endswith(".md") else ():
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            place = (ROOT / path).parent / name if name else ROOT / path
            if not place.exists() or (anchor and anchor not in _anchors(place.read_text())):
                lost.append(f"{path}: {target}")
    assert not lost


def _anchors(text: str) -> list[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def test_decisions_that_are_named_are_there() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")]
    lost = [
        f"{place}: ADR {number}"
        for place, text in _prose()
        for number in DECISION.findall(text)
        if number not in numbers
    ]
    assert not lost


def test_sections_are_those_of_the_papers() -> None:
    """Elsewhere a section has a name, and a link to it."""
    lost = [
        f"{path}: {found}"
        for path, text in texts()
        for found in SECTION.findall(text)
        if not path.startswith(PAPERS) and path != "tests/tidy/test_references.py"
    ]
    assert not lost
    silent = [
        module.path
        for module in modules("casty")
        if module.path.startswith(PAPERS[0]) and SECTION.search(module.text)
        if not re.search(r"Raft paper", module.text)
    ]
    assert not silent


@pytest.mark.parametrize(
    "text", ["see `nowhere/at_all.py`", "as tests/tidy/test_references.py::test_nothing says"]
)
def test_a_name_of_nothing_is_found(text: str) -> None:
    (found,) = PATH.finditer(text)
    assert not any(
        not found[2] or f"def {found[2]}(" in (ROOT / path).read_text() for path in _found(found[1])
    )
