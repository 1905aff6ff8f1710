"""Planted bugs in what a node lets in: a process that forges frames makes honest ones pay for each of them."""

from __future__ import annotations

from typing import Any

from casty.cluster import boundary
from casty.cluster.host import Host
from casty.cluster.requests import Requests
from casty.cluster.slot_group import SlotReplica
from casty.wire.pack import unpack

from .bug import Planted, bug_in

__all__ = ["BOUNDARY"]

_OWNERS = "owners of sessions"
_FAULTS = "faults stay on their links"


def _of_anybody(replica: Any, session: int, _proof: bytes) -> bool:
    """A session serves whoever knows its number."""
    return session in replica.machine.sessions


def _yes(*_: Any, **__: Any) -> bool:
    return True


def _any_group(right: Any) -> Any:
    """The number of a group is looked up whatever it is."""

    def on_consensus(host: Any, sender: str, body: bytes, is_heard: Any = None) -> None:
        items: Any = unpack(body)
        for item in items:
            host.groups.get(item[0])
        right(host, sender, body, is_heard)

    return on_consensus


def _any_reply(right: Any) -> Any:
    """The id of a call is compared whatever it is."""

    def on_replies(requests: Any, items: Any, body: bytes) -> None:
        _ = [item[0] < 0 for item in items]
        right(requests, items, body)

    return on_replies


BOUNDARY = (
    Planted("session-of-anybody", _OWNERS, "rogue", SlotReplica, "_is_owner", _of_anybody),
    Planted("strangers-heard", "who is who", "rogue", boundary, "hears", _yes),
    bug_in("any-group-number", _FAULTS, "rogue", Host, "on_consensus", _any_group),
    bug_in("any-call-id", _FAULTS, "rogue", Requests, "_on_replies", _any_reply),
)
"""What one process that forges frames shows. The cells of the table of authority are tested one by one; see
`tests/unit/cluster/test_authority.py`."""
