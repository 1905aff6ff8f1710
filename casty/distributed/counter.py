"""Counter: the client class. What a slot does with its commands is in `machines/counter.py`."""

from __future__ import annotations

from casty.checks import check_integer
from casty.distributed.handle import Handle
from casty.distributed.machines.base import COUNTER
from casty.distributed.machines.counter import ADD, COMPARE_AND_SET, GET, RESET
from casty.limits import MAX_INTEGER_BITS

__all__ = ["Counter"]


class Counter(Handle):
    """A distributed counter.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` that is neither; otherwise None.
    name
        The name, not empty. The same name in another kind is another structure.
    timeout
        Deadline of each call, in seconds; None waits for ever.

    Examples
    --------
    >>> async def visit(d: Distributed) -> int:
    ...     counter = d.counter("hits")
    ...     await counter.increment(5)
    ...     return await counter.get()
    """

    __slots__ = ()
    _kind = COUNTER

    async def increment(self, amount: int = 1) -> int:
        """Add to the counter, once however often it has to be sent.

        Parameters
        ----------
        amount
            What to add; an int of at most 14,000 bits, some 4,200 digits.

        Returns
        -------
        int
            The value after this increment.

        Raises
        ------
        Unavailable
            No quorum until the deadline; the call was not applied.
        OutcomeUnknown
            The deadline passed after it was sent; it was applied once or not at all.
        """
        value: int = await self._command([ADD, check_integer("amount", amount, MAX_INTEGER_BITS)])
        return value

    async def decrement(self, amount: int = 1) -> int:
        """Subtract from the counter; as `increment`.

        Parameters
        ----------
        amount
            What to subtract; as for `increment`.

        Returns
        -------
        int
            The value after this decrement.
        """
        value: int = await self._command([ADD, -check_integer("amount", amount, MAX_INTEGER_BITS)])
        return value

    async def get(self) -> int:
        """Return the value; 0 for a counter that does not exist."""
        value: int = await self._read([GET])
        return value

    async def compare_and_set(self, expected: int, value: int) -> bool:
        """Set the counter to `value` if it is `expected`.

        Returns
        -------
        bool
            True if it was.
        """
        values = [
            check_integer("expected", expected, MAX_INTEGER_BITS),
            check_integer("value", value, MAX_INTEGER_BITS),
        ]
        return bool(await self._command([COMPARE_AND_SET, *values]))

    async def reset(self) -> int:
        """Set the counter to zero, and return the value it had."""
        value: int = await self._command([RESET])
        return value
