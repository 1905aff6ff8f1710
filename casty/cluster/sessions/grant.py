"""One hold as its owner has it: valid only while the slot cannot have given it to anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

from casty.cluster.sessions.client_session import Ledger
from casty.ports import Clock

__all__ = ["Hold"]


class Hold:
    """A granted lock, permit or reservation; the `Grant` of the structures' port.

    Parameters
    ----------
    clock, ledger
        Tell whether the session is sure to live.
    seq, token
        See `Grant`.
    until_ns
        When it may end though the session lives; None is never.
    """

    __slots__ = ("_clock", "_is_over", "_ledger", "_losses", "_until_ns", "lost", "seq", "token")

    def __init__(
        self, clock: Clock, ledger: Ledger[Any], seq: int, token: int, until_ns: int | None = None
    ) -> None:
        self._until_ns = until_ns
        self._clock = clock
        self._ledger = ledger
        self._losses = ledger.losses
        self._is_over = False
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.seq = seq
        self.token = token

    @property
    def is_valid(self) -> bool:
        """Whether nobody else can have been granted it; once False it stays False."""
        ledger = self._ledger
        now_ns = self._clock.now()
        is_over = self._is_over or (self._until_ns is not None and now_ns >= self._until_ns)
        return not is_over and self._losses == ledger.losses and now_ns < ledger.covered_until_ns

    def release(self) -> None:
        """Its owner gives it back: not held any more, and not lost either."""
        self._is_over = True

    def lose(self, reason: str) -> None:
        """It ended without its owner."""
        if not self._is_over:
            self._is_over = True
            self.lost.set_result(reason)
