"""Whoever catches every error passes it on, or says on that line why whatever it is may end there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.tidy.source import Module, dotted, modules

BROAD = ("Exception", "BaseException")


def test_every_broad_except_says_why() -> None:
    strays = [f"{module.path}:{line}" for module in modules("casty", "sim") for line in unexplained(module)]
    assert not strays, "catch what is expected, pass it on with `raise`, or say why on the line of the except"


def unexplained(module: Module) -> Iterator[int]:
    """Yield the lines of handlers that catch everything, keep it, and do not say why."""
    lines = module.text.splitlines()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _passes_on(node):
            first = node.body[0].lineno
            if not any("#" in line for line in lines[node.lineno - 1 : first - 1]):
                yield node.lineno


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(map(_is_broad, caught.elts))
    return caught is None or dotted(caught) in BROAD


def _passes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@pytest.mark.parametrize(
    ("code", "is_stray"),
    [
        ("except Exception:\n    pass", True),
        ("except:\n    pass", True),
        ("except (OSError, BaseException) as error:\n    print(error)", True),
        ("except Exception as error:\n    raise ValueError from error", True),
        ("except Exception:  # it is the user's\n    pass", False),
        ("except Exception:\n    # it is the user's\n    pass", False),
        ("except BaseException:\n    print()\n    raise", False),
        ("except OSError:\n    pass", False),
    ],
)
def test_strays_are_found(code: str, is_stray: bool) -> None:
    text = f"try:\n    f()\n{code}\n"
    assert bool(list(unexplained(Module("x.py", text, ast.parse(text))))) is is_stray
