"""One hold as its owner has it: valid only while the slot cannot have given it to anybody else."""

from __future__ import annotations

import asyncio

from casty.cluster.sessions.core.client_session import Held
from casty.ports import Clock

__all__ = ["Hold"]


class Hold:
    """A granted lock, permit or reservation; the `Grant` of the structures' port. What it is worth, its `held` says."""

    __slots__ = ("_clock", "held", "lost", "seq", "token")

    def __init__(self, clock: Clock, held: Held) -> None:
        self._clock = clock
        self.held = held
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.seq = held.seq
        self.token = held.token

    @property
    def is_valid(self) -> bool:
        """Whether nobody else can have been granted it; once False it stays False."""
        return self.held.counts_at(self._clock.now())
