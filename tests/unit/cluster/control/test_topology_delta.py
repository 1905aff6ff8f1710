"""Deltas of topologies: what a link was told, and the delta, give the new one exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.cluster.control.topology import LeaderTable, MemberInfo, Topology
from casty.cluster.control.topology_delta import delta_of, patched
from casty.errors import RemoteProtocolError
from casty.traits import Traits
from casty.wire.pack import pack, unpack

LEADERS = LeaderTable()
NAMES = st.sampled_from(["a", "b", "c", "d"])
MEMBERS = st.builds(
    MemberInfo, NAMES, st.sampled_from(["1", "2"]), NAMES, st.integers(1, 3), st.sampled_from(["up", "down"]),
    st.booleans(), st.integers(0, 3),
    st.builds(Traits, st.sampled_from([None, "z"]), st.sampled_from([50, 100]), st.sampled_from([(), ("web",)])),
)  # fmt: skip
ROWS = st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4, unique_by=lambda row: row[0]).map(tuple)
SLOTS = st.tuples(*[st.tuples(st.integers(1, 3), st.lists(NAMES, max_size=2).map(tuple))] * 3)
TOPOLOGIES = st.builds(
    Topology,
    generation=st.integers(1, 2),
    cluster_id=st.just("c"),
    version=st.integers(1, 5),
    ttl_s=st.just(15.0),
    drift=st.just(0.01),
    members=st.lists(MEMBERS, max_size=4).map(lambda rows: {row.node_id: row for row in rows}),
    slots=SLOTS,
    regions=st.dictionaries(NAMES, st.integers(1, 2)),
    services=st.dictionaries(NAMES, ROWS),
    leaders=st.just(LEADERS),
)
BASE = Topology(1, "c", 7, 15.0, 0.01, {}, ((1, ()),), {}, {}, LEADERS)


@given(TOPOLOGIES, TOPOLOGIES)
def test_base_and_delta_give_the_new_topology_in_its_order(base: Topology, new: Topology) -> None:
    delta = delta_of(base, new, [])
    if delta is None:
        return
    made = patched(base, unpack(pack(delta)))
    assert made == new
    for name in ("members", "regions", "services"):
        assert list(getattr(made, name)) == list(getattr(new, name))


def test_another_generation_and_another_order_have_no_delta() -> None:
    assert delta_of(BASE, replace(BASE, generation=2), []) is None
    one, other = replace(BASE, regions={"a": 1, "b": 1}), replace(BASE, regions={"b": 1, "a": 1})
    assert delta_of(one, other, []) is None


def test_one_more_instance_costs_one_row() -> None:
    rows = tuple((f"casty://c@h:1/{number}", "n") for number in range(1000))
    base = replace(BASE, services={f"s{number}": rows for number in range(10)})
    new = replace(base, version=8, services={**base.services, "s3": (*rows[1:], ("casty://c@h:1/new", "n"))})
    delta = delta_of(base, new, [])
    assert delta is not None
    assert len(pack(delta)) < 200
    assert patched(base, unpack(pack(delta))) == new


@pytest.mark.parametrize(
    "plain",
    [
        None, [], [7] * 9, [6, 8, [], [], [], {}, [], {}, []], [7, 8, [], ["gone"], [], {}, [], {}, []],
        [7, 8, [], [], [[5, 1, []]], {}, [], {}, []], [7, 8, [["n"]], [], [], {}, [], {}, []],
        [7, 8, [], [], [], {}, [], {"s": [[], ["row"]]}, []], [7, "x", [], [], [], {}, [], {}, []],
    ],
)  # fmt: skip
def test_what_is_no_delta_of_this_base_is_a_protocol_error(plain: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="topology: expected"):
        patched(BASE, plain)
