"""What changed around a node: an event each, and a line at INFO for what an operator asks about afterwards."""

from __future__ import annotations

import logging

from casty.address import NodeAddress, node_id_of
from casty.cluster.control.machine import ControlMachine
from casty.cluster.multiraft.host import Group
from casty.complaint import one_line
from casty.config import SECOND_NS
from casty.events import LeaderElected, MemberChanged, SteppedDown, TopologyChanged
from casty.ports import Runtime

__all__ = ["Chronicle"]

log = logging.getLogger("casty.node")

LOOK_NS = SECOND_NS
MOST_LINES = 16
"""At most so many lines in a second: more changes than that are counted, as they may come from outside."""


class Chronicle:
    """Notes changes of members and of leaderships; what is noted is logged with the next heartbeat.

    Bounds: a row per member of the control state, and one per group that this node leads; `MOST_LINES` lines.

    Parameters
    ----------
    runtime
        Takes the events.
    node_id
        This node's.
    """

    def __init__(self, runtime: Runtime, node_id: str) -> None:
        self._runtime = runtime
        self._node_id = node_id
        self._seen: dict[str, tuple[str, str]] = {}
        self._terms: dict[int, int] = {}
        self._control_leader: str | None = None
        self._led = 0
        self._lines: list[str] = []
        self._left_out = 0
        self._looked_ns = 0

    def members(self, machine: ControlMachine) -> None:
        """The control state changed."""
        seen = {row.node_id: (row.incarnation, row.status) for row in machine.members.values()}
        former, self._seen = self._seen, seen
        for node_id, (incarnation, status) in seen.items():
            before = former.get(node_id)
            if before == (incarnation, status):
                continue
            if self._runtime.observe:
                self._runtime.observe(MemberChanged(node_id, status))
            row = machine.members[node_id]
            is_anew = before is not None and before[0] != incarnation
            anew = " with a new process" if is_anew else ""
            self.note(f"member {node_id} at {NodeAddress(row.host, row.port)} is {status}{anew}")
        for node_id in former:
            if node_id not in seen:
                self.note(f"member {node_id} is gone")
        if self._runtime.observe:
            self._runtime.observe(TopologyChanged(machine.generation, machine.version))

    def role(self, group: Group, *, is_here: bool) -> None:
        """A group of this node began or ceased to be led, here or elsewhere, or is not here any more."""
        number, core, observe = group.number, group.core, self._runtime.observe
        is_leading = is_here and group.is_leading
        term = self._terms.get(number)
        if term is not None and not (is_leading and core.term == term):
            del self._terms[number]
            if observe:
                observe(SteppedDown(number, group.epoch, term))
        if is_leading and number not in self._terms:
            self._terms[number] = core.term
            if observe:
                observe(LeaderElected(number, group.epoch, core.term))
        if number == 0:
            self._control_led(None if core.leader is None else node_id_of(core.leader), core.term)

    def _control_led(self, leader: str | None, term: int) -> None:
        if leader is not None and leader != self._control_leader:
            self.note(f"{leader} leads the control group, term {term}")
            self._control_leader = leader

    def note(self, line: str) -> None:
        """Have a line logged with the next heartbeat."""
        if len(self._lines) < MOST_LINES:
            self._lines.append(one_line(line))
        else:
            self._left_out += 1

    def look(self, now_ns: int, slots: int) -> None:
        """Log what was noted, and how many of the cluster's slots are led here; called at every heartbeat."""
        if now_ns - self._looked_ns < LOOK_NS:
            return
        led = sum(number > 0 for number in self._terms)
        if led != self._led and slots:
            self.note(f"leads {led} of {slots} slots, {self._led} before")
            self._led = led
        if not self._lines:
            return
        self._looked_ns = now_ns
        lines, left_out = self._lines, self._left_out
        self._lines, self._left_out = [], 0
        for line in lines:
            log.info("node %s: %s", self._node_id, line)
        if left_out:
            log.info("node %s: %d more changes", self._node_id, left_out)
