"""Runs a plan in a world of its own: workload, faults, then peace, probes and the verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from casty.cluster.control.upkeep import FORGOTTEN_AFTER
from casty.config import Settings
from casty.consensus import Role
from casty.errors import NotStarted
from casty.transport.link_watch import MISSED_PINGS

from ..checks.history.check import check_history
from ..checks.history.losses import check_losses
from ..checks.history.map_changes import check_ends, check_watcher
from ..checks.step.actors import ActorChecks
from ..checks.step.bounds import Bounds
from ..checks.step.check import StepChecks
from ..checks.step.introspection import client_core_of
from ..checks.step.ledgers import LedgerChecks
from ..checks.step.memory import check_calm, check_usage, is_open
from ..checks.step.records import Records
from ..checks.step.refusals import is_small, limits_of
from ..checks.step.replica_targets import Gone, unsettled
from ..checks.step.strangers import Strangers
from ..checks.step.tallies import Tallies
from ..checks.violation import Violation
from ..kernel.errors import CrashedError, DeadlockError, TimeLimitError
from ..net.path import NetworkProfile
from ..plans.fault_kinds import ELASTIC
from ..plans.generate import ACTOR_KINDS
from ..plans.plan import MAY_LOSE_MEMORY, Plan, PlannedOperation
from ..plans.swarm.actors import TREE_ARGUMENTS
from ..plans.swarm.lasting import LONGEST_TTL_S
from ..plans.swarm.ledgers import LEDGER_ARGUMENTS
from ..rogue.process import Rogue
from ..rogue.view import View
from ..workloads.actors import INBOXES, host_actors, probe_entities
from ..workloads.entities import host_odd
from ..workloads.journals import Journals
from ..workloads.ledgers import LEDGER_IDS, Ledgers, Options
from ..workloads.operations import perform
from ..workloads.patience import Patience
from ..workloads.population import Population
from ..workloads.probes import look_at_everything, probe, probe_from_member, probe_growth
from ..workloads.quiescence import Rest
from ..workloads.recorder import OperationContext, RunRecorder
from ..workloads.services import probe_services
from ..workloads.values import items_of
from ..world.clusters import CLUSTER_NAME, NODE_PORT
from ..world.world import World
from .plan_nemesis import PlanNemesis, is_whole
from .result import Result, evidence_of, verdict_of
from .stranded import Hearing, is_stranded

if TYPE_CHECKING:
    from casty.client import ClusterClient

    from ..world.process import Process

__all__ = ["Execution", "run_plan"]

_MICROS = 1_000_000
_LIMIT_S = 240.0
_LEADERS_WITHIN_S = 10.0
_SETTLED_WITHIN_S = 40.0
_FOUNDING_S = 60.0
_OPEN_WITHIN_S = 3.0
"""Nodes measure once a second, and tell each other at a heartbeat; over a link that is half-open nobody hears it."""
_LOOK_S = 0.1
_ENDED_WITHIN_S = 10.0
"""How long after its time a key may be there, in peace: a new leader may have been behind when it applied the last."""
_LONGEST_CALL_S = 10.0
_LONGEST_ACT_S = 40.0
_SLOWEST_ENTITY_S = 3.0
"""What an entity takes that is told to stop, with a call in hand."""
_WALL_S = 60_000_000
"""Far from the beginning of the count, so that no clock's offset makes a generation negative."""


def run_plan(plan: Plan, *, wall: Callable[[], float] = time.perf_counter) -> Result:
    """Run a plan and judge it.

    Examples
    --------
    >>> from sim.plans.generate import expand
    >>> run_plan(expand("counter", 1, duration_s=1)).verdict
    'held'
    """
    start_s = wall()
    with World(plan.seed, network=NetworkProfile(**dict(plan.cluster.network)), wall_s=_WALL_S) as world:
        execution = Execution(world, plan)
        result = execution.run()
    result.wall_seconds = wall() - start_s
    return result


class Execution:
    """One run of one plan."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        values: Any = dict(plan.cluster.settings)
        self._settings = Settings(**values)
        self._recorder = RunRecorder(world, has_limits=is_small(limits_of(self._settings)))
        self._recorder.services.follow(world.trace)
        self._checks = StepChecks(world, self._settings, plan.cluster.groups(self._settings.slots))
        # Each key of a map is an entity; one that is on record has a record beside it.
        names = dict.fromkeys((planned.entity, planned.args.get("key")) for planned in plan.operations)
        items = sum(items_of(operation.kind, operation.args) for operation in plan.operations)
        self._bounds = Bounds(
            world,
            self._settings,
            self._checks,
            entities=len(names) * (2 if plan.cluster.journaled else 1) + len(LEDGER_IDS),
            items=items,
            seed=plan.seed,
            shortest_ttl_s=min(plan.cluster.ttls_s(self._settings.session_ttl_s)),
        )
        self._actors = ActorChecks(world, self._checks.report)
        self._strangers = (
            Strangers(world, self._checks, self._recorder.services) if plan.cluster.rogues else None
        )
        self._tallies = Tallies(world, self._checks)
        kinds = {operation.kind for operation in plan.operations}
        self._has_actors = plan.cluster.workers > 0 or not kinds.isdisjoint(ACTOR_KINDS)
        if not kinds.isdisjoint(TREE_ARGUMENTS):
            self._recorder.population = Population(self._recorder, self._settings, self._actors)
        if not kinds.isdisjoint(LEDGER_ARGUMENTS):
            self._recorder.ledgers = self._ledgers()
        self._nodes = [name for name in plan.cluster.names() if name.startswith("node-")]
        self._clients = [name for name in plan.cluster.names() if name.startswith("client-")]
        if plan.cluster.journaled:
            self._recorder.journals = self._journals()
        self._nemesis: PlanNemesis | None = None
        self._longest_ttl_s = max(plan.cluster.ttls_s(self._settings.session_ttl_s))
        self._is_elastic = any(fault.kind in ELASTIC for fault in plan.faults)
        """Whether those that everybody knows at first may all be gone in the end."""
        self._acts: list[asyncio.Task[None]] = []

    def _ledgers(self) -> Ledgers:
        checks = LedgerChecks(self._world, self._checks.report, self._checks.systems)
        self._checks.slots.on_applied.append(checks.applied)
        options, slots = Options.drawn(self._plan.seed), self._settings.slots
        return Ledgers(self._recorder, self._actors, checks, options, slots)

    def _journals(self) -> Journals:
        records = Records(self._checks.report, self._checks.slots_now)
        self._checks.slots.on_applied.append(records.applied)
        ledgers = None if self._recorder.ledgers is None else self._recorder.ledgers.checks
        return Journals([*self._nodes, *self._clients[: self._plan.cluster.journaled]], records, ledgers)

    def run(self) -> Result:
        """Run to the end, or to the first violation."""
        result = Result(self._plan.scenario, self._plan.seed)
        try:
            self._world.run(self._main(), limit_s=self._plan.duration_us / _MICROS + _LIMIT_S)
        except (TimeLimitError, DeadlockError) as error:
            if self._checks.first is None:
                self._recorder.violations.append(Violation(46, "the run", f"does not end: {error}"))
        except (TimeoutError, AssertionError) as error:
            result.error = f"{type(error).__name__}: {error}"
        self._judge(result)
        return result

    # -- the course of a run

    async def _main(self) -> None:
        recorder, plan = self._recorder, self._plan
        self._nemesis = PlanNemesis(self._world, plan, recorder, self._checks, self._present)
        await self._start(self._nemesis)
        if self._is_broken() or recorder.violations:
            return
        self._nemesis.begin()
        for planned in plan.operations:
            self._world.after(planned.at_us / _MICROS, self._begin, planned)
        await self._until(lambda: False, plan.duration_us / _MICROS)
        recorder.goals["a full node was open again"] = self._checks.budgets.reopened
        await self._nemesis.end()
        self._end_rogues()
        await self._world.quiesce()
        await self._start_stranded()
        if not self._is_broken():
            await self._nemesis.departures.remove_dead((FORGOTTEN_AFTER + 3) * self._settings.down_after_s)
            await self._recover()
            if not self._is_broken():
                await self._settle()
            await self._until_open()
        if not self._is_broken() and self._plan.cluster.journaled:
            await self._lose_memory()
        if not self._is_broken() and self._clients:
            await self._nemesis.catch_up()
            self._nemesis.begin("probes")
            await self._probe()
            await self._nemesis.end()
            await self._probe_members()
            await self._unloaded()
            await self._rest()
            if self._recorder.population is None or not self._recorder.violations:
                await self._bounds.rest()
            await self._leave()
            await self._all_ends()
        self._checks.stop()
        self._bounds.stop()
        if self._strangers is not None:
            self._strangers.stop()
        if not self._is_broken():
            for process, _ in self._checks.live():
                recorder.violations += check_usage(process.name, self._checks.systems[process.name])
            if self._strangers is None:
                recorder.violations += await self._unaccounted()

    async def _all_ends(self) -> None:
        """Keys whose time to live is over are gone, whoever asks for them (61)."""
        planned = self._plan.operations
        has_ttl = any(one.args.get("ttl_ms") for one in planned)
        within_s = LONGEST_TTL_S + _ENDED_WITHIN_S
        if has_ttl and not await self._until(lambda: not self._lasting(), within_s):
            text = f"there after {within_s} s of peace: {self._lasting()[:3]}"
            self._recorder.violations.append(Violation(61, "keys with a time to live", text))

    def _lasting(self) -> list[bytes]:
        machines = self._checks.slots_now()
        return [name for machine in machines for name in machine.ends.order.since(b"")]

    async def _start_stranded(self) -> None:
        """Clients that know nobody who is left are started with other contact points; who was linked must know (46)."""
        present = self._present() if self._is_elastic else []
        for process in [self._world.processes[name] for name in self._clients if present]:
            client_core = client_core_of(process.value)
            if client_core is None or not is_stranded(client_core, present):
                continue
            heard_ns = Hearing(process, client_core.client_id, present).read(self._world.trace)
            if heard_ns > (self._settings.unreachable_after_s + self._settings.session_ttl_s) * 1e9:
                text = f"was linked for {heard_ns / 1e9:.1f} s, and knows none of {present}"
                self._recorder.violations.append(Violation(46, process.name, text))
            self._recorder.goal("a client lost all nodes that it knew")
            self._recorder.client_died(process.name)
            await self._world.restart(process.name)

    async def _unaccounted(self) -> list[Violation]:
        """Return which messages are neither handled nor counted, once dead links were noticed."""

        def lacks() -> list[Violation]:
            return self._tallies.at_peace(self._recorder.messages, self._actors.messages)

        await self._until(
            lambda: not lacks(), self._settings.unreachable_after_s * (1 + 1 / MISSED_PINGS) + _LOOK_S
        )
        return lacks()

    def _is_broken(self) -> bool:
        return self._checks.first is not None

    async def _lose_memory(self) -> None:
        """All nodes end at once, after what was done without the journal was put on record; the probes then find it."""
        client = self._world.processes[self._clients[0]]
        value: Any = client.value
        if self._plan.cluster.journaled < len(self._clients):
            await client.run(look_at_everything(self._recorder, client, value))
        assert self._nemesis is not None
        await self._nemesis.black_out()
        await self._recover()
        # A call in a session that is gone may end in doubt: gateways hear of that with their next keep-alive.
        await self._until(self._checks.are_sessions_known, self._longest_ttl_s)

    async def _probe(self) -> None:
        client = self._world.processes[self._clients[0]]
        value: Any = client.value
        within_s = self._longest_ttl_s + 10.0
        patience = Patience(self._settings.slots, within_s, self._longest_ttl_s)
        patience.follow(self._world.trace)
        await client.run(probe(self._recorder, client, value, patience, self._settings.unreachable_after_s))
        if any(fault.kind == "memory" for fault in self._plan.faults):
            await client.run(probe_growth(self._recorder, client, value, self._settings.slots))
        if self._has_actors and self._plan.cluster.can_host(self._present()):
            await client.run(probe_entities(self._recorder, client, value, within_s))
        if self._recorder.ledgers is not None:
            await client.run(self._recorder.ledgers.probe(client, within_s))

    async def _probe_members(self) -> None:
        await self._until(self._is_whole, self._longest_ttl_s + 10.0)
        for name in self._present():
            node = self._world.processes[name]
            system: Any = node.value
            await node.run(probe_from_member(self._recorder, node, system, self._settings.slots))
        await probe_services(self._recorder, self._until)

    async def _unloaded(self) -> None:
        """Who is sent nothing any more is unloaded soon (46)."""
        ledgers = self._recorder.ledgers
        if ledgers is None or self._is_broken() or self._recorder.violations:
            return
        within_s = ledgers.options.idle_s * 2 + _SLOWEST_ENTITY_S
        if not await self._until(lambda: not ledgers.living(), within_s) and not self._is_broken():
            text = f"sent nothing for {within_s} s, and not unloaded: {ledgers.living()[:3]}"
            self._recorder.violations.append(Violation(46, "entities", text))

    async def _rest(self) -> None:
        population = self._recorder.population
        if population is not None and not self._is_broken():
            await Rest(population, self._until).check()

    async def _leave(self) -> None:
        population = self._recorder.population
        if population is not None and not self._is_broken() and not self._recorder.violations:
            await Rest(population, self._until).leave()

    def _present(self) -> list[str]:
        """Return the nodes that were started, once at least, and have not gone for good."""
        processes = self._world.processes
        return [name for name in self._nodes if processes[name].starts and not processes[name].is_retired]

    async def _start(self, nemesis: PlanNemesis) -> None:
        founders = self._nodes[: self._plan.cluster.founders or len(self._nodes)]
        seeds = [(name, NODE_PORT) for name in founders]
        for name in self._nodes:
            self._world.add_node(name, self._node_setup(seeds), storage=self._checks.storage)
        for name in self._clients:
            self._world.add_node(name, self._client_setup(seeds))
        for name, (offset_us, ppm) in self._plan.cluster.clocks.items():
            if name in self._world.processes:
                self._world.clock(name).step(offset_us / _MICROS)
                self._world.clock(name).drift(ppm)
        self._world.node_names.extend(self._nodes)
        await self._let_in_rogues()
        nemesis.begin("founding")
        await asyncio.gather(*[self._found(name) for name in founders])
        if not await self._until(lambda: self._serve(founders), _FOUNDING_S) and self._checks.first is None:
            self._recorder.violations.append(Violation(46, "founding", "not all founders serve"))
        await nemesis.end()
        if self._checks.first is None and not self._recorder.violations:
            for name in self._clients:
                await self._world.start(name)

    async def _let_in_rogues(self) -> None:
        for number in range(self._plan.cluster.rogues):
            name = f"rogue-{number + 1}"
            self._world.rogues[name] = {}
            self._world.add_node(name, self._rogue_setup)
            await self._world.start(name)

    async def _rogue_setup(self, process: Process) -> Rogue:
        rogue = Rogue(process, View(self._checks, self._world.rogues), self._nodes)
        if self._strangers is not None:
            rogue.on_taken = self._strangers.taken
        rogue.begin()
        return rogue

    def _end_rogues(self) -> None:
        for name in self._world.rogues:
            rogue = self._world.processes[name].value
            assert isinstance(rogue, Rogue)
            rogue.end()
            for kind, count in rogue.sent.items():
                self._recorder.goal(f"forged frames of kind {kind}", count)
            self._world.processes[name].value = None

    async def _found(self, name: str) -> None:
        """Start a founder; one that is killed meanwhile is started again by whoever killed it."""
        try:
            await self._world.start(name)
        except CrashedError:
            self._recorder.goal("a founder died")

    def _serve(self, names: Sequence[str]) -> bool:
        return all(self._world.processes[name].value is not None for name in names)

    def _node_setup(self, seeds: list[tuple[str, int]]) -> Callable[[Process], Any]:
        slots, quorum = self._settings.slots, self._plan.cluster.quorum or None

        async def setup(process: Process) -> object:
            from casty.system import ClusteredActorSystem  # only worlds with real nodes need it

            is_founder = (process.name, NODE_PORT) in seeds
            # Whoever founded alone knows its cluster's members when it comes again: a node whose only seed is itself
            # founds a cluster of its own when it hears nobody.
            is_alone_again = is_founder and len(seeds) == 1 and process.incarnation.ordinal > 0
            is_alone_again = is_alone_again or (self._is_elastic and process.incarnation.ordinal > 0)
            is_new = self._is_elastic and not is_founder
            known = [(name, NODE_PORT) for name in self._present()] if is_alone_again or is_new else seeds
            traits = self._plan.cluster.traits_of(process.name)
            system = ClusteredActorSystem(
                name=CLUSTER_NAME,
                host=process.name,
                port=NODE_PORT,
                node_id=process.node_id,
                seed_nodes=known,
                # It was agreed on with the seeds of the beginning.
                required_quorum=quorum if known is seeds and is_founder else None,
                config=self._settings,
                data_dir="disk" if self._plan.cluster.disks else None,
                zone=traits.zone,
                weight=traits.weight,
                roles=frozenset(traits.roles),
            )
            self._checks.running(process.name, system)
            await system.__aenter__()
            if self._has_actors:
                inbox = host_actors(process, system, self._actors, slots, self._plan.cluster.role)
                if self._strangers is not None:
                    self._recorder.services.offered(process, INBOXES.name, inbox)
            if self._recorder.population is not None:
                self._recorder.population.hosted(process, system)
                host_odd(self._recorder.population, process, system)
            if self._recorder.ledgers is not None:
                self._recorder.ledgers.hosted(process, system)
            return system

        return setup

    def _client_setup(self, seeds: list[tuple[str, int]]) -> Callable[[Process], Any]:
        async def setup(process: Process) -> object:
            from casty.client import ClusterClient  # only worlds with real clients need it

            points = [(name, NODE_PORT) for name in self._present()] if self._is_elastic else seeds
            ttl_ms = self._plan.cluster.ttls.get(process.name)
            client = ClusterClient(
                contact_points=points,
                system_name=CLUSTER_NAME,
                client_host=process.name,
                session_ttl_s=None if ttl_ms is None else ttl_ms / 1000,
            )
            self._checks.running(process.name, client)
            await client.__aenter__()
            if self._recorder.population is not None:
                self._recorder.population.hosted(process, client)
            if self._recorder.ledgers is not None:
                self._recorder.ledgers.hosted(process, client)
            return client

        return setup

    def _begin(self, planned: PlannedOperation) -> None:
        process = self._world.processes.get(planned.client)
        if process is None or not process.is_up or process.value is None:
            self._recorder.skipped.append(f"operation {planned.kind}: {planned.client} is not there")
            return
        client: ClusterClient | Any = process.value
        try:
            structures = self._recorder.journals.distributed(process, client)
        except NotStarted:
            self._recorder.skipped.append(f"operation {planned.kind}: {planned.client} is leaving")
            return
        context = OperationContext(self._recorder, process, structures, planned)
        task = self._recorder.begin(process, perform(context))
        self._acts.append(task)

    # -- peace

    async def _until(self, predicate: Callable[[], bool], limit_s: float) -> bool:
        """Wait until something holds, at most so long; a violation ends every wait."""
        end_ns = self._world.now_ns + round(limit_s * 1e9)
        while not predicate():
            if self._world.now_ns >= end_ns or self._checks.first is not None:
                return False
            await asyncio.sleep(min(_LOOK_S, (end_ns - self._world.now_ns) / 1e9))
        return True

    def _is_whole(self) -> bool:
        return is_whole(self._checks, self._present())

    async def _recover(self) -> None:
        """Within 10 s of peace every group is led; soon after every call has ended and every place is taken (46)."""
        if not await self._until(self._is_led, _LEADERS_WITHIN_S) and self._checks.first is None:
            self._recorder.violations.append(
                Violation(46, "groups", f"without a leader: {self._leaderless()}")
            )
        since_ns = self._world.now_ns
        if not await self._until(lambda: not self._recorder.called_before(since_ns), self._longest_call_s()):
            operations = list(self._recorder.history)
            late = [str(operations[number]) for number in self._recorder.called_before(since_ns)]
            if late and self._checks.first is None:
                self._recorder.violations.append(Violation(46, "calls", f"never ended: {late[:3]}"))
        await self._until(self._is_idle, _LONGEST_ACT_S)
        if not await self._until(self._is_whole, self._longest_ttl_s + 10.0) and self._checks.first is None:
            text = "not all nodes serve in all their places again"
            self._recorder.violations.append(Violation(46, "seats", text))

    async def _settle(self) -> None:
        """In the end replicas are where they should be, and nobody is a member who is gone for good (17, 58)."""
        assert self._nemesis is not None
        departures = self._nemesis.departures
        started = [name for name in self._nodes if self._world.processes[name].starts]
        gone = Gone(started, [*departures.left, *departures.died], self._plan.cluster)

        def wrong() -> str | None:
            return unsettled(self._checks.live(), self._checks.systems, self._settings.replication, gone)

        # A member is given up, forgotten much later, and the places of others move one by one.
        within_s = _SETTLED_WITHIN_S + (FORGOTTEN_AFTER + 1) * self._settings.down_after_s
        if not await self._until(lambda: wrong() is None, within_s) and self._checks.first is None:
            self._recorder.violations.append(Violation(58, "replicas", f"in the end: {wrong()}"))

    async def _until_open(self) -> None:
        """Soon after their budgets are back no node refuses anything (54)."""
        nodes = [self._checks.systems[process.name] for process, _ in self._checks.live()]
        within_s = _OPEN_WITHIN_S + self._settings.unreachable_after_s * (1 + 1 / MISSED_PINGS)
        is_soon = await self._until(lambda: all(map(is_open, nodes)), within_s)
        if not is_soon and self._checks.first is None:
            closed = [process.name for process, _ in self._checks.live()]
            text = f"of {closed} some still refuse what grows, {within_s:.1f} s after memory was back"
            self._recorder.violations.append(Violation(54, "memory", text))

    def _longest_call_s(self) -> float:
        """Return how long a call may go on; one without a deadline ends as soon as its structure can answer."""
        timeouts = (operation.args.get("timeout_ms") for operation in self._plan.operations)
        longest_ms = max((timeout for timeout in timeouts if isinstance(timeout, int)), default=0)
        return max(_LONGEST_CALL_S, longest_ms / 1000 + 1.0)

    def _is_led(self) -> bool:
        return not self._leaderless()

    def _leaderless(self) -> list[int]:
        led: dict[int, bool] = {}
        for _, host in self._checks.live():
            for group in host.groups.values():
                is_leading = group.core.role is Role.LEADER and group.core.is_established
                led[group.number] = led.get(group.number, False) or is_leading
        return sorted(number for number, is_led in led.items() if not is_led)

    def _is_idle(self) -> bool:
        return all(task.done() for task in self._open_acts())

    def _open_acts(self) -> list[asyncio.Task[None]]:
        return [task for tasks in self._recorder.busy.values() for task in tasks.values()]

    # -- the verdict

    def _judge(self, result: Result) -> None:
        world, recorder = self._world, self._recorder
        violations = [self._checks.first] if self._checks.first is not None else []
        violations += [*recorder.violations, *recorder.services.violations]
        recorder.journals.reconcile(self._checks.slots.commands)
        if self._plan.label != MAY_LOSE_MEMORY:
            violations += check_history(recorder.history, recorder.undecided, self._checks.slots.commands)
            for name, sights in recorder.watchers:
                violations += check_watcher(name, sights, self._checks.slots.map_changes)
            maps = [one for ones in recorder.history.by_entity("map").values() for one in ones]
            violations += check_ends(self._checks.slots.map_changes, maps)
        violations += check_losses(world.trace, recorder.history)
        violations += check_calm(world.trace) if self._plan.scenario == "memory" else []
        errors = [f"{name}: {text}" for name, text in self._unheard(result)]
        for task in self._acts:
            error = task.exception() if task.done() and not task.cancelled() else None
            if error is not None:
                errors.append(f"operation: {error!r}")
        result.violations = violations
        if errors and not result.error:
            result.error = "; ".join(errors[:3])
        result.undecided = list(recorder.undecided)
        result.verdict = verdict_of(result)
        self._measure(result)

    def _unheard(self, result: Result) -> list[tuple[str, str]]:
        """Errors that nobody awaited; a run that was cut short ends in the midst of things."""
        if self._is_broken() or result.error or self._recorder.violations:
            return [(name, f"{context.get('exception')!r}") for name, context in self._world.errors]
        return self._world.unheard()

    def _measure(self, result: Result) -> None:
        world, recorder, nemesis = self._world, self._recorder, self._nemesis
        if recorder.population is not None:
            recorder.goals |= recorder.population.watches.counts
        result.digest = world.digest()
        result.virtual_seconds = world.now_ns / 1e9
        result.events = len(world.trace)
        result.operations = recorder.history.counts()
        result.overlapping = recorder.history.overlapping()
        result.skipped = recorder.skipped
        recorder.goals["histories undecided"] = len(recorder.undecided)
        result.goals = {
            **self._checks.counts, **self._actors.counts, **self._tallies.counts, **recorder.goals, **self._events(),
            **(recorder.ledgers.checks.counts if recorder.ledgers is not None else {}),
            **(recorder.journals.records.counts if recorder.journals.records is not None else {}),
        }  # fmt: skip
        result.goals = {name: count for name, count in sorted(result.goals.items()) if count}
        if nemesis is not None:
            result.faults = dict(nemesis.done)
            result.hits = nemesis.hits
            result.timeline = nemesis.timeline[-10:]
        if self._plan.cluster.clocks:
            result.faults["clock_offset"] = len(self._plan.cluster.clocks)
        if result.violations:
            result.timeline = [
                *result.timeline,
                *evidence_of(self._world.trace, list(self._recorder.history), result.violations[0]),
            ]

    def _events(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for entry in self._world.trace:
            if entry.kind in ("Redirected", "HoldLost"):
                name = {"Redirected": "a call was redirected", "HoldLost": "a hold was lost"}[entry.kind]
                counts[name] = counts.get(name, 0) + 1
        return counts
