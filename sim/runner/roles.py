"""Who a fault aims at: a role in the plan, a machine when the fault fires.

A fault on a random machine at a random time seldom meets anything. Roles are looked up at the instant of the fault;
when nobody has the role, the fault is skipped and listed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from casty.consensus import Role

from ..checks.step.introspection import GroupView, gateway_of
from ..plans.roles import is_role

if TYPE_CHECKING:
    from ..checks.step.check import StepChecks
    from ..workloads.recorder import RunRecorder
    from ..world.process import Process
    from ..world.world import World

__all__ = ["Roles"]


class Roles:
    """Looks roles up.

    Parameters
    ----------
    world, stage, checks
        The run.
    """

    def __init__(self, world: World, recorder: RunRecorder, checks: StepChecks) -> None:
        self._world = world
        self._recorder = recorder
        self._checks = checks
        self._lookups: dict[str, Callable[[], list[str]]] = {
            "@leader": lambda: self._leader(self._busiest()),
            "@clients": self._clients,
            "@acker": self._acker,
            "@follower": self._follower,
            "@control": lambda: self._leader(0),
            "@holder": lambda: self._recorder.holders()[:1],
            "@waiter": self._waiter,
            "@starting": self._starting,
            "@node": self._serving,
            "@heir": lambda: self._replica(self._checks.heir),
            "@changer": lambda: self._replica(self._checks.changer),
            "@comer": lambda: [name for name in self._checks.comers if name in self._world.processes][:1],
            "@elector": self._elector,
            "@expirer": self._expirer,
            "@late": self._late,
            "@writer": lambda: [name for name in [self._recorder.journals.writer] if name],
        }

    def resolve(self, targets: Sequence[str]) -> list[str] | None:
        """Return the machines that targets mean now, each once; None when somebody is missing."""
        found: dict[str, None] = {}
        for target in targets:
            names = self._lookups[target]() if is_role(target) else [target]
            fresh = [name for name in names if name not in found]
            if not fresh:
                return None
            found.update(dict.fromkeys(fresh))
        return list(found)

    # -- one role each

    def _busiest(self) -> int:
        """Return the number of the slot group that has most calls in flight, 0 when none has any."""
        calls: dict[int, int] = {}
        for process, client_session in self._ledgers():
            del process
            calls[client_session.slot] = calls.get(client_session.slot, 0) + client_session.outstanding
        busiest = min(calls, key=lambda slot: (-calls[slot], slot), default=None)
        return 0 if busiest is None or not calls[busiest] else busiest + 1

    def _ledgers(self) -> list[tuple[Process, Any]]:
        found: list[tuple[Process, Any]] = []
        for name, value in self._checks.systems.items():
            process = self._world.processes[name]
            gateway = gateway_of(value) if process.is_up else None
            if gateway is not None:
                found += [(process, client_session) for client_session in gateway.sessions_by_slot.values()]
        return found

    def _groups(self, number: int) -> list[tuple[str, GroupView]]:
        return [
            (process.name, host.groups[number])
            for process, host in self._checks.live()
            if number in host.groups and not process.is_paused
        ]

    def _leader(self, number: int) -> list[str]:
        leading = [
            (group.core.term, name)
            for name, group in self._groups(number)
            if group.core.role is Role.LEADER and group.core.is_established
        ]
        return [max(leading)[1]] if leading else []

    def _followers(self) -> list[tuple[int, str]]:
        number = self._busiest()
        return sorted(
            (group.core.last_index, name)
            for name, group in self._groups(number)
            if group.core.role is not Role.LEADER
        )

    def _acker(self) -> list[str]:
        name = self._checks.wrote_last.get(self._busiest())
        return [name] if name is not None and self._world.processes[name].is_up else []

    def _follower(self) -> list[str]:
        followers = self._followers()
        return [followers[0][1]] if followers else []

    def _clients(self) -> list[str]:
        slot = self._busiest() - 1
        return [
            process.name
            for process, client_session in self._ledgers()
            if process.name.startswith("client-")
            and client_session.slot == slot
            and (client_session.outstanding or client_session.held)
        ]

    def _waiter(self) -> list[str]:
        calls = self._recorder.open_calls
        waiting = [name for name in sorted(calls) if calls[name] and name.startswith("client-")]
        return sorted(waiting, key=lambda name: (-len(calls[name]), name))[:1]

    def _replica(self, replica: tuple[int, str] | None) -> list[str]:
        number, id = replica or (0, "")
        return [name for name, group in self._groups(number) if group.core.id == id]

    def _elector(self) -> list[str]:
        number, id = self._checks.heir or (0, "")
        groups = self._groups(number)
        terms = [group.core.term for _, group in groups if group.core.id == id]
        return [
            name
            for name, group in groups
            if group.core.id != id and group.core.vote == id and group.core.term in terms
        ][:1]

    def _expirer(self) -> list[str]:
        expiry = self._checks.expiring
        return [] if expiry is None or not self._world.processes[expiry.leader].is_up else [expiry.leader]

    def _late(self) -> list[str]:
        expiry = self._checks.expiring
        return [
            process.name
            for process, client_session in self._ledgers()
            if expiry is not None
            and process.name.startswith("client-")
            and (client_session.slot, client_session.epoch, client_session.number) == expiry[1:]
        ]

    def _starting(self) -> list[str]:
        return [
            name
            for name in self._checks.systems
            if name.startswith("node-") and self._world.processes[name].is_up and not self._is_serving(name)
        ][:1]

    def _serving(self) -> list[str]:
        return [name for name in self._checks.systems if name.startswith("node-") and self._is_serving(name)][
            :1
        ]

    def _is_serving(self, name: str) -> bool:
        process = self._world.processes[name]
        return process.is_up and process.value is not None
