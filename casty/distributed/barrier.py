"""Barrier: the client class. What a slot does with its commands is in `machines/barrier.py`."""

from __future__ import annotations

from casty.checks import check_count, check_name
from casty.distributed.handle import Handle
from casty.distributed.machines.barrier import ARRIVE, WAITING
from casty.distributed.machines.base import BARRIER, OK
from casty.distributed.port import EntityGateway, RegionRef
from casty.limits import MAX_NAME_BYTES, MAX_NUMBER

__all__ = ["Barrier"]


class Barrier(Handle):
    """A distributed barrier: all parties go on together, generation after generation.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    node_id
        Which party this is; arrivals under the same id count once.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def start(d: Distributed) -> None:
    ...     barrier = d.barrier("init-sync", node_id="worker-1")
    ...     await barrier.arrive(expected=3)
    """

    __slots__ = ("_node_id",)
    _kind = BARRIER

    def __init__(
        self,
        *,
        gateway: EntityGateway,
        region_ref: RegionRef | None,
        name: str,
        node_id: str,
        timeout: float | None = 60.0,
    ) -> None:
        super().__init__(gateway=gateway, region_ref=region_ref, name=name, timeout=timeout)
        check_name(node_id, "node_id", MAX_NAME_BYTES)
        self._node_id = node_id

    async def arrive(self, expected: int) -> None:
        """Wait until `expected` parties are here at the same time.

        A party that gives up before is withdrawn, and the others go on waiting. The first arrival of a
        generation fixes `expected`.

        Parameters
        ----------
        expected
            How many parties to wait for, at least 1.

        Raises
        ------
        TimeoutError
            Not enough came in time; this arrival is withdrawn.
        Mismatch
            The first arrival of this generation expects another number.
        Destroyed
            The barrier was destroyed meanwhile.
        Unavailable
            No quorum until the deadline; nobody saw this arrival.
        OutcomeUnknown
            The deadline passed, and the withdrawal could not be confirmed.
        """
        command = [ARRIVE, self._node_id, check_count("expected", expected, 1, MAX_NUMBER)]
        reply, _ = await self._port.wait(BARRIER, self._entity, command, timeout_s=self._timeout_s)
        if reply[0] != OK:
            self._refused(reply)
        self._was_used = True

    async def waiting(self) -> int:
        """Return how many parties wait. Others may arrive, or go on, before the answer is here."""
        count: int = await self._read([WAITING])
        return count
