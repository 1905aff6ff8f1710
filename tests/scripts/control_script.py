"""Conversations of the control group as text: entries and what they change, and what its leader proposes of itself.

See `tests.kit.script` for the form of a script. Every entry is applied twice by one replica and once by another that is
loaded from a dump before: the replies are compared, and so are the states. After each command what changed is
shown. `python -m tests.scripts.control_script FILE...` writes the transcripts anew.
"""

from __future__ import annotations

from typing import Any

from casty.address import peer_key
from casty.cluster.control import machine as c
from casty.cluster.control.machine import ControlMachine
from casty.cluster.node.leader_tasks import ControlDuties, FailureDetector
from casty.config import SECOND_NS, Settings
from casty.wire.pack import pack, unpack
from tests.kit.clock import ManualClock
from tests.kit.groups import ManualCore, ManualGroup, ManualHost, ManualLinks
from tests.kit.script import Script, rewrite

SETTINGS = Settings(unreachable_after_s=2.0, down_after_s=5.0)
NAMES = {
    c.JOIN: "join", c.STATUS: "status", c.SILENT: "silent", c.PLACE: "place", c.HELD: "held", c.FORGET: "forget",
}  # fmt: skip


def entry_text(entry: list[Any]) -> str:
    """Return a proposed entry in words; the epoch of a slot is left out."""
    parts = [entry[1], *entry[3:]] if entry[0] == c.PLACE else entry[1:]
    return " ".join([NAMES[entry[0]], *(str(part) for part in parts)])


def member_text(row: c.MemberRow) -> str:
    """Return a member in words."""
    marks = [mark for mark, is_so in (("silent", row.is_silent), ("new", not row.was_up)) if is_so]
    return " ".join([row.key, row.status, *marks])


def slot_text(row: c.SlotRow) -> str:
    """Return a slot in words; the node that should lead it has a star."""
    target = ",".join(f"{node}{'*' if node == row.preferred else ''}" for node in row.target)
    return f"at {target or 'nobody'}" + (
        f", held by {','.join(row.held) or 'nobody that told of it'}" if row.is_moving else ""
    )


class ControlScript(Script):
    """Two replicas, and a leader (node a) that looks after the members."""

    def __init__(self) -> None:
        super().__init__()
        self.machine, self.other = ControlMachine(), ControlMachine()
        self.shown: dict[str, str] = {}
        self.clock = ManualClock()
        self.links = ManualLinks()
        self.failure_detector = FailureDetector(self.clock)
        self.group = ManualGroup(0, ManualCore("a#1", ["a#1"]))
        links: Any = self.links
        host: Any = ManualHost(self.group)
        self.duties = ControlDuties(
            host, self.clock, SETTINGS, links, self.failure_detector, lambda entry: self._proposed(entry)
        )
        self.silent: dict[str, None] = {}
        self.proposed: list[bytes] = []

    # -- entries

    def _apply(self, data: bytes) -> list[Any]:
        self.other.load(self.machine.dump())
        reply = self.machine.apply(data)
        dumped = self.machine.dump()
        assert self.other.apply(data) == reply and self.other.dump() == dumped, "replicas differ"
        self.machine.apply(data)
        assert self.machine.dump() == dumped, "the second time it changes something"
        return reply

    def _entry(self, *entry: Any) -> None:
        reply = self._apply(pack(list(entry)))
        if reply != [0]:
            self.say(f"reply {reply}")
        self._show()

    def do_found(self, slots: str, *nodes: str) -> None:
        """Apply the founding: found 4 a b c (slots, founders)."""
        founders = [[node, "1", node, 1, [None, 100, []]] for node in nodes]
        document = {
            "id": "f1", "founder": nodes[0], "name": "shop", "generation": 5, "cluster_id": "c1", "replication": 3,
            "slots": int(slots), "settings": {"session_ttl_s": 15.0, "drift": 0.01}, "founders": founders,
        }  # fmt: skip
        self.group.core.membership = self.group.core.committed_membership = ManualCore(
            "a#1", [peer_key(node, "1") for node in nodes]
        ).membership
        self._entry(c.FOUND, document)

    def do_join(self, node: str, incarnation: str, *roles: str) -> None:
        """A process joins: join d 1, or join d 1 gpu."""
        self._entry(c.JOIN, node, incarnation, node, 1, [None, 100, sorted(roles)])

    def do_status(self, node: str, incarnation: str, status: str) -> None:
        """A verdict: status d 1 up."""
        self._entry(c.STATUS, node, incarnation, status)

    def do_region(self, name: str, shards: str, role: str = "-") -> None:
        """A region is defined: region cart 10, or region cart 10 gpu."""
        self._entry(c.REGION, name, int(shards), None if role == "-" else role)

    def do_place(self, slot: str, leaves: str, comes: str) -> None:
        """A place goes from one to another: place 0 a d."""
        self._entry(c.PLACE, int(slot), self.machine.slots[int(slot)].epoch, leaves, comes)

    def do_held(self, slot: str, term: str, step: str, *nodes: str) -> None:
        """A slot's leader tells who votes: held 0 1 7 a b c."""
        row = self.machine.slots[int(slot)]
        self._entry(c.HELD, int(slot), row.epoch, int(term), int(step), sorted(nodes), row.targets)

    def do_settle(self) -> None:
        """Every slot's leader tells that its replicas are where they should be."""
        for slot, row in enumerate(self.machine.slots):
            term, step = row.held_at
            self._apply(
                pack([c.HELD, slot, row.epoch, max(1, term), step + 1, list(row.target), row.targets])
            )
        self._show()

    # -- the leader

    def do_mute(self, *nodes: str) -> None:
        """These answer no heartbeat from now on."""
        self.silent.update(dict.fromkeys(nodes))

    def do_unmute(self, *nodes: str) -> None:
        """These answer again."""
        for node in nodes:
            del self.silent[node]

    def do_behind(self, *keys: str) -> None:
        """These have not caught up with the log: behind d#1."""
        self.group.core.behind = dict.fromkeys(keys)

    def do_unlinked(self, *keys: str) -> None:
        """The leader has no link to these: unlinked d#1."""
        self.links.gone = dict.fromkeys(keys)

    def do_tenure(self, what: str) -> None:
        """Leadership ends, or begins anew: tenure ends, tenure begins."""
        self.group.core.leader = "a#1" if what == "begins" else "b#1"
        self.group.core.leader_since_ns = self.clock.now()

    def do_lost(self) -> None:
        """What was proposed is lost."""
        self.say(f"lost {len(self.proposed)}")
        self.proposed.clear()

    def do_apply(self) -> None:
        """Apply what was proposed."""
        for data in self.proposed:
            self._apply(data)
        self.proposed.clear()
        self._show()

    def do_tick(self, seconds: str = "0.25") -> None:
        """Let time pass, and the leader do its duties four times a second; what it proposes stays under way."""
        for _ in range(int(float(seconds) * 4)):
            self.clock.skip(0.25)
            for row in self.machine.members.values():
                if row.node_id not in self.silent and row.key != "a#1":
                    self.failure_detector.answered(row.replica_id, self.clock.now())
            self.failure_detector.follow(self.machine)
            known = len(self.group.core.changes)
            self.duties.tick(self.group, self.machine)
            for voters, learners in self.group.core.changes[known:]:
                self.say(f"control group: {','.join(voters)} learn {','.join(learners) or 'none'}")

    def _proposed(self, entry: bytes) -> None:
        after_ms = (self.clock.now() - SECOND_NS) * 1000 // SECOND_NS
        plain: Any = unpack(entry)
        self.say(f"{after_ms} ms: proposes {entry_text(plain)}")
        self.proposed.append(entry)

    # -- looking

    def _show(self) -> None:
        rows = {f"{node} ": member_text(row) for node, row in self.machine.members.items()}
        rows |= {f"slot {number}": slot_text(row) for number, row in enumerate(self.machine.slots)}
        for name, text in rows.items():
            if self.shown.get(name) != text:
                self.say(f"{name} {text}" if name.startswith("slot") else text)
        for name in self.shown:
            if name not in rows:
                self.say(f"{name.strip()} is forgotten")
        self.shown = rows

    def do_state(self) -> None:
        """Show all members and slots."""
        self.shown = {}
        self._show()

    def do_control(self, *voters: str) -> None:
        """Show who should be in the control group, where these vote: control a b c."""
        keys, learners = self.machine.control_voters(sorted(voters))
        self.say(f"control group should be {','.join(keys)} learn {','.join(learners) or 'none'}")


if __name__ == "__main__":
    rewrite(ControlScript)
