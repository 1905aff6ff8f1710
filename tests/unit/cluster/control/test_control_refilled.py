"""A replica of the control group that failed begins anew beside what it knew, however its log comes to it."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.control.machine import FOUND, JOIN, STATUS, ControlMachine
from casty.cluster.control.replica import ControlReplica
from casty.consensus import Entry
from casty.wire.pack import pack

DOCUMENT: dict[str, Any] = {
    "id": "f", "founder": "a", "name": "test", "generation": 7, "cluster_id": "c", "slots": 2, "replication": 3,
    "settings": {"session_ttl_s": 6.0, "drift": 0.01},
    "founders": [[name, "1", name, 1, [None, 100, []]] for name in "abc"],
}  # fmt: skip
HISTORY: list[list[Any]] = [
    [FOUND, DOCUMENT], [STATUS, "b", "1", "down"], [STATUS, "b", "1", "up"], [JOIN, "b", "2", "b", 1, [None, 100, []]],
    [STATUS, "b", "2", "up"], [STATUS, "b", "2", "down"], [STATUS, "b", "2", "up"],
]  # fmt: skip


def entries() -> list[Entry]:
    return [Entry(1, 0, pack(entry)) for entry in HISTORY]


@pytest.mark.parametrize("failed_at", range(1, len(HISTORY) + 1))
def test_it_comes_to_the_same_state_as_the_others_and_shows_none_in_between(failed_at: int) -> None:
    shown: list[int] = []
    replica = ControlReplica(lambda: shown.append(replica.machine.version), lambda group: None)
    whole = ControlMachine()
    log = entries()
    for index, entry in enumerate(log[:failed_at], 1):
        replica.apply(index, entry)
    replica.begin_anew()
    for index, entry in enumerate(log, 1):
        replica.apply(index, entry)
        whole.apply(entry.data)
        assert replica.machine.is_founded
    assert replica.machine.dump() == whole.dump()
    assert shown == sorted(shown), "no version comes back"


def test_half_an_entry_is_not_kept() -> None:
    replica = ControlReplica(lambda: None, lambda group: None)
    whole = ControlMachine()
    log = entries()
    for index, entry in enumerate(log[:5], 1):
        replica.apply(index, entry)
        whole.apply(entry.data)
    replica.machine.version += 1
    replica.begin_anew()
    for index, entry in enumerate(log[:6], 1):
        replica.apply(index, entry)
    whole.apply(log[5].data)
    assert replica.machine.dump() == whole.dump()


def test_a_whole_state_takes_the_place_of_both() -> None:
    replica = ControlReplica(lambda: None, lambda group: None)
    whole = ControlMachine()
    log = entries()
    for index, entry in enumerate(log[:4], 1):
        replica.apply(index, entry)
    for entry in log[:6]:
        whole.apply(entry.data)
    replica.begin_anew()
    load = replica.begin_load()
    load.take(whole.dump())
    load.finish()
    replica.apply(7, log[6])
    whole.apply(log[6].data)
    assert replica.machine.dump() == whole.dump()
