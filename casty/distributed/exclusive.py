"""What the client classes share of which an instance holds one at a time: turns of its tasks, `held`, `token`."""

from __future__ import annotations

import asyncio

from casty.distributed.holder import Holder
from casty.distributed.holds import Hold, LocalFifo
from casty.distributed.machines.base import Command
from casty.distributed.port import EntityGateway, RegionRef
from casty.errors import AlreadyHeld

__all__ = ["Exclusive"]


class Exclusive(Holder):
    """An owner of one hold; tasks that share the instance take turns, in the order they came.

    Parameters
    ----------
    gateway, region_ref, name, timeout
        See `Handle`.
    """

    __slots__ = ("_fifo",)

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        self._fifo = LocalFifo(self._what)

    def hold_ended(self) -> None:
        """The next task that waits for this instance has its turn."""
        self._fifo.pass_on()

    @property
    def token(self) -> int | None:
        """The fencing token of the latest hold; None before the first, and once its user knows that it ended.

        That is when it was given back, or when it was seen lost after it had been seen held. A token is there after
        the hold was granted, however long the process was paused in between. Tokens of a name only grow, so whoever
        checks them refuses one that counts no more.
        """
        hold = self._holds.latest
        return None if hold is None else hold.grant.token

    def _is_held(self) -> bool:
        """Whether nobody else can have been granted this; for a hold, once False is for good. Any thread may ask."""
        return self._plain is None and self._holds.is_held()

    def _check_not_held(self) -> None:
        """Raise `AlreadyHeld` where the running task would wait for itself."""
        if self._holds.of(asyncio.current_task()) is not None:
            raise AlreadyHeld(f"{self._what}: this task holds this instance already; release it first")

    async def _acquire_by(self, command: Command, timeout_s: float | None) -> Hold:
        self._check_not_held()
        if not self._fifo.take():
            _ = self._port  # refuses another event loop, which the turn could not wake up
            timeout_s = await self._fifo.wait(timeout_s)
        hold = await self._in_turn(command, timeout_s)
        assert hold is not None, "only a try may find it taken"
        return hold

    async def _try_by(self, command: Command) -> bool:
        self._here().oldest()  # a hold seen lost gives the turn free
        if not self._fifo.take():
            return False
        return await self._in_turn(command, self._timeout_s) is not None

    async def _in_turn(self, command: Command, timeout_s: float | None) -> Hold | None:
        """Ask the cluster; the turn is ours, and stays so only with a hold."""
        hold = None
        try:
            hold = await self._request(command, timeout_s)
        finally:
            if hold is None:
                self._fifo.pass_on()
        return hold
