"""The bounds of a slot's machine, and what it says of each entry that it applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from casty.distributed.machines.base import (
    DESTROY,
    NO_EFFECTS,
    QUEUE,
    RELEASE,
    RESIZE,
    Command,
    Effect,
    Reply,
)
from casty.distributed.machines.queue_shapes import WAITING
from casty.distributed.machines.record import RECORDED

__all__ = ["Applied", "MachineLimits", "may_wait"]


class MachineLimits(NamedTuple):
    """Bounds of one slot; see `Settings`."""

    max_entities: int = 1_000_000
    max_sessions: int = 100_000
    max_waiters: int = 100_000


class Applied(NamedTuple):
    """What an entry did: its reply, outcomes of earlier waiting requests, and the session it ended.

    The reply to an end of a session of which something is left is ``[QUEUED]``: another such entry has to follow.
    """

    reply: Reply
    effects: Sequence[Effect] = NO_EFFECTS
    ended: int | None = None


def may_wait(kind: int, command: Command) -> bool:
    """Whether a checked command of a kind in which requests wait is one that may, or may hold something."""
    if kind == QUEUE:
        return (command[3][0] if command[0] == RECORDED else command[0]) in WAITING
    return command[0] not in (DESTROY, RELEASE, RESIZE)
