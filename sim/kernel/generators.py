"""Async generators: finalised by their own process, in order, never by the garbage collector's whim."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeVar

from .incarnation import Incarnation

__all__ = ["GeneratorHooks"]

T = TypeVar("T")

_SWEEP_AT = 256


class Spawner(Protocol):
    """What the hooks need of the loop."""

    current: Incarnation

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> object:
        """Run a callback soon."""

    def create_task(self, coro: Coroutine[Any, Any, T], *, context: Context | None = None) -> object:
        """Start a task."""


class GeneratorHooks:
    """The two hooks of `sys.set_asyncgen_hooks`."""

    __slots__ = ("_loop",)

    def __init__(self, loop: Spawner) -> None:
        self._loop = loop

    def first_iteration(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Register a generator with its process; weakly, so that leaving it early still ends it."""
        owner = self._loop.current
        owner.generators_made += 1
        generators = owner.generators
        generators[owner.generators_made] = weakref.ref(generator)
        if len(generators) >= owner.generators_sweep_at:
            gone = [number for number, reference in generators.items() if reference() is None]
            for number in gone:
                del generators[number]
            owner.generators_sweep_at = max(_SWEEP_AT, 2 * len(generators))

    def finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close a generator that was left unfinished, in the process that left it."""
        owner = self._loop.current
        context = owner.context.copy()
        self._loop.call_soon(self._close, generator, context, context=context)

    def _close(self, generator: AsyncGenerator[Any, Any], context: Context) -> None:
        self._loop.create_task(_aclose(generator), context=context)


async def _aclose(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()
