"""`simulate`: an async test over a world, run for many seeds."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..faults.random_nemesis import Nemesis
from ..faults.settings import Faults
from ..kernel.draws import Draws
from ..kernel.errors import BackgroundError
from ..world.world import World

__all__ = ["SEED_ARGUMENT", "Simulation", "simulate"]

SEED_ARGUMENT = "casty_seed"
"""What the pytest plugin parameterises; see `casty.pytest_plugin`."""

_SETTLE_S = 0.001
_MOST_TOLD = 3

Test = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What `simulate` was told about one test; the plugin finds it as the attribute ``casty_simulation``."""

    test: Test
    nodes: int
    seeds: tuple[int, ...]
    faults: Faults
    limit_s: float
    options: dict[str, Any] = field(default_factory=dict)

    def run_seed(self, seed: int, arguments: dict[str, Any]) -> str:
        """Run the test in the world of one seed and return the digest; a failure tells how to replay it."""
        profile = self.faults.profile(Draws(seed))
        with World(seed, network=profile) as world:
            nemesis = Nemesis(world, self.faults)
            try:
                world.run(self._main(world, nemesis, arguments), limit_s=self.limit_s)
                digest = world.digest()
                self._check_background(world)
            except BaseException as error:
                error.add_note(self._timeline(world, nemesis, seed))
                raise
            return digest

    @staticmethod
    def _check_background(world: World) -> None:
        """What failed unheard fails the seed; a test that expects it takes it out of ``world.errors``."""
        world.run_until(world.now_ns / 1e9 + _SETTLE_S)
        unheard = world.unheard()
        if unheard:
            texts = "; ".join(f"{name}: {text}" for name, text in unheard[:_MOST_TOLD])
            raise BackgroundError(f"{len(unheard)} errors that nobody awaited: {texts}")

    async def _main(self, world: World, nemesis: Nemesis, arguments: dict[str, Any]) -> None:
        if self.nodes:
            await world.cluster(self.nodes, **self.options)
        nemesis.begin(list(world.processes))
        await self.test(world, **arguments)
        nemesis.end()

    def _timeline(self, world: World, nemesis: Nemesis, seed: int) -> str:
        lines = [
            (
                f"casty: seed {seed} failed after {world.now_ns / 1e9:.6f} virtual seconds, "
                f"digest {world.digest()}"
            ),
            f"casty: replay with: {_replay_command(self.test, seed)}",
        ]
        lines.append(
            f"casty: faults: {', '.join(f'{name} {count}' for name, count in nemesis.done.items()) or 'none'}"
        )
        first = max(0, len(world.trace) - 10)
        for index in range(first, len(world.trace)):
            entry = world.trace[index]
            lines.append(f"  {entry.t_ns / 1e9:12.6f} {entry.node}: {entry.kind} {tuple(entry.event)!r}")
        return "\n".join(lines)


def _replay_command(test: Test, seed: int) -> str:
    node_id = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].partition("[")[0]
    if node_id:
        return f"pytest '{node_id}' --casty-seed {seed}"
    name = getattr(test, "__qualname__", "test")
    return f'python -c "import {test.__module__} as m; m.{name}({SEED_ARGUMENT}={seed})"'


def simulate(
    *,
    nodes: int = 0,
    seeds: int | Iterable[int] = 1,
    faults: Faults | None = None,
    limit_s: float = 3600.0,
    **options: Any,
) -> Callable[[Test], Callable[..., None]]:
    """Turn an async test over a world into an ordinary test that runs it for many seeds.

    Parameters
    ----------
    nodes
        How many `ClusteredActorSystem`s serve before the test begins; none: the test adds its own processes.
    seeds
        How many, from 0, or which.
    faults
        What goes wrong meanwhile; None: nothing.
    limit_s
        The longest the test may take, in virtual seconds.
    options
        Passed to each `ClusteredActorSystem`.

    Examples
    --------
    >>> @simulate(seeds=3)
    ... async def test_time_passes(world):
    ...     await world.until(lambda: True)
    >>> test_time_passes()
    """
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)

    def decorate(test: Test) -> Callable[..., None]:
        simulation = Simulation(test, nodes, numbers, faults or Faults.none(), limit_s, options)

        def run(**arguments: Any) -> None:
            seed = arguments.pop(SEED_ARGUMENT, None)
            for number in simulation.seeds if seed is None else (seed,):
                simulation.run_seed(number, arguments)

        own = list(inspect.signature(test).parameters.values())[1:]
        seed_parameter = inspect.Parameter(SEED_ARGUMENT, inspect.Parameter.KEYWORD_ONLY)
        functools.update_wrapper(run, test)
        run.__dict__["__signature__"] = inspect.Signature([*own, seed_parameter])
        run.__dict__["casty_simulation"] = simulation
        return run

    return decorate
