"""Every example, docstring and Python block of the documents is checked; examples run in full."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^\s*(?:\$ )?(make|casty|python -m)\s+(\S+)", re.MULTILINE)


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> list[ParameterSet]:
    found = []
    for path in documents():
        for number, match in enumerate(BLOCK.finditer(path.read_text()), 1):
            found.append(pytest.param(match.group(1), id=f"{path.relative_to(ROOT)}-{number}"))
    return found


def library() -> list[str]:
    paths = sorted((ROOT / "casty").rglob("*.py"))
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in paths]
    return [name for name in names if not name.endswith(("__main__", "casty.sim", "pytest_plugin"))]


@pytest.mark.parametrize("block", blocks())
def test_code_blocks_compile_and_their_imports_exist(block: str) -> None:
    tree = compile(block, "document", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "casty":
            module = importlib.import_module(node.module)
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)]


@pytest.mark.parametrize("name", library())
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name.removesuffix(".__init__"))
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    broken = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert not broken


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(path: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        for program, word in SHELL.findall(block):
            if program == "make":
                assert word in targets
            elif program == "casty":
                assert word in (
                    "node", "status", "member", "backup", "restore", "recover", "salvage", "disk", "demo", "sim",
                    "--version",
                )  # fmt: skip


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path: Path) -> None:
    runner = ["-m", "pytest", "-q", "-n", "0"] if "@simulate" in path.read_text() else []
    result = subprocess.run(
        [sys.executable, *runner, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()
