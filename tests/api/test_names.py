"""Every name of the wider API is where its users look for it, takes what they pass, and has a test for what it does."""

from __future__ import annotations

import ast
import importlib
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.api.promised import MEMBERS, PROMISES, SIGNATURES

ROOT = Path(__file__).parents[2]


def found(path: str) -> Any:
    """Return what stands at ``module:name`` or ``module:name.attribute``."""
    module, _, rest = path.partition(":")
    value: Any = importlib.import_module(module)
    for name in rest.split("."):
        value = getattr(value, name)
    return value


def shape_of(value: Any) -> str:
    """Return the parameters as their callers see them, without annotations, and whether it is awaited."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(value).parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    text = str(inspect.Signature(parameters))
    return f"async {text}" if inspect.iscoroutinefunction(value) else text


@pytest.mark.parametrize(("path", "shape"), SIGNATURES.items())
def test_each_name_takes_what_its_users_pass(path: str, shape: str) -> None:
    assert shape_of(found(path)) == shape


@pytest.mark.parametrize(("path", "names"), MEMBERS.items())
def test_each_name_has_the_parts_that_its_users_name(path: str, names: str) -> None:
    owner = found(path)
    fields = getattr(owner, "__dataclass_fields__", {})
    assert not [name for name in names.split() if not hasattr(owner, name) and name not in fields]


@cache
def named_in(place: str) -> list[str]:
    """Return the names of the tests of a file."""
    tree = ast.parse((ROOT / "tests" / place).read_text())
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize(("promise", "places"), PROMISES.items())
def test_each_promise_names_a_test_that_exists(promise: str, places: str) -> None:
    for place in places.split():
        path, _, name = place.partition("::")
        assert f"test_{name}" in named_in(path), f"{promise}: {place}"
