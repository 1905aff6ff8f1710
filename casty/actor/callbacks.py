"""How a cell runs the small pieces of code that it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

__all__ = ["call", "raise_out"]


async def call(callback: Callable[[], Awaitable[None] | None]) -> None:
    """Run a callback, and wait for what it returns, if that is anything."""
    result = callback()
    if result is not None:
        await result


def raise_out(error: BaseException) -> NoReturn:
    """Raise an error where this is called: out of the event loop, as its callback."""
    raise error
