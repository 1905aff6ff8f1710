"""Settings that a node tells whoever dials it: what leases rest on, and limits that clients keep to."""

from __future__ import annotations

from casty.settings import Settings
from casty.wire.hello import Welcome

__all__ = ["PROMISED", "TOLD", "broken_promise", "told_settings"]

PROMISED = ("election_min_s", "drift")
"""The settings that leases rest on: how long a follower keeps quiet after it heard of its leader."""

TOLD = ("max_value_bytes", "max_window_replies")
"""Limits that clients take over; see `ClientCore`."""


def told_settings(settings: Settings) -> dict[str, object]:
    """Return what a welcome says of them."""
    return {name: getattr(settings, name) for name in (*PROMISED, *TOLD)}


def broken_promise(settings: Settings, node_id: str, welcome: Welcome) -> str | None:
    """Return which promise another node gives otherwise than this one; None where both agree."""
    for name in PROMISED:
        mine, theirs = getattr(settings, name), welcome.extra.get(name)
        if mine != theirs:
            return (
                f"{name} is {mine} on {node_id} and {theirs} on {welcome.hello.node_id}; "
                "leases rest on it: set it alike on all nodes"
            )
    return None
