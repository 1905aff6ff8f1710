"""The settings of a cluster and their bounds."""

from __future__ import annotations

from dataclasses import fields

import pytest

from casty.config import BOUNDS, Settings


def test_every_number_has_a_bound_with_a_reason() -> None:
    numbers = [item.name for item in fields(Settings) if item.name != "reads"]
    assert sorted(BOUNDS) == sorted(numbers)
    assert all(bound.reason and bound.unit and bound.low <= bound.high for bound in BOUNDS.values())


def test_the_defaults_are_the_documented_ones() -> None:
    settings = Settings()
    assert (settings.slots, settings.replication, settings.heartbeat_s) == (64, 3, 0.25)
    assert (settings.election_min_s, settings.election_max_s, settings.session_ttl_s) == (1.0, 1.5, 15.0)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_value_out_of_range_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        Settings(**{name: BOUNDS[name].high * 2 + 1})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"reads": "dirty"}, "reads: expected 'lease' or 'quorum'"),
        ({"replication": 4}, "odd"),
        ({"election_max_s": 1.0}, "election_min_s < election_max_s"),
        ({"heartbeat_s": 0.6}, "2 x heartbeat_s"),
        ({"session_ttl_s": 5.9}, "at least 4 x election_max_s"),
        ({"max_value_bytes": 2**22}, "max_value_bytes: expected at most half of max_frame_bytes"),
        ({"max_frame_bytes": 2**16}, "max_value_bytes: expected at most half of max_frame_bytes"),
        ({"snapshot_chunk_bytes": 2**22}, "snapshot_chunk_bytes: expected at most half"),
    ],
)
def test_contradictions_are_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Settings(**values)
