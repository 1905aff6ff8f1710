"""What the client classes of all kinds that are held share: asking, giving back, ``async with``."""

from __future__ import annotations

import logging
from types import TracebackType

from casty.distributed.handle import Handle
from casty.distributed.holds import Hold, Holds, hold_lost
from casty.distributed.machines.base import OK, Command
from casty.distributed.machines.wait_queue import release_command
from casty.distributed.port import LOST_DESTROYED, LOST_EXPIRED, EntityGateway, RegionRef
from casty.errors import CastyError

__all__ = ["Holder"]

log = logging.getLogger("casty.distributed")


class Holder(Handle):
    """A client that holds what it was granted until it releases or loses it; see `holds` for whose a hold is.

    Dropping the last reference to one that holds something is logged as a warning. It stays held until its client or
    system is left: nobody asked for the release, and to free it unasked would let others in beside whoever works
    under it (``await d.lock("x").acquire()`` keeps no reference, and means to hold).
    """

    __slots__ = ("__weakref__", "_holds", "_what")

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        self._what = self._label
        self._holds = Holds(self)

    def hold_ended(self) -> None:
        """A hold of this instance ended, by release or by loss."""

    def __del__(self) -> None:
        """Say that nobody can release what is held any more."""
        holds = getattr(self, "_holds", None)  # absent when the constructor refused its arguments
        if holds is not None and holds.is_any_valid():
            log.warning(
                "%s: the last reference to an instance that holds it was dropped; it stays held until its client or "
                "system is left. Keep the instance to release it, or use `async with`",
                self._what,
            )

    async def _request(self, command: Command, timeout_s: float | None, amount: int = 1) -> Hold | None:
        """Ask for a hold; None when a try found nothing free."""
        reply, grant = await self._port.wait(self._kind, self._entity, command, timeout_s=timeout_s)
        if reply[0] != OK:
            self._refused(reply)
        if grant is not None:
            self._was_used = True
            return self._holds.begin(grant, amount)
        if reply[1] is not None:
            raise hold_lost(self._what, LOST_EXPIRED)  # it came and went before this task could run
        return None

    async def _give_back(self, hold: Hold) -> bool:
        port = self._port  # refuses another event loop, in which the hold would be given up here alone
        self._holds.end(hold)
        command = release_command(self._kind, hold.grant.token, hold.grant.seq)
        reply = await port.release(self._kind, self._entity, hold.grant, command, timeout_s=self._timeout_s)
        return bool(reply[1] if reply[0] == OK else self._refused(reply))

    def _here(self) -> Holds:
        """Return the holds for a call that may change them; another event loop than theirs is refused first."""
        if self._holds.is_elsewhere():
            _ = self._port
        return self._holds

    async def _release(self) -> bool:
        hold = self._here().meant()
        return False if hold is None else await self._give_back(hold)

    async def wait_lost(self) -> bool:
        """Wait until the present hold, the oldest if there are several, ends.

        Returns
        -------
        bool
            True if it ended early, False if it was released or there is none.
        """
        hold = self._here().oldest()
        if hold is None:
            return False
        return await hold.wait_end()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release; raises `LockLost` when the hold ended before the body did.

        What cannot be released in time ends by itself; it is raised only when the body raised nothing.
        """
        hold = self._here().leave()
        if hold is None:
            return
        is_foreign = hold.unwatch(error)
        is_good = self._holds.is_good(hold)
        if hold.reason is not None:
            self._holds.forgive(hold.task)
            if self._holds.latest is hold:
                self._holds.drop_lost()
        if is_good:
            await self._exit(hold, error, is_foreign)
        elif hold.reason is not None and not is_foreign:
            raise hold_lost(self._what, hold.reason, error)

    async def _exit(self, hold: Hold, error: BaseException | None, is_foreign: bool) -> None:
        try:
            is_released = await self._give_back(hold)
        except CastyError:
            if error is None:
                raise
            return
        if not is_released and not is_foreign:
            raise hold_lost(self._what, LOST_DESTROYED, error)
