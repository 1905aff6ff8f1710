"""The record of what clients saw, and its forms for other tools."""

from __future__ import annotations

import json

import pytest

from sim.history import FAILED, OK, UNKNOWN, History
from tests.sim.checks.histories import Script


def test_operations_that_never_returned_count_as_unknown() -> None:
    script = Script("c")
    script.add(0, 1, "counter.add", {"amount": 1}, 1)
    script.failed(2, 3, "counter.add", {"amount": 1})
    script.unknown(4, "counter.add", {"amount": 1})
    assert script.history.counts() == {OK: 1, FAILED: 1, UNKNOWN: 1}


def test_an_operation_returns_once() -> None:
    history = History()
    operation = history.call("client-1", "counter.get", "c", {}, 0)
    history.ok(operation, 1, 2)
    with pytest.raises(AssertionError, match="returned twice"):
        history.failed(operation, "Unavailable", 3)


def test_overlap_is_counted_entity_by_entity() -> None:
    history = History()
    for name, call, back in (("a", 0, 10), ("b", 1, 2), ("a", 3, 4), ("a", 11, 12)):
        history.ok(history.call("client-1", "counter.get", name, {}, call), 0, back)
    assert history.overlapping() == 1


def test_edn_has_one_process_for_each_thing_that_goes_on() -> None:
    history = History()
    first = history.call("client-1", "map.put", "m", {"key": 1, "value": 'x"y'}, 0)
    second = history.call("client-1", "map.get", "m", {"key": 1}, 1)
    history.ok(second, None, 2)
    history.ok(first, True, 3)
    unknown = history.call("client-1", "map.get", "m", {"key": 1}, 5)
    history.unknown(unknown, "OutcomeUnknown", 6)
    history.failed(history.call("client-1", "map.get", "m", {"key": 1}, 7), "Unavailable", 8)
    lines = history.to_edn().splitlines()
    assert len(lines) == 8
    assert lines[0] == (
        '{:index 0, :time 0, :type :invoke, :process 0, :f :map.put, :value ["m" {:key 1, :value "x\\"y"} nil]}'
    )
    assert ":type :invoke, :process 1" in lines[1]
    assert ":type :ok, :process 1" in lines[2]
    assert ":type :info, :process 0" in lines[5]
    # Nobody comes back from an unknown outcome.
    assert ":type :invoke, :process 1" in lines[6]
    assert ":type :fail, :process 1" in lines[7]


def test_json_has_calls_and_returns() -> None:
    script = Script("c")
    script.add(3, 5, "counter.add", {"amount": 1}, 1)
    script.unknown(4, "counter.get", {})
    first, second = json.loads(script.history.to_json())
    assert first["Input"] == {"op": "counter.add", "key": "c", "amount": 1}
    assert (first["Call"], first["Return"], first["Output"]["value"]) == (3, 5, 1)
    assert second["Return"] > 1 << 60


def test_an_operation_reads_as_a_sentence() -> None:
    script = Script("c")
    operation = script.add(1_500_000_000, 2_000_000_000, "counter.add", {"amount": 1}, 7)
    assert str(operation) == "#0 client-0 counter.add c(amount=1) [1.500000, 2.000000] = 7"
