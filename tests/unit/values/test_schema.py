"""The language of schemas: what each rule takes, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from casty.schema import (
    Case,
    Data,
    Fields,
    Integer,
    Maybe,
    Number,
    OneOf,
    Row,
    Rows,
    Rule,
    Tagged,
    Text,
    compiled,
    flaw,
)

HUGE = 10**5000
PAIR = Row((Number(0, 9), Text(3)))
CASE = Row((Number(1, 2), Case(0, {1: Number(5, 6), 2: Text(3)})))
TAGGED = Tagged({1: Row((Number(0, 9), Text(3))), 2: Row(()), 3: Row((Case(0, {3: Number(1, 3)}),))})


@pytest.mark.parametrize(
    ("rule", "fitting", "others"),
    [
        (Number(1, 9), [1, 9], [0, 10, True, 1.0, "1", None, HUGE, -HUGE]),
        (Integer(8), [0, 255, -255], [256, -256, True, 1.0, HUGE]),
        (Text(3), ["a", "é", "abc"], ["", "abcd", "éé", "\ud800", b"a", None]),
        (Data(), [b"", b"x" * 9], ["x", None, bytearray(b"x")]),
        (Data(3), [b"", b"abc"], [b"abcd"]),
        (OneOf((False, True)), [False, True], [0, 1, None, [], {}]),
        (OneOf(("up", 1)), ["up", 1], [True, "down", ["up"]]),
        (Maybe(Number(1, 2)), [None, 1], [0, False]),
        (PAIR, [[0, "a"]], [[], [0], [0, "a", 0], ["a", 0], (0, "a"), [10, "a"], None]),
        (CASE, [[1, 5], [2, "a"]], [[1, "a"], [2, 5], [3, 5], [1, 7], [True, 5], [[], 5]]),
        (Rows(PAIR, 1, 2), [[[0, "a"]], [[0, "a"]] * 2], [[], [[0, "a"]] * 3, [[0]], {}]),
        (TAGGED, [[1, 0, "a"], [2], [3, 1]], [[], [1], [2, 2], [4], [True, 0, "a"], [[]], "a", [3, 4]]),
        (Fields({"a": PAIR}), [{"a": [0, "a"]}], [{}, {"a": 0}, {"a": [0, "a"], "b": 1}, {1: 2}, []]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rules(rule: Rule, fitting: list[Any], others: list[Any]) -> None:
    fits = compiled(rule)
    for value in fitting:
        assert fits(value), value
        assert flaw(rule, value, "it") is None, value
    for value in others:
        assert not fits(value)
        text = flaw(rule, value, "it")
        assert text is not None and text.startswith("it") and "expected" in text and len(text) < 200


@pytest.mark.parametrize(
    ("rule", "value", "text"),
    [
        (TAGGED, [1, 10, "a"], "it 1, field 1: expected a number from 0 to 9, found another int"),
        (TAGGED, [1, 0], "it 1: expected 3 fields, found 2"),
        (TAGGED, [HUGE], "it: expected a list that begins with one of [1, 2, 3], found another list"),
        (CASE, [1, "a"], "it, field 1: expected a number from 5 to 6, found a str"),
        (Rows(PAIR), [[0, "a"], [0, 7]], "it, row 1, field 1: expected a text of 1 to 3 bytes, found a int"),
        (Fields({"a": Data()}), {"a": None}, "it, a: expected bytes, found a NoneType"),
    ],
)
def test_what_is_said(rule: Rule, value: Any, text: str) -> None:
    assert flaw(rule, value, "it") == text
