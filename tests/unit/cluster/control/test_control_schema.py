"""Entries of the control group that fit, and some that do not; `test_mutants` says what becomes of all others."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.control.schema import (
    FOUND,
    JOIN,
    REGION,
    SERVICE,
    SILENT,
    STATUS,
    check_entry,
)  # fmt: skip
from casty.errors import RemoteProtocolError
from casty.wire.pack import pack

HUGE = 10**5000
DOCUMENT: dict[str, Any] = {
    "id": "f", "founder": "a", "name": "n", "generation": 3, "cluster_id": "c", "slots": 4, "replication": 3,
    "settings": {"session_ttl_s": 15.0, "drift": 0.01},
    "founders": [["a", "1", "a", 1, [None, 100, []]], ["b", "1", "b", 1, [None, 100, []]]],
}  # fmt: skip
REAL: tuple[list[Any], ...] = (
    [FOUND, DOCUMENT],
    [JOIN, "c", "1", "c", 1, [None, 100, []]],
    [STATUS, "c", "1", "up"],
    [REGION, "r", 10, None],
    [SERVICE, "a", "1", 0, 1, [["k", "casty://n@a:1/x", True]]],
    [SILENT, "b", "1", True],
)


@pytest.mark.parametrize("entry", REAL, ids=[entry[0] for entry in REAL])
def test_real_entries_fit(entry: list[Any]) -> None:
    assert check_entry(pack(entry)) == entry


@pytest.mark.parametrize(
    "port", [0, -1, 65_536, True, "1", 1.0, HUGE], ids=["0", "-1", "65536", "True", "text", "1.0", "huge"]
)
def test_a_join_with_a_port_that_is_none_is_refused_with_a_short_text(port: object) -> None:
    with pytest.raises(RemoteProtocolError, match="field 4: expected a number from 1 to 65535") as raised:
        check_entry(pack([JOIN, "a", "1", "a", port, [None, 100, []]]))
    assert len(str(raised.value)) < 200
