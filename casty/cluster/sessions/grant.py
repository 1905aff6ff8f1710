"""One hold as its owner has it: valid only while the slot cannot have given it to anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

from casty.cluster.sessions.client_session import Ledger
from casty.ports import Clock

__all__ = ["Hold"]


class Hold:
    """A granted lock or permit; the `Grant` of the structures' port."""

    __slots__ = ("_clock", "_is_over", "_ledger", "lost", "seq", "token")

    def __init__(self, clock: Clock, ledger: Ledger[Any], seq: int, token: int) -> None:
        self._clock = clock
        self._ledger = ledger
        self._is_over = False
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.seq = seq
        self.token = token

    @property
    def is_valid(self) -> bool:
        """Whether nobody else can have been granted it; once False it stays False."""
        return not self._is_over and self._clock.now() < self._ledger.covered_until_ns

    def release(self) -> None:
        """Its owner gives it back: not held any more, and not lost either."""
        self._is_over = True

    def lose(self, reason: str) -> None:
        """It ended without its owner."""
        if not self._is_over:
            self._is_over = True
            self.lost.set_result(reason)
