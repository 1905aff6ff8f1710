"""One run: a plan of the simulator, carried out by real clients on real node processes, then checked."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from casty.cli.processes import Cluster, StartFailed
from casty.client import ClusterClient
from casty.errors import CastyError
from chaos.clients import RealProcess, RealWorld
from chaos.nemesis import Nemesis, schedule
from sim.checks.history.check import check_history
from sim.plans.generate import ACTOR_KINDS, SCENARIO_KINDS, expand
from sim.plans.plan import Plan
from sim.workloads.operations import perform
from sim.workloads.patience import Patience
from sim.workloads.probes import probe
from sim.workloads.recorder import OperationContext, RunRecorder

if TYPE_CHECKING:
    from sim.world.process import Process
    from sim.world.world import World

__all__ = ["SCENARIOS", "Outcome", "run"]

SCENARIOS = (*SCENARIO_KINDS, "mixed")
SYSTEM = "chaos"
SETTLE_S = 30.0
PROBE_S = 30.0
MAX_UNKNOWN_SHARE = 0.2


@dataclass(slots=True)
class Outcome:
    """What a run showed; ``error`` means that it proves nothing."""

    scenario: str
    seed: int
    nodes: int
    seconds: int
    verdict: str = "error"
    wall_seconds: float = 0.0
    operations: dict[str, int] = field(default_factory=dict)
    overlapping: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    goals: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    timeline: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """What runs the same workload and faults again."""
        numbers = f"--nodes {self.nodes} --seconds {self.seconds} --seed {self.seed}"
        return f"python -m chaos run {self.scenario} {numbers}"

    def to_plain(self) -> dict[str, object]:
        """Return what ``--json`` prints."""
        first = self.violations[0] if self.violations else None
        return {**asdict(self), "violation": first, "command": self.command}


async def run(scenario: str, nodes: int, seconds: int, seed: int, *, quiet: bool = False) -> Outcome:
    """Run and check.

    Parameters
    ----------
    scenario
        One of `SCENARIOS`.
    nodes
        Node processes, 3 or more: with fewer, a killed one takes a majority along.
    seconds
        How long workload and faults go on.
    seed
        Chooses both.
    quiet
        Say nothing meanwhile.
    """
    if nodes < 3:
        raise ValueError(f"nodes: expected 3 or more, found {nodes}")
    outcome = Outcome(scenario, seed, nodes, seconds)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="casty-chaos-") as folder:
        try:
            await _Run(outcome, Path(folder), _silent if quiet else print).run()
        except (StartFailed, CastyError, TimeoutError) as error:
            outcome.verdict = "error"
            outcome.violations.append(f"the run broke off: {error!r}")
    outcome.wall_seconds = round(time.monotonic() - began_s, 2)
    return outcome


class _Run:
    def __init__(self, outcome: Outcome, folder: Path, say: Callable[[str], None]) -> None:
        plan = expand(outcome.scenario, outcome.seed, duration_s=outcome.seconds, do_members_call=False)
        names = [f"node-{number + 1}" for number in range(outcome.nodes)]
        self._outcome = outcome
        self._plan: Plan = plan
        self._cluster = Cluster(
            outcome.nodes, folder, system=SYSTEM, names=names, settings=plan.cluster.settings,
            extra=("--log-level", "warning"),
        )  # fmt: skip
        faults = schedule(outcome.seed, outcome.seconds, names)
        self._nemesis = Nemesis(self._cluster.nodes, faults, say)
        self._world = RealWorld()
        # The workload needs of a world and of a process no more than these have.
        self._recorder = RunRecorder(cast("World", self._world))

    async def run(self) -> None:
        """Start, disturb, settle, probe, check."""
        try:
            await self._cluster.start()
            async with contextlib.AsyncExitStack() as stack:
                clients = [
                    await self._client(stack, f"client-{n + 1}") for n in range(self._plan.cluster.clients)
                ]
                await self._work({client.name: client for client in clients})
                prober = await self._client(stack, "prober")
                await probe(
                    self._recorder,
                    cast("Process", prober),
                    prober.client,
                    Patience(1, PROBE_S, 0.0),
                    silent_s=0.0,
                )
        finally:
            await self._cluster.stop()
        self._check()

    async def _client(self, stack: contextlib.AsyncExitStack, name: str) -> RealProcess:
        contacts = self._cluster.contacts
        client = await stack.enter_async_context(ClusterClient(contact_points=contacts, system_name=SYSTEM))
        await client.ready(SETTLE_S)
        # A busy machine may run this process late: whether calls end in time is for the simulator to say.
        self._recorder.late_excused[name] = None
        return RealProcess(name, client)

    async def _work(self, clients: dict[str, RealProcess]) -> None:
        self._world = RealWorld()
        self._recorder.world = cast("World", self._world)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._nemesis.torment(self._outcome.seconds, self._recorder.in_flight))
            group.create_task(self._operate(clients))
            group.create_task(self._cancel(clients))

    async def _operate(self, clients: dict[str, RealProcess]) -> None:
        tasks: list[asyncio.Task[None]] = []
        for planned in self._plan.operations:
            if planned.kind in ACTOR_KINDS:
                continue  # the node processes here host no application
            await self._until(planned.at_us)
            process = clients[planned.client]
            context = OperationContext(
                self._recorder, cast("Process", process), process.client.distributed(), planned
            )
            tasks.append(self._recorder.begin(cast("Process", process), perform(context)))
        async with asyncio.timeout(SETTLE_S):
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    async def _cancel(self, clients: dict[str, RealProcess]) -> None:
        for fault in self._plan.faults:
            if fault.kind == "client_cancel":
                await self._until(fault.at_us)
                if fault.targets[0] in clients and self._recorder.cancel(
                    fault.targets[0], fault.args["which"]
                ):
                    self._nemesis.done["client_cancel"] = self._nemesis.done.get("client_cancel", 0) + 1

    async def _until(self, at_us: int) -> None:
        delay_s = at_us / 1e6 - self._world.now_ns / 1e9
        if delay_s > 0:
            await asyncio.sleep(delay_s)

    def _check(self) -> None:
        outcome, recorder = self._outcome, self._recorder
        violations = [*recorder.violations, *check_history(recorder.history)]
        outcome.violations = [str(violation) for violation in violations]
        operations = list(recorder.history)
        numbers = sorted({number for violation in violations for number in violation.operations})
        outcome.timeline = [str(operations[number]) for number in numbers]
        outcome.operations = recorder.history.counts()
        outcome.overlapping = recorder.history.overlapping()
        outcome.faults = dict(self._nemesis.done)
        outcome.goals = {**recorder.goals, "a fault hit a call under way": self._nemesis.in_flight}
        outcome.verdict = "violated" if violations else self._honest()

    def _honest(self) -> str:
        """A quiet, lonely or mostly unknown run proves nothing."""
        outcome = self._outcome
        total = sum(outcome.operations.values())
        unknown = outcome.operations.get("unknown", 0)
        if not outcome.faults or not outcome.overlapping or not self._nemesis.in_flight:
            outcome.violations = ["no fault hit calls that overlap: this proves nothing"]
            return "error"
        if unknown > MAX_UNKNOWN_SHARE * total:
            outcome.violations = [
                f"{unknown} of {total} operations have an unknown outcome: this proves nothing"
            ]
            return "error"
        return "held"


def _silent(text: str) -> None:
    del text
