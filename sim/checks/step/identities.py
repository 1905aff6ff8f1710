"""No restarted process uses what was its predecessor's: neither its name in consensus nor a session (5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.address import process_of, replica_id_of

from ..violation import Violation, ViolationError
from .introspection import gateway_of, node_of

if TYPE_CHECKING:
    from ...world.process import Process

__all__ = ["Identities"]

Owner = tuple[str, int]
"""(name of a process, which of its incarnations)."""


class Identities:
    """Who was seen first with which name, and with which session."""

    def __init__(self) -> None:
        self._owners: dict[object, Owner] = {}
        self._processes: dict[str, str] = {}
        """The process of each name in consensus that was seen; taking names apart again and again costs time."""

    def look(self, process: Process, system: object) -> None:
        """Look at one living process; raises `ViolationError`."""
        owner = (process.name, process.incarnation.ordinal)
        node = node_of(system)
        if node is not None:
            key = node.key
            self._owned(key, owner, "the name {}", key)
            for group in node.host.groups.values():
                if self._process_of(group.core.id) != replica_id_of(key):
                    self._broken(owner, f"takes part in group {group.number} as {group.core.id}, being {key}")
        gateway = gateway_of(system)
        for client_session in () if gateway is None else gateway.sessions_by_slot.values():
            if client_session.number is not None:
                session = (client_session.slot, client_session.epoch, client_session.number)
                self._owned(session, owner, "session {0[2]} of slot {0[0]}", session)

    def _process_of(self, member: str) -> str:
        known = self._processes.get(member)
        if known is None:
            known = self._processes[member] = process_of(member)
        return known

    def _owned(self, thing: object, owner: Owner, text: str, shown: object) -> None:
        first = self._owners.setdefault(thing, owner)
        if first != owner:
            self._broken(owner, f"uses {text.format(shown)}, which was {first[0]}/{first[1]}'s")

    @staticmethod
    def _broken(owner: Owner, text: str) -> None:
        raise ViolationError(Violation(5, f"{owner[0]}/{owner[1]}", text))
