"""Entries of the control group: what fits is applied, everything else is an outcome, and nothing ever raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.cluster.control import MALFORMED, ControlMachine
from casty.cluster.control_schema import (
    FOUND,
    JOIN,
    REGION,
    SCHEMAS,
    SERVICE,
    SILENT,
    STATUS,
    Agreed,
    Fields,
    Number,
    OneOf,
    Row,
    Rows,
    Rule,
    Text,
    check_entry,
)  # fmt: skip
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack

HUGE = 10**5000
DOCUMENT: dict[str, Any] = {
    "id": "f", "founder": "a", "name": "n", "generation": 3, "cluster_id": "c", "slots": 4, "replication": 3,
    "settings": {"session_ttl_s": 15.0, "drift": 0.01}, "founders": [["a", "1", "a", 1], ["b", "1", "b", 1]],
}  # fmt: skip
ENTRIES: tuple[list[Any], ...] = (
    [FOUND, DOCUMENT],
    [JOIN, "c", "1", "c", 1],
    [STATUS, "c", "1", "up"],
    [REGION, "r", 10],
    [SERVICE, "a", "1", 0, 1, [["k", "casty://n@a:1/x", True]]],
    [SILENT, "b", "1", True],
)
JUNK = st.sampled_from(
    [None, True, 0, -1, 2**64, HUGE, -HUGE, 0.5, float("nan"), "", "x" * 2000, b"x", [], [[]], {}, {"a": HUGE}]
)  # fmt: skip


def strategy_of(rule: Rule) -> st.SearchStrategy[Any]:
    """Values that fit a rule: what the fuzzer mutates comes from the schema itself."""
    match rule:
        case Text():
            return st.sampled_from(["a", "b", "c", "1", "é" * 9])
        case Number(low, high):
            return st.integers(max(low, 0), min(high, 8)) | st.sampled_from([low, high])
        case OneOf(values):
            return st.sampled_from(values)
        case Row(rules):
            return st.tuples(*map(strategy_of, rules)).map(list)
        case Rows(row, least):
            return st.lists(strategy_of(row), min_size=least, max_size=3)
        case Fields(rules):
            return st.fixed_dictionaries({key: strategy_of(field) for key, field in rules.items()})
        case Agreed():
            return st.just({"session_ttl_s": 15.0, "drift": 0.01})
        case _:
            raise AssertionError(rule)


# A founding of 4,096 slots takes seconds to place; the other bounds are drawn as they are.
FITTING = st.sampled_from([kind for kind in SCHEMAS if kind != FOUND]).flatmap(
    lambda kind: strategy_of(SCHEMAS[kind]).map(lambda fields: [kind, *fields])
)


@st.composite
def mutated(draw: st.DrawFn) -> list[Any]:
    """An entry with one value, at any depth, replaced, dropped or doubled."""
    entry = draw(FITTING | st.sampled_from(ENTRIES))
    return draw(_mutant(entry))


def _mutant(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, list) and value:
        inside = st.integers(0, len(value) - 1).flatmap(
            lambda at: _mutant(value[at]).map(lambda new: [*value[:at], new, *value[at + 1 :]])
        )
        return inside | st.just(value[:-1]) | st.just([*value, value[-1]]) | JUNK
    if isinstance(value, dict) and value:
        return (
            st.sampled_from(sorted(value)).flatmap(
                lambda key: _mutant(value[key]).map(lambda new: {**value, key: new})
            )
            | JUNK
        )
    return JUNK


def founded() -> ControlMachine:
    machine = ControlMachine()
    assert machine.apply(pack([FOUND, DOCUMENT])) == [0]
    return machine


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry[0] for entry in ENTRIES])
def test_real_entries_fit(entry: list[Any]) -> None:
    assert check_entry(pack(entry)) == entry


@given(FITTING)
def test_what_the_schema_says_fits(entry: list[Any]) -> None:
    assert check_entry(pack(entry)) == entry


@settings(max_examples=200)
@given(st.lists(FITTING | mutated(), max_size=6), st.booleans())
def test_applying_never_raises_and_is_the_same_everywhere(entries: list[Any], is_founded: bool) -> None:
    first, second = (founded() if is_founded else ControlMachine() for _ in range(2))
    for entry in entries:
        data = pack(entry)
        before = first.dump()
        reply = first.apply(data)
        assert second.apply(data) == reply
        if reply[0] == MALFORMED:
            assert first.dump() == before
            with pytest.raises(RemoteProtocolError):
                check_entry(data)
        assert len(pack(reply)) < 5_000 + len(data)
    assert first.dump() == second.dump()


@pytest.mark.parametrize(
    "port", [0, -1, 65_536, True, "1", 1.0, HUGE], ids=["0", "-1", "65536", "True", "text", "1.0", "huge"]
)
def test_a_join_with_a_port_that_is_none_is_refused_with_a_short_text(port: object) -> None:
    with pytest.raises(RemoteProtocolError, match="field 4: expected a number from 1 to 65535") as raised:
        check_entry(pack([JOIN, "a", "1", "a", port]))
    assert len(str(raised.value)) < 200
