"""Status documents: where structures live, and how people see it."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cli.status import Place, locate, render
from casty.cluster.control.placement import slot_of
from casty.distributed.machines.base import LOCK, MAP
from casty.errors import ConfigError, Unavailable
from casty.wire.codec import default_codec
from casty.wire.pack import pack

SLOTS = 8


def document(**changes: Any) -> dict[str, Any]:
    slots = [
        {
            "slot": slot,
            "leader": "abc"[slot % 3],
            "replicas": ["a", "b", "c"],
            "target": ["a", "b", "c"],
            "term": 1,
            "commit": 4,
            "failed": None,
            "role": None,
        }
        for slot in range(SLOTS)
    ]
    members = [
        {"id": name, "address": f"10.0.0.1:{port}", "status": "up", "zone": None, "weight": 100, "roles": []}
        for port, name in enumerate("abc")
    ]
    return {
        "name": "shop", "generation": 5, "replication": 3, "leader": "a",
        "missing": [], "moving": [], "places_to_move": 0, "shared_slots": SLOTS, "closed": [], "lost": [], "disk": None,
        "members": members, "slots": slots,
        "sessions": 2, "structures": {"lock": 1, "map": 0},
        "memory": {"used_bytes": 5, "budget_bytes": 1000, "is_full": False},
        "messages": {"dead_letters": 0, "lost": 0, "unconfirmed": 0}, **changes,
    }  # fmt: skip


def test_a_lock_lives_where_its_name_hashes() -> None:
    slot = slot_of(LOCK, b"till", SLOTS)
    found = locate(document(), Place.parse("lock:till"))
    assert found == {"slot": slot, "leader": "abc"[slot % 3], "replicas": ["a", "b", "c"]}


def test_a_map_has_a_place_per_key() -> None:
    place = Place.parse("map:users:alice:smith")
    assert place == Place(MAP, "users", "alice:smith")
    assert place.entity == pack(["users", default_codec().canonical("alice:smith")])


def test_a_name_may_contain_a_colon() -> None:
    assert Place.parse("lock:a:b") == Place(LOCK, "a:b")


@pytest.mark.parametrize("text", ["", "lock", "lock:", "tree:a", "map:users", "map::x"])
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Place.parse(text)


def test_a_node_without_a_cluster_knows_no_place() -> None:
    with pytest.raises(Unavailable):
        locate(document(slots=[]), Place.parse("lock:till"))


def test_people_see_what_matters() -> None:
    text = render(document())
    assert "system shop, generation 5, led by a" in text
    assert "8 slots: a leads 3, b leads 3, c leads 2" in text
    assert "2 sessions, structures: 1 lock" in text
    assert "memory: 5 of 1,000 bytes" in text
    assert "FULL" not in text
    memory = {"used_bytes": 1001, "budget_bytes": 1000, "is_full": True}
    assert "FULL: what grows is refused" in render(document(memory=memory))
    assert "without a leader" not in text


def test_people_see_what_is_wrong() -> None:
    slots = document()["slots"]
    slots[3]["leader"] = None
    text = render(document(slots=slots, missing=["slot 3 has no leader"], leader=None))
    assert "does not serve: slot 3 without a leader" in text
    assert "not ready: slot 3 has no leader" in text
    assert "led by unknown" in text
    assert "messages of actors" not in text
    text = render(document(messages={"dead_letters": 7, "lost": 5, "unconfirmed": 2}))
    assert "messages of actors at this node: 7 dead letters, 5 lost, 2 unconfirmed" in text
