"""A reserved item of a queue, as who works on it has it."""

from __future__ import annotations

from typing import Generic, TypeVar

from casty.distributed.handle import failure
from casty.distributed.machines.base import OK, QUEUE
from casty.distributed.machines.queue_shapes import ACK, NACK
from casty.distributed.port import Grant, Port

__all__ = ["Reservation"]

V = TypeVar("V")


class Reservation(Generic[V]):
    """An item that nobody else gets as long as it is `held`; see `Queue.reserve`, which makes them.

    Attributes
    ----------
    item
        The value.
    deliveries
        How often it was reserved, this time included: 1 says that nobody had it before.
    """

    __slots__ = ("_entity", "_grant", "_port", "_timeout_s", "deliveries", "item")

    def __init__(
        self, port: Port, entity: bytes, grant: Grant, item: V, deliveries: int, timeout_s: float | None
    ) -> None:
        self._port = port
        self._entity = entity
        self._grant = grant
        self._timeout_s = timeout_s
        self.item = item
        self.deliveries = deliveries

    def __repr__(self) -> str:
        return f"<Reservation of delivery {self.deliveries} from queue {self._entity.decode()!r}>"

    @property
    def held(self) -> bool:
        """True only while nobody else can have been given the item; once False it stays False.

        False does not say that somebody has it: an `ack` may still be in time.
        """
        return self._grant.is_valid

    @property
    def token(self) -> int:
        """The number of the reservation: greater than that of any earlier one of this item, to refuse late work by."""
        return self._grant.token

    async def ack(self) -> bool:
        """Say that the item is done with: it is gone for good.

        Returns
        -------
        bool
            True if it was reserved until now. False if the reservation had ended: then somebody else may have the item,
            and nothing was changed.

        Raises
        ------
        Unavailable, OutcomeUnknown
            The cluster did not confirm in time. The reservation is given up: unless the item is gone, it is free again.
        """
        return await self._end(ACK)

    async def nack(self) -> bool:
        """Give the item back: it is free again, in its order, or a dead letter after `max_deliveries`.

        Returns
        -------
        bool
            True if it was reserved until now. False if the reservation had ended; nothing was changed.

        Raises
        ------
        Unavailable, OutcomeUnknown
            The cluster did not confirm in time; it is given back all the same.
        """
        return await self._end(NACK)

    async def _end(self, operation: int) -> bool:
        grant = self._grant
        command = [operation, grant.seq]
        reply = await self._port.release(QUEUE, self._entity, grant, command, timeout_s=self._timeout_s)
        if reply[0] != OK:
            raise failure(reply, f"queue {self._entity.decode()!r}")
        return bool(reply[1])
