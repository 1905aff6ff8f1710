"""What a leader does besides answering: walk groups to their targets, hand over, watch members.

Everything here is advice or idempotent: a duty that is done twice, late, or by a leader that no longer
leads, is refused by the consensus core or changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from casty.address import node_id_of, process_of
from casty.cluster.control import upkeep
from casty.cluster.control.machine import HELD, SILENT, STATUS, ControlMachine, MemberRow, SlotRow
from casty.cluster.control.replica import CONTROL, heard_ns
from casty.cluster.control.rows import is_committed
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.numbers import slot_of
from casty.cluster.node.course import Told, course_to, step_of, told_by, voting
from casty.cluster.node.links import Links
from casty.config import SECOND_NS, Settings
from casty.consensus import Membership
from casty.ports import Clock
from casty.wire.pack import pack

__all__ = ["NEVER_NS", "ControlDuties", "FailureDetector", "SlotDuties"]

ASK_AGAIN_NS = 2 * SECOND_NS
GAP = 4
STEADY = 6
"""Heartbeats: without a word of the control leader for so many there is a gap, and after so many more it is current."""
LATE_NS = 10 * SECOND_NS
"""How long a leader without a place tries to hand its slot over before it changes the configuration all the same."""
SETTLED_NS = 3 * SECOND_NS
"""Whoever leads for so long may hand over to the preferred replica. One that stops has given its slots away shortly
before and is still heard, or was until just now: what it gave must not go back to it. It takes two seconds at most,
and is not heard for one more."""
NEVER_NS = -(1 << 62)
CHANGED_AT_ONCE = 128
"""Slots that take a step at one heartbeat, or are handed over in one turn: some 50 microseconds each, with what follows
in that turn. The others follow at the next heartbeats."""


def _unsaid(slot: int, entry: bytes) -> None:
    del slot, entry


def _always(slot: int) -> bool:
    del slot
    return True


class FailureDetector:
    """When each process last answered a heartbeat of this node.

    Bounds: `heard_ns` has a row per member but this node, by the key under which it takes part in groups.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heard_ns: dict[str, int] = {}
        """When each process answered last."""

    def answered(self, key: str, sent_ns: int) -> None:
        """A heartbeat sent at `sent_ns` was answered."""
        del sent_ns
        self.heard_ns[key] = self._clock.now()

    def follow(self, machine: ControlMachine) -> None:
        """Forget processes that were replaced; nobody asks how long they were silent."""
        if machine.is_founded and len(self.heard_ns) >= len(machine.members):
            members = dict.fromkeys(row.replica_id for row in machine.members.values())
            self.heard_ns = {key: at_ns for key, at_ns in self.heard_ns.items() if key in members}

    def silent_ns(self, key: str, since_ns: int) -> int:
        """Return how long the process was silent, counted from `since_ns` at the earliest."""
        return self._clock.now() - max(self.heard_ns.get(key, NEVER_NS), since_ns)


class ControlDuties:
    """The control leader: places of the control group, and who is up."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        settings: Settings,
        links: Links,
        failure_detector: FailureDetector,
        propose: Callable[[bytes], None],
    ) -> None:
        self._host = host
        self._clock = clock
        self._links = links
        self._failure_detector = failure_detector
        self._propose = propose
        self._unreachable_ns = int(settings.unreachable_after_s * SECOND_NS)
        self._down_ns = int(settings.down_after_s * SECOND_NS)
        self._calm_ns: int | None = None
        """Since when everybody is there, as this leader sees it."""
        self._balanced = -1
        """The version at which no move for balance was needed."""
        self._asked: dict[tuple[str, str], int] = {}
        """When something was proposed about a member or slot; older rows than `ASK_AGAIN_NS` go with the next one."""
        self._since_ns: dict[str, int] = {}
        """Since when this leader knows of each process; of present members only, and empty where nobody leads."""

    def tick(self, group: Group, machine: ControlMachine) -> None:
        """Do what is due; called every heartbeat while this node leads the control group."""
        if not group.is_leading or not machine.is_founded:
            self._since_ns.clear()
            self._calm_ns, self._balanced = None, -1
            return
        now_ns = self._clock.now()
        voters, learners = machine.control_voters(
            sorted(dict.fromkeys(map(node_id_of, _membership(group).voters))), node_id_of(group.core.id)
        )
        group.core.change(now_ns, _replicas(group, voters), _replicas(group, learners))
        self._host.mark(group)
        # Nobody was silent for longer than this leader knows of it.
        self._since_ns = {row.key: self._since_ns.get(row.key, now_ns) for row in machine.members.values()}
        for row in list(machine.members.values()):
            if row.status != "removed":
                self._judge(group, machine, row)
        forgotten = upkeep.forget_entry(machine, voting(group.core))
        if forgotten is not None:
            self._ask(str(forgotten[1]), "forget", forgotten)
        self._balance(machine, now_ns)

    def _balance(self, machine: ControlMachine, now_ns: int) -> None:
        """Propose the next move for balance when all is well, and was for a while."""
        if not upkeep.is_calm(machine):
            self._calm_ns = None
        elif self._calm_ns is None:
            self._calm_ns = now_ns
        elif now_ns - self._calm_ns > self._unreachable_ns and self._balanced != machine.version:
            entry = upkeep.place_entry(machine)
            if entry is not None:
                self._ask(f"slot {entry[1]}", "place", entry)
            elif not upkeep.moving(machine):
                self._balanced = machine.version

    def _judge(self, group: Group, machine: ControlMachine, row: MemberRow) -> None:
        voters = voting(group.core)
        if row.is_leaving and upkeep.has_nothing(machine, row, voters):
            self._set_status(row, "removed")
            return
        if row.replica_id == process_of(group.core.id):
            if row.status in ("joining", "down"):
                self._set_status(row, _present(row))
            if row.is_silent:
                self._set_silent(row, False)
            return
        silent_ns = self._failure_detector.silent_ns(
            row.replica_id, max(self._since_ns[row.key], group.core.leader_since_ns)
        )
        self._judge_silence(row, silent_ns)
        is_new = row.status == "joining" and not row.was_up
        if is_new and silent_ns > self._down_ns and upkeep.has_nothing(machine, row, voters):
            self._set_status(row, "removed")
        elif row.status in ("up", "joining", "leaving") and silent_ns > self._down_ns:
            self._set_status(row, "down")
        elif (
            row.status in ("joining", "down")
            and silent_ns < self._unreachable_ns
            and self._follows(group, row)
        ):
            self._set_status(row, _present(row))
        elif silent_ns > upkeep.FORGOTTEN_AFTER * self._down_ns and upkeep.is_replaced(machine, row, voters):
            self._set_status(row, "removed")

    def _judge_silence(self, row: MemberRow, silent_ns: int) -> None:
        """A predecessor's verdict holds until the member really answered this leader."""
        if not row.is_silent and silent_ns > self._unreachable_ns:
            self._set_silent(row, True)
        elif (
            row.is_silent
            and self._failure_detector.silent_ns(row.replica_id, NEVER_NS) <= self._unreachable_ns
        ):
            self._set_silent(row, False)

    def _follows(self, group: Group, row: MemberRow) -> bool:
        progress = group.core.progress_of(group.replica_of(row.replica_id))
        return progress is not None and progress.is_caught_up and self._links.is_linked(row.key)

    def _set_status(self, row: MemberRow, status: str) -> None:
        self._ask(row.key, status, [STATUS, row.node_id, row.incarnation, status])

    def _set_silent(self, row: MemberRow, is_silent: bool) -> None:
        self._ask(row.key, f"silent {is_silent}", [SILENT, row.node_id, row.incarnation, is_silent])

    def _ask(self, whom: str, what: str, entry: list[object]) -> None:
        now_ns = self._clock.now()
        asked_ns = self._asked.get((whom, what))
        if asked_ns is None or now_ns - asked_ns > ASK_AGAIN_NS:
            self._asked = {
                known: at_ns for known, at_ns in self._asked.items() if now_ns - at_ns < ASK_AGAIN_NS
            }
            self._asked[whom, what] = now_ns
            self._propose(pack(entry))


class SlotDuties:
    """The slot leaders of one node.

    Parameters
    ----------
    host, clock, failure_detector
        The node's.
    settings
        Tell the time to live of sessions, and the time between heartbeats.
    silence_ns
        Tells how long the session of a slot was silent that is silent for longest.
    report
        Sends a control entry about a slot to whoever leads the control group; it may be lost.
    may_transfer
        Asked before a slot is handed over: volatile entities stop first. Asked again until it says yes.

    Bounds: all tables have at most a row per slot.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        failure_detector: FailureDetector,
        settings: Settings,
        silence_ns: Callable[[int], int],
        report: Callable[[int, bytes], object] = _unsaid,
        may_transfer: Callable[[int], bool] = _always,
    ) -> None:
        self._host = host
        self._clock = clock
        self._failure_detector = failure_detector
        self._ttl_ns = int(settings.session_ttl_s * SECOND_NS)
        self._heartbeat_ns = int(settings.heartbeat_s * SECOND_NS)
        self._current_ns: int | None = None
        """Since when the control group's leader was heard of without a gap; None within one."""
        self._silence_ns = silence_ns
        self._report = report
        self._reported_ns: dict[int, int] = {}
        """When it was told last who votes in a slot."""
        self._reported: dict[int, tuple[Told, int]] = {}
        """And what was told, with the number of the target."""
        self._leaving_ns: dict[int, int] = {}
        """Since when a slot is led here without a place for this node; a row goes when that is not so."""
        self._handed_over_ns: dict[int, int] = {}
        self._held_up_ns: dict[int, int] = {}
        """Since when the hand-over of a slot waits for a session that is silent: at most one row per slot. A row
        that is older than two times to live counts no more."""
        self._is_stopping = False
        self._may_transfer = may_transfer

    def stop(self) -> None:
        """The process stops: leaderships go one and all (`hand_all_over`), and none by its own."""
        self._is_stopping = True

    def tick(self, machine: ControlMachine) -> None:
        """Walk every slot led here towards its target; hand at most one over to another node."""
        now_ns = self._clock.now()
        left = CHANGED_AT_ONCE
        may_hand_over, is_current = not self._is_stopping, self._is_current(now_ns)
        for group in list(self._host.led.values()):
            slot = slot_of(group.number)
            if slot < 0 or not group.is_leading or slot >= len(machine.slots):
                continue  # the control group may be behind: what the disk had may be led before it is known
            row = machine.slots[slot]
            if row.epoch != group.epoch:
                continue
            self._tell(group, row, now_ns)
            target = _replicas(group, machine.slot_voters(slot))
            if _membership(group) != Membership(target):
                # Those that wait for a newcomer to catch up, or for a majority, cost next to nothing.
                if left > 0 and is_current and not _is_untold(group, row, target):
                    before = group.core.last_index
                    if self._walk(group, target, now_ns, may_hand_over=may_hand_over):
                        may_hand_over = False
                    left -= group.core.last_index != before
                continue
            self._leaving_ns.pop(slot, None)
            if may_hand_over and row.preferred is not None and row.preferred in machine.members:
                may_hand_over = not self._hand_over(
                    group, slot, group.replica_of(machine.members[row.preferred].replica_id), now_ns
                )

    def _is_current(self, now_ns: int) -> bool:
        """Whether the targets are known as they are now: the control leader's word came all the time of late.

        Who was cut off and comes back may lead a slot before it hears what has changed, and must not walk the slot back
        to where it should be no more. What that leader sent before is here, or was sent again, in `STEADY` heartbeats.
        """
        heard_ago_ns = now_ns - heard_ns(self._host.groups.get(CONTROL), now_ns)
        if heard_ago_ns > GAP * self._heartbeat_ns:
            self._current_ns = None
        elif self._current_ns is None:
            self._current_ns = now_ns
        return self._current_ns is not None and now_ns - self._current_ns >= STEADY * self._heartbeat_ns

    def _walk(self, group: Group, target: tuple[str, ...], now_ns: int, *, may_hand_over: bool) -> bool:
        """Take a step towards the target; whether that was to hand over."""
        core, slot = group.core, slot_of(group.number)
        is_late = False
        if core.id in target:
            self._leaving_ns.pop(slot, None)
        else:
            is_late = now_ns - self._leaving_ns.setdefault(slot, now_ns) > LATE_NS
        course = course_to(core.id, _membership(group), target, is_late=is_late)
        if not course.heirs:
            core.change(now_ns, course.voters, ())
            self._host.mark(group)
            return False
        for heir in course.heirs if may_hand_over else ():
            if self._is_fit(group, heir) and self._may_transfer(slot) and core.transfer(now_ns, heir):
                self._handed_over_ns[slot] = now_ns
                self._host.mark(group)
                return True
        return False

    def _tell(self, group: Group, row: SlotRow, now_ns: int) -> None:
        """Tell which nodes vote here, if others are recorded, or if somebody has to know who will not be taken in.

        Only who is the one leader can say that nobody is being taken in: there is no other while its lease lasts.
        """
        slot, told, step = slot_of(group.number), told_by(group.core), step_of(group.core)
        is_asked = bool(row.dropped) and group.core.lease_until_ns() > now_ns
        if step < row.held_at or (not is_asked and (step == row.held_at or _is_recorded(told, row))):
            return
        news = told, row.targets if is_asked else 0
        if now_ns - self._reported_ns.get(slot, NEVER_NS) > ASK_AGAIN_NS or self._reported[slot] != news:
            self._reported_ns[slot], self._reported[slot] = now_ns, news
            self._report(
                slot, pack([HELD, slot, row.epoch, told.term, told.step, list(told.node_ids), news[1]])
            )

    def _hand_over(self, group: Group, slot: int, preferred: str, now_ns: int) -> bool:
        core = group.core
        if preferred == core.id or preferred not in _membership(group).voters:
            return False
        if now_ns - self._handed_over_ns.get(slot, -2 * self._ttl_ns) < 2 * self._ttl_ns:
            return False
        if now_ns - core.leader_since_ns < SETTLED_NS:
            return False
        if not self._is_fit(group, preferred):
            return False
        if self._is_held_up(slot, now_ns):
            return False
        if not self._may_transfer(slot):
            return False  # Others need not wait for its entities.
        if core.transfer(now_ns, preferred):
            self._handed_over_ns[slot] = now_ns
            # Where nothing else goes on nobody would look at the group, and nothing would be said.
            self._host.mark(group)
            return True
        return False

    def _is_fit(self, group: Group, heir: str) -> bool:
        """Whether a voter has the log, and answered lately."""
        progress = group.core.progress_of(heir)
        if progress is None or not progress.is_caught_up:
            return False
        return self._failure_detector.silent_ns(process_of(heir), group.core.leader_since_ns) <= SECOND_NS

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
                    if group.number > 0 and not self._may_transfer(slot_of(group.number)):
                        continue
                    is_new = group.core.transfer_to is None
                    if is_new and left == 0:
                        continue
                    left -= group.core.transfer(now_ns, heir) and is_new
                    self._host.mark(group)
            elif group.core.leader is None and group.core.is_promotable:
                pending = True
        return pending

    def _heir(self, group: Group) -> str | None:
        """Return the voter that is caught up and was heard of last."""
        candidates = []
        for key in _membership(group).voters:
            progress = group.core.progress_of(key) if key != group.core.id else None
            silent_ns = self._failure_detector.silent_ns(process_of(key), NEVER_NS)
            if progress is not None and silent_ns < SECOND_NS:
                candidates.append((-progress.match, silent_ns, key))
        if not candidates:
            return None
        _, _, heir = min(candidates)
        return heir


def _replicas(group: Group, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the present replica of each process, in order of their names."""
    return tuple(sorted([group.replica_of(key) for key in keys]))


def _present(row: MemberRow) -> str:
    """Return what a member is that answers again: one that leaves goes on leaving."""
    return "leaving" if row.is_leaving else "up"


def _is_untold(group: Group, row: SlotRow, target: tuple[str, ...]) -> bool:
    """Whether a group is to become smaller, and what it is now is not recorded: maybe its target rests on that."""
    return (
        len(target) < len(_membership(group).voters)
        and step_of(group.core) > row.held_at
        and not _is_recorded(told_by(group.core), row)
    )


def _is_recorded(told: Told, row: SlotRow) -> bool:
    """Whether who votes is on record; of a group that is to become smaller also that it is committed.

    A target that was taken back before is put right by what is committed alone: what is not may be given up.
    """
    if told.node_ids != row.held:
        return False
    return len(row.target) >= len(row.held) or is_committed(row.held_at[1]) or not is_committed(told.step)


def _membership(group: Group) -> Membership:
    membership = group.core.membership
    assert membership is not None, "a leader has a configuration"
    return membership
