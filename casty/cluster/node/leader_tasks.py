"""What a leader does besides answering: walk groups to their targets, hand over, watch members.

Everything here is advice or idempotent: a duty that is done twice, late, or by a leader that no longer
leads, is refused by the consensus core or changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from casty.address import node_id_of, process_of
from casty.cluster.control.machine import SILENT, STATUS, ControlMachine, MemberRow
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.node.links import Links
from casty.config import SECOND_NS, Settings
from casty.consensus import Membership
from casty.ports import Clock
from casty.wire.pack import pack

__all__ = ["NEVER_NS", "ControlDuties", "SlotDuties", "Vitals"]

ASK_AGAIN_NS = 2 * SECOND_NS
NEVER_NS = -(1 << 62)
CHANGED_AT_ONCE = 128
"""Slots that take a step at one heartbeat, or are handed over in one turn: some 50 microseconds each, with what follows
in that turn. The others follow at the next heartbeats."""


class Vitals:
    """When each process last answered a beat of this node.

    Bounds: `_heard_ns` has a row per member but this node, by its present process.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard_ns: dict[str, int] = {}

    def answered(self, key: str, sent_ns: int) -> None:
        """A beat sent at `sent_ns` was answered."""
        del sent_ns
        self._heard_ns[key] = self._clock.now()

    def follow(self, machine: ControlMachine) -> None:
        """Forget processes that were replaced; nobody asks how long they were silent."""
        if machine.is_founded and len(self._heard_ns) >= len(machine.members):
            members = dict.fromkeys(row.key for row in machine.members.values())
            self._heard_ns = {key: at_ns for key, at_ns in self._heard_ns.items() if key in members}

    def silent_ns(self, key: str, since_ns: int) -> int:
        """Return how long the process was silent, counted from `since_ns` at the earliest."""
        return self._clock.now() - max(self._heard_ns.get(key, NEVER_NS), since_ns)


class ControlDuties:
    """The control leader: seats of the control group, and who is up."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        settings: Settings,
        links: Links,
        vitals: Vitals,
        propose: Callable[[bytes], None],
    ) -> None:
        self._host = host
        self._clock = clock
        self._links = links
        self._vitals = vitals
        self._propose = propose
        self._unreachable_ns = int(settings.unreachable_after_s * SECOND_NS)
        self._down_ns = int(settings.down_after_s * SECOND_NS)
        self._asked: dict[tuple[str, str], int] = {}
        """When something was proposed about a member; what is older than `ASK_AGAIN_NS` goes with the next one."""
        self._since_ns: dict[str, int] = {}
        """Since when this leader knows of each process; of present members only, and empty where nobody leads."""

    def tick(self, group: Group, machine: ControlMachine) -> None:
        """Do what is due; called every heartbeat while this node leads the control group."""
        if not group.is_leading or not machine.is_founded:
            self._since_ns.clear()
            return
        now_ns = self._clock.now()
        voting = sorted({node_id_of(key): None for key in _membership(group).voters})
        voters, learners = machine.control_seats(voting)
        group.core.change(now_ns, _replicas(group, voters), _replicas(group, learners))
        self._host.mark(group)
        # Nobody was silent for longer than this leader knows of it.
        self._since_ns = {row.key: self._since_ns.get(row.key, now_ns) for row in machine.members.values()}
        for row in list(machine.members.values()):
            if row.status != "removed":
                self._judge(group, row)

    def _judge(self, group: Group, row: MemberRow) -> None:
        if row.key == process_of(group.core.id):
            if row.status != "up":
                self._set_status(row, "up")
            if row.is_silent:
                self._set_silent(row, False)
            return
        silent_ns = self._vitals.silent_ns(row.key, max(self._since_ns[row.key], group.core.leader_since_ns))
        self._judge_silence(row, silent_ns)
        if row.status == "joining" and silent_ns > self._down_ns and not row.was_up:
            self._set_status(row, "removed")
        elif row.status in ("up", "joining") and silent_ns > self._down_ns:
            self._set_status(row, "down")
        elif (
            row.status in ("joining", "down")
            and silent_ns < self._unreachable_ns
            and self._follows(group, row)
        ):
            self._set_status(row, "up")

    def _judge_silence(self, row: MemberRow, silent_ns: int) -> None:
        """A predecessor's verdict holds until the member really answered this leader."""
        if not row.is_silent and silent_ns > self._unreachable_ns:
            self._set_silent(row, True)
        elif row.is_silent and self._vitals.silent_ns(row.key, NEVER_NS) <= self._unreachable_ns:
            self._set_silent(row, False)

    def _follows(self, group: Group, row: MemberRow) -> bool:
        progress = group.core.progress_of(group.replica_of(row.key))
        return progress is not None and progress.is_caught_up and self._links.is_linked(row.key)

    def _set_status(self, row: MemberRow, status: str) -> None:
        self._ask(row, status, [STATUS, row.node_id, row.incarnation, status])

    def _set_silent(self, row: MemberRow, is_silent: bool) -> None:
        self._ask(row, f"silent {is_silent}", [SILENT, row.node_id, row.incarnation, is_silent])

    def _ask(self, row: MemberRow, what: str, entry: list[object]) -> None:
        now_ns = self._clock.now()
        asked_ns = self._asked.get((row.key, what))
        if asked_ns is None or now_ns - asked_ns > ASK_AGAIN_NS:
            self._asked = {
                known: at_ns for known, at_ns in self._asked.items() if now_ns - at_ns < ASK_AGAIN_NS
            }
            self._asked[row.key, what] = now_ns
            self._propose(pack(entry))


class SlotDuties:
    """The slot leaders of one node.

    Parameters
    ----------
    host, clock, vitals
        The node's.
    ttl_ns
        The time to live of sessions.
    silence_ns
        Tells how long the session of a slot was silent that is silent for longest.
    """

    def __init__(
        self, host: Host, clock: Clock, vitals: Vitals, ttl_ns: int, silence_ns: Callable[[int], int]
    ) -> None:
        self._host = host
        self._clock = clock
        self._vitals = vitals
        self._ttl_ns = ttl_ns
        self._silence_ns = silence_ns
        self._handed_over_ns: dict[int, int] = {}
        self._held_up_ns: dict[int, int] = {}
        """Since when the hand-over of a slot waits for a session that is silent: at most one row per slot. A row
        that is older than two times to live counts no more."""
        self.is_stopping = False
        self.may_transfer: Callable[[int], bool] = _always
        """Asked before a slot is handed over: volatile entities stop first. Asked again until it says yes."""

    def tick(self, machine: ControlMachine) -> None:
        """Walk every slot led here towards its target; hand at most one over to its preferred node."""
        now_ns = self._clock.now()
        left = CHANGED_AT_ONCE
        may_hand_over = not self.is_stopping
        for group in list(self._host.led.values()):
            slot = group.number - 1
            if slot < 0 or not group.is_leading:
                continue
            row, core = machine.slots[slot], group.core
            voters = _replicas(group, machine.slot_voters(slot))
            if _membership(group) != Membership(voters):
                # Those that wait for a newcomer to catch up, or for a majority, cost next to nothing.
                if left > 0:
                    before = core.last_index
                    core.change(now_ns, voters, ())
                    left -= core.last_index != before
                    self._host.mark(group)
            elif may_hand_over and row.preferred is not None and row.preferred in machine.members:
                may_hand_over = not self._hand_over(
                    group, slot, group.replica_of(machine.members[row.preferred].key), now_ns
                )

    def _hand_over(self, group: Group, slot: int, preferred: str, now_ns: int) -> bool:
        core = group.core
        if preferred == core.id or preferred not in _membership(group).voters:
            return False
        if now_ns - self._handed_over_ns.get(slot, -2 * self._ttl_ns) < 2 * self._ttl_ns:
            return False
        progress = core.progress_of(preferred)
        if progress is None or not progress.is_caught_up:
            return False
        if self._vitals.silent_ns(process_of(preferred), core.leader_since_ns) > SECOND_NS:
            return False
        if self._is_held_up(slot, now_ns):
            return False
        if not self.may_transfer(slot):
            return False  # Others need not wait for its entities.
        if core.transfer(now_ns, preferred):
            self._handed_over_ns[slot] = now_ns
            # Where nothing else goes on nobody would look at the group, and nothing would be said.
            self._host.mark(group)
            return True
        return False

    def _is_held_up(self, slot: int, now_ns: int) -> bool:
        """Whether a session that missed a keep-alive expires first: the next leader gives it its time to live anew.

        A slot in which always somebody is silent is handed over a time to live later.
        """
        if self._silence_ns(slot) <= self._ttl_ns // 2:
            return False
        since_ns = self._held_up_ns.get(slot, -2 * self._ttl_ns)
        if now_ns - since_ns > 2 * self._ttl_ns:
            since_ns = self._held_up_ns[slot] = now_ns
        return now_ns - since_ns <= self._ttl_ns

    def hand_all_over(self) -> bool:
        """Offer groups led here to their best followers, some at once; True while one still needs another leader."""
        now_ns = self._clock.now()
        pending, left = False, CHANGED_AT_ONCE
        for group in self._host.groups.values():
            if group.is_leading:
                heir = self._heir(group)
                if heir is not None:
                    pending = True
                    if group.number > 0 and not self.may_transfer(group.number - 1):
                        continue
                    is_new = group.core.transfer_to is None
                    if is_new and left == 0:
                        continue
                    left -= group.core.transfer(now_ns, heir) and is_new
                    self._host.mark(group)
            elif group.core.leader is None and group.core.membership is not None:
                pending = True
        return pending

    def _heir(self, group: Group) -> str | None:
        """Return the voter that is caught up and was heard of last."""
        candidates = []
        for key in _membership(group).voters:
            progress = group.core.progress_of(key) if key != group.core.id else None
            silent_ns = self._vitals.silent_ns(process_of(key), NEVER_NS)
            if progress is not None and silent_ns < SECOND_NS:
                candidates.append((-progress.match, silent_ns, key))
        return min(candidates)[2] if candidates else None


def _always(slot: int) -> bool:
    del slot
    return True


def _replicas(group: Group, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the present replica of each process, in order of their names."""
    return tuple(sorted([group.replica_of(key) for key in keys]))


def _membership(group: Group) -> Membership:
    membership = group.core.membership
    assert membership is not None, "a leader has a configuration"
    return membership
