"""After the faults: every end is told, everybody hears everybody, entities answer, and who is told to stop stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.address import node_id_of, process_of
from casty.consensus import Role
from casty.errors import CastyError
from casty.transport.link_watch import MISSED_PINGS
from casty.transport.peers import BACK_OFF_MAX_NS, CONNECT_TIMEOUT_S

from ..checks.step.introspection import actors_of, control_machine_of, host_of
from ..checks.step.leaving import Leaving
from ..checks.step.lives import Life
from ..checks.step.watches import SOON_S, Watch
from ..checks.violation import Violation
from ..kernel.errors import CrashedError
from .entities import ODD_IDS, ask_odd, stop_odd
from .flows import ENDED_WITHIN_S, unended
from .population import Do, Population
from .trees import BUSY, TreeActor, grow

if TYPE_CHECKING:
    from ..world.process import Process

__all__ = ["Rest"]

Until = Callable[[Callable[[], bool], float], Awaitable[bool]]

_ORDER, _ENDS_WELL = 7, 46
_PROBE = "probe"
_SLOW_S = 0.5
_START_S = 0.1
_ROUNDS, _SLOW_ENTITY_S = 4, 20.0
"""How often entities are told to stop, and the time in which one reads the mail that it has."""
_ROOTS, _LINE = 8, 40
"""Trees of a process that leaves, and the depth of one of them."""
_MESSAGES = 3
_SLACK_S = 5.0
_SECOND_NS = 1_000_000_000
_SLOWEST_S = 120.0
"""Handlers and hooks in a row, some seconds each: nobody is stopped by force here."""
_LEADS_S = 20.0
"""What a slot takes to go home beyond the times that a session may hold it up: graces of its entities, an election."""


class Rest:
    """The end of one run.

    Parameters
    ----------
    population
        Its actors.
    until
        Waits until something holds, for so many seconds at most; says whether it does.
    """

    def __init__(self, population: Population, until: Until) -> None:
        self._population = population
        self._recorder = population.recorder
        self._lives = population.lives
        self._watches = population.watches
        self._until = until

    async def check(self) -> None:
        """See the head of this module; at the first thing that is wrong nothing more is looked at."""
        for step in (
            self._slots_go_home,
            self._ends_told,
            self._all_linked,
            self._flows_end,
            self._all_meet,
            self._entities_answer,
            self._all_stop,
        ):
            if self._recorder.violations:
                return
            await step()

    def _running(self) -> list[Process]:
        processes = list(self._recorder.world.processes.values())
        return [process for process in processes if process.is_up and actors_of(process.value) is not None]

    # -- slots

    async def _slots_go_home(self) -> None:
        """Each slot is led by its preferred node, whatever its entities are at: hand-overs are bounded (46)."""
        within_s = 3 * self._population.settings.session_ttl_s + _LEADS_S
        if not await self._until(lambda: not self._away(), within_s):
            self._broken(
                _ENDS_WELL, "slots", f"not led by their preferred nodes after {within_s} s: {self._away()}"
            )

    def _away(self) -> list[str]:
        """Return the slots that are led by another voter than the one they should be."""
        found: list[str] = []
        for process in self._running():
            host = host_of(process.value)
            for number, group in host.groups.items() if host is not None else ():
                core = group.core
                if number == 0 or core.role is not Role.LEADER or core.committed_membership is None:
                    continue
                machine = control_machine_of(process.value)
                assert machine is not None, "it has replicas"
                preferred = machine.slots[number - 1].preferred
                homes = [node_id_of(process_of(voter)) for voter in core.committed_membership.voters]
                if preferred in homes and preferred != node_id_of(process_of(core.id)):
                    found.append(f"slot {number - 1} by {process.name} instead of {preferred}")
        return found

    # -- watches

    async def _ends_told(self) -> None:
        """What ended before now is told within the longest time that anybody is silent unnoticed (55)."""
        settings = self._population.settings
        self._population.is_calm = True
        for process in self._running():
            await process.run(self._population.release(process))
        # A link that died silently is found first; then a client's session may have to run out.
        within_s = settings.unreachable_after_s * (1 + 1 / MISSED_PINGS) + settings.session_ttl_s + _SLACK_S
        await self._told_within(within_s)

    async def _told_within(self, within_s: float) -> None:
        since_ns = self._recorder.world.now_ns
        if not await self._until(partial(self._none_overdue, since_ns), within_s):
            for watch in self._overdue(since_ns)[:1]:
                self._watches.too_late(watch, within_s)

    def _overdue(self, since_ns: int) -> list[Watch]:
        return list(self._watches.overdue(since_ns))

    def _none_overdue(self, since_ns: int) -> bool:
        return not self._overdue(since_ns)

    # -- links

    async def _all_linked(self) -> None:
        """Links that died silently are given up and made again, within stated times: what is said then arrives (46)."""
        settings = self._population.settings
        found_s = max(settings.unreachable_after_s * (1 + 1 / MISSED_PINGS), settings.hello_timeout_s)
        within_s = found_s + BACK_OFF_MAX_NS / _SECOND_NS + 2 * CONNECT_TIMEOUT_S
        if not await self._until(lambda: not self._lives.unlinked(), within_s):
            text = f"not linked with each other after {within_s:.1f} s: {self._lives.unlinked()[:3]}"
            self._broken(_ENDS_WELL, "links", text)

    # -- streams

    async def _flows_end(self) -> None:
        """Of each stream both sides that live hear of the end (46), and it is as they were told (7)."""
        population = self._population
        if not await self._until(lambda: not unended(population), ENDED_WITHIN_S):
            text = f"no end was heard of within {ENDED_WITHIN_S} s: {unended(population)[:3]}"
            self._broken(_ENDS_WELL, "streams", text)
        for flow in population.flows:
            flow.check()

    # -- everybody meets everybody

    async def _all_meet(self) -> None:
        """An actor of each process watches and tells one of each; all is heard, soon, over links that are there."""
        processes = self._running()
        for process in processes:
            await process.run(_spawn(self._population, process))
        if not await self._until(lambda: all(map(self._probe_of, processes)), SOON_S):
            self._broken(_ENDS_WELL, "probes", f"an actor does not start within {SOON_S} s")
            return
        probes = [life for process in processes if (life := self._probe_of(process)) is not None]
        for life in probes:
            life.ref.tell(Do(partial(_meets, probes)))
        await self._until(lambda: self._is_heard(probes), SOON_S)
        if not self._is_heard(probes):
            self._broken(_ORDER, "probes", f"lost in peace: {self._unheard(probes)[:3]}")
            return
        self._recorder.goal("all actors met")
        await self._all_part(probes)

    def _probe_of(self, process: Process) -> Life | None:
        return self._lives.at(process, f"/{_PROBE}")

    def _is_heard(self, probes: list[Life]) -> bool:
        return not self._unheard(probes)

    def _unheard(self, probes: list[Life]) -> list[str]:
        """Return who did not hear the last message that was said to it."""
        heard = self._population.checks.heard_by
        return [
            f"{target} of {life}"
            for life in probes
            for target in probes
            if target is not life and heard(target.label).get(_sender(life), 0) < _MESSAGES
        ]

    async def _all_part(self, probes: list[Life]) -> None:
        """One after the other stops: those that are left hear of it, and nobody of who is left."""
        for life in probes[1:]:
            life.ref.tell(Do(_stop))
        since = self._recorder.world.now_ns
        await self._until(lambda: all(life.is_over for life in probes[1:]), SOON_S)
        await self._until(lambda: not self._watches.open_of(probes[0]), SOON_S)
        for watch in self._watches.open_of(probes[0])[:1]:
            waited_s = (self._recorder.world.now_ns - since) / _SECOND_NS
            self._watches.too_late(watch, waited_s)
        probes[0].ref.tell(Do(_stop))

    # -- entities

    async def _entities_answer(self) -> None:
        """Each id is asked by a node and by a client (46)."""
        processes = self._running()
        askers = [processes[0], processes[-1]]
        for number, entity_id in enumerate(ODD_IDS):
            wrong = await self._ask(askers[number % 2], number)
            for _ in range(
                _ROUNDS
            ):  # one that had mail to stop at, or to fail at, is asked again when it read it
                wrong = None if wrong is None else await self._ask(askers[number % 2], number)
            if wrong is not None:
                self._broken(_ENDS_WELL, repr(entity_id), wrong)
                return

    async def _ask(self, process: Process, number: int) -> str | None:
        """Ask one entity; return why it did not answer."""
        # The child of one of them has the end of another one's id as its name.
        what = "child" if number == 1 else "count"
        within_s = self._population.settings.session_ttl_s + 10.0
        try:
            await process.run(ask_odd(self._population, process, number, what, 0, within_s))
        except CrashedError:
            self._recorder.skipped.append(f"a question of {process.name}, which ended")
        except (TimeoutError, CastyError) as error:
            return f"asked by {process.name}: {error!r:.300}"
        return None

    # -- the end

    async def _all_stop(self) -> None:
        """All trees and entities stop, and their watchers hear of it; what is left then is left for good."""
        for process in self._running():
            await process.run(_stop_all(self._population, process))
        if not await self._until(lambda: not self._living(), _SLOWEST_S):
            text = f"told to stop, {_SLOWEST_S} s later there are {self._living()[:3]}"
            self._broken(_ENDS_WELL, "trees", text)
        checks = self._population.checks
        for _ in range(_ROUNDS):  # one that is at work may still ask another one, which then lives again
            await self._running()[0].run(stop_odd(self._population, self._running()[0]))
            if await self._until(lambda: not checks.living_entities(), _SLOW_ENTITY_S):
                return
        self._broken(_ENDS_WELL, "entities", f"told to stop, there are {checks.living_entities()[:3]}")

    async def leave(self) -> None:
        """A client and a node leave in order while their actors are at something; the others hear of it (55, 56)."""
        self._population.is_calm = False
        running = self._running()
        clients = [process for process in running if process.name.startswith("client-")]
        nodes = [process for process in running if process.name.startswith("node-")]
        for process in [*clients[1:2], *nodes[-1:]]:
            if len(nodes) > 1 or process not in nodes:
                await self._leaves(process, nodes[0])

    async def _leaves(self, process: Process, observer: Process) -> None:
        population, world = self._population, self._recorder.world
        for one in (process, observer):
            await one.run(_spawn(population, one, width=len(BUSY)))
        await self._until(
            lambda: self._probe_of(process) is not None and self._probe_of(observer) is not None, SOON_S
        )
        leaver, watcher = self._probe_of(process), self._probe_of(observer)
        assert leaver is not None and watcher is not None, "whether actors start was looked at before"
        watcher.ref.tell(Do(partial(_meets, [leaver])))
        heard = population.checks.heard_by
        await self._until(lambda: heard(leaver.label).get(_sender(watcher), 0) >= _MESSAGES, SOON_S)
        await process.run(_spawn_more(population, process))
        for at, life in enumerate(self._lives.living(process)):
            life.ref.tell(Do(partial(list(BUSY.values())[at % len(BUSY)], _SLOW_S)))
        leaving = Leaving(world, process.name)
        await world.stop(process.name)
        late = leaving.gone()
        self._recorder.violations += [late] if late is not None else []
        self._recorder.goal("a busy process left in peace")
        await self._until(lambda: not self._watches.open_of(watcher), SOON_S)
        for watch in self._watches.open_of(watcher)[:1]:
            self._watches.too_late(watch, SOON_S)

    def _living(self) -> list[str]:
        return [str(life) for process in self._running() for life in self._lives.living(process)]

    def _broken(self, number: int, subject: str, text: str) -> None:
        self._recorder.violations.append(Violation(number, subject, text))


def _sender(life: Life) -> str:
    return f"{life.process.name}/{life.ordinal}"


async def _spawn(population: Population, process: Process, width: int = 0) -> None:
    grow(population, process, _PROBE, min(1, width), width)


async def _spawn_more(population: Population, process: Process) -> None:
    """Start many that stop side by side, and a long line in which one stops after the other."""
    for number in range(_ROOTS):
        grow(population, process, f"more-{number}", 0, 1)
    grow(population, process, "line", _LINE, 1)
    await asyncio.sleep(_START_S)


async def _meets(probes: list[Life], actor: TreeActor, ctx: ActorContext[Any]) -> None:
    for target in probes:
        if target is not actor.life:
            actor.watches(ctx, target)
            actor.tells(target, _MESSAGES)


async def _stop(actor: TreeActor, ctx: ActorContext[Any]) -> Behavior[Any]:
    del actor, ctx
    return Behaviors.stopped()


async def _stop_all(population: Population, process: Process) -> None:
    """Stop every tree of a process, whose actors wait for nothing any more."""
    await population.release(process)
    for life in population.lives.living(process):
        if life.parent is None:
            life.ref.tell(Do(_stop))
