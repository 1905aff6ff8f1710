"""Whether a cluster serves, by what one node says of it, and what one more failure would cost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty.cli.health import health_of
from casty.cli.status import render, until_it_serves
from casty.errors import Unavailable

from .test_status import document

TIMEOUT = Unavailable("no status within 1.0 s")


def test_a_whole_cluster_lacks_nothing() -> None:
    assert health_of(document()) == ([], [])
    assert "does not serve" not in render(document())
    assert "at risk" not in render(document())


def test_it_does_not_serve_without_leaders_or_memory() -> None:
    slots = document()["slots"]
    for slot in slots[1:]:
        slot["leader"] = None
    memory = {"used_bytes": 1001, "budget_bytes": 1000, "is_full": True}
    broken = document(slots=slots, leader=None, memory=memory)
    assert health_of(broken).lacks == [
        "no leader of the control group is known",
        "7 slots (1, 2, 3, 4, 5 and 2 more) without a leader",
        "this node is full: it refuses what grows",
    ]
    assert "does not serve: 7 slots" in render(broken)


def test_a_node_without_a_cluster_says_what_it_waits_for() -> None:
    assert health_of(document(slots=[], missing=["a third seed"])).lacks == [
        "this node belongs to no cluster yet", "a third seed",
    ]  # fmt: skip


def test_a_slot_is_at_risk_without_a_member_with_one_that_is_down_and_with_a_failed_replica() -> None:
    members = document()["members"]
    members[2]["status"] = "down"
    assert health_of(document(members=members)).risks == [
        "8 slots (0, 1, 2, 3, 4 and 3 more) below 3 replicas: c is down"
    ]
    slots = document()["slots"]
    slots[4]["replicas"] = ["a", "b"]
    slots[5]["failed"] = "MemoryError"
    found = health_of(document(slots=slots))
    assert found == (
        [],
        [
            "slot 4 below 3 replicas: 1 of 3 replicas have no member",
            "slot 5 below 3 replicas: the replica of the asked node failed: MemoryError",
        ],
    )


async def test_it_is_asked_until_it_serves() -> None:
    slots = document()["slots"]
    slots[0]["leader"] = None
    answers: list[dict[str, Any] | Exception] = [TIMEOUT, document(slots=slots), document()]

    async def ask(within_s: float) -> dict[str, Any]:
        assert 0 < within_s <= 60
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await until_it_serves(ask, 60) == document()
    assert answers == []


@pytest.mark.parametrize("is_ever_answered", [True, False])
async def test_the_last_answer_or_error_is_what_the_wait_ends_with(is_ever_answered: bool) -> None:
    async def ask(within_s: float) -> dict[str, Any]:
        if is_ever_answered:
            return document(leader=None)
        await asyncio.sleep(within_s)
        raise TIMEOUT

    if is_ever_answered:
        assert await until_it_serves(ask, 0.3) == document(leader=None)
    else:
        with pytest.raises(Unavailable):
            await until_it_serves(ask, 0.3)


def test_a_lost_majority_is_named_with_who_has_copies_and_since_when() -> None:
    rows = [
        {"group": group, "voters": ["a", "b", "c"], "copies": ["a", "b", "c"], "unreachable": ["b", "c"],
         "lacks_majority": True, "for_s": 10 + group}
        for group in (0, 1, 2)
    ]  # fmt: skip
    found = health_of(
        document(lost=[*rows, {**rows[0], "group": 5, "unreachable": ["b"], "lacks_majority": False}])
    )
    [lack] = found.lacks
    assert lack.startswith(
        "the control group and 2 slots (0, 1): no majority for 12 s; copies are with a, b, c"
    )
    assert lack.endswith("of these b, c cannot be reached from this node")


@pytest.mark.parametrize(
    ("state", "said"), [("full", "goes on when there is room"), ("broken", "start it anew")]
)
def test_a_disk_that_does_not_write_is_named(state: str, said: str) -> None:
    [lack] = health_of(document(disk={"state": state, "error": "data_dir 'x': no"})).lacks
    assert said in lack and "data_dir 'x': no" in lack
    assert health_of(document(disk={"state": "ok", "error": None})).lacks == []


def test_slots_that_are_closed_after_a_recovery_are_shown() -> None:
    assert "2 slots led by this node grant no lock" in render(document(closed=[1, 4]))
