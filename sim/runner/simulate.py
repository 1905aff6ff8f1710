"""`simulate`: an async test over a world, run for many seeds."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..faults.nemesis import Nemesis
from ..faults.settings import Faults
from ..kernel.draws import Draws
from ..kernel.errors import BackgroundError
from ..net.path import NetworkProfile
from ..plans.plan import MAY_BE_UNAVAILABLE, ClusterShape, Plan
from ..world.world import World

__all__ = ["PLAN_ATTRIBUTE", "SEED_ARGUMENT", "Simulation", "simulate"]

SEED_ARGUMENT = "casty_seed"
"""What the pytest plugin parameterises, with a seed or a plan; see `casty.pytest_plugin`."""

PLAN_ATTRIBUTE = "casty_plan"
"""Where an error of a simulated test has the plan of its run, as JSON."""

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

    @property
    def scenario(self) -> str:
        """What its plans are called after: the test, by module and name."""
        return f"{self.test.__module__}.{getattr(self.test, '__qualname__', 'test')}"

    def run_seed(self, seed: int | Plan, arguments: dict[str, Any]) -> str:
        """Run the test in the world of one seed, or with the network and faults of a plan, and return the digest.

        A failure tells how to replay it, and has the plan of what happened as its attribute ``casty_plan``.
        """
        plan = seed if isinstance(seed, Plan) else None
        number = seed.seed if isinstance(seed, Plan) else seed
        profile = self.faults.profile(Draws(number)) if plan is None else _network_of(plan)
        with World(number, network=profile) as world:
            nemesis = Nemesis(world, self.faults, None if plan is None else plan.faults)
            try:
                world.run(self._main(world, nemesis, arguments), limit_s=self.limit_s)
                digest = world.digest()
                self._check_background(world)
            except BaseException as error:
                error.add_note(self._timeline(world, nemesis, number))
                error.__dict__[PLAN_ATTRIBUTE] = self._plan(world, nemesis, profile).to_json()
                raise
            return digest

    def _plan(self, world: World, nemesis: Nemesis, profile: NetworkProfile) -> Plan:
        """Return what happened as a plan: the network and every fault; the test itself is its workload."""
        usual = asdict(NetworkProfile())
        network = {name: value for name, value in asdict(profile).items() if value != usual[name]}
        return Plan(
            scenario=self.scenario,
            seed=world.seed,
            cluster=ClusterShape(nodes=max(1, self.nodes), clients=0, network=network),
            faults=tuple(nemesis.events),
            duration_us=world.now_ns // 1000,
            label=MAY_BE_UNAVAILABLE,
        )

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
        nodes = list(world.processes)
        # A test that adds its own processes does so only now.
        nemesis.begin((lambda: nodes) if nodes else lambda: _started(world))
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
        lines += [f"  {fault.at_us / 1e6:12.6f} {fault.describe()}" for fault in nemesis.events]
        first = max(0, len(world.trace) - 10)
        for index in range(first, len(world.trace)):
            entry = world.trace[index]
            lines.append(f"  {entry.t_ns / 1e9:12.6f} {entry.node}: {entry.kind} {tuple(entry.event)!r}")
        return "\n".join(lines)


def _started(world: World) -> list[str]:
    return [process.name for process in world.processes.values() if process.starts]


def _network_of(plan: Plan) -> NetworkProfile:
    unknown = [name for name in plan.cluster.network if name not in asdict(NetworkProfile())]
    if unknown:
        raise ValueError(f"plan.cluster.network: expected fields of NetworkProfile, found {unknown}")
    return replace(NetworkProfile(), **plan.cluster.network)


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
