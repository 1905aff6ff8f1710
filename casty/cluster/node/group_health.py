"""What a node has to do without: groups that nobody leads, and who of their voters cannot be reached."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from casty.address import node_id_of, process_of
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.numbers import slot_of
from casty.cluster.node.links import Links
from casty.complaint import one_line
from casty.config import SECOND_NS

__all__ = ["GroupHealth"]

log = logging.getLogger("casty.node")

LOOK_NS = SECOND_NS
PATIENCE_NS = 5 * SECOND_NS
"""So long an election may take before it is called a shortage; and so often one is complained of."""
REASONS = 3
"""Of so many links that are not there the line says why."""
LOST_S = 60
"""After so long without a majority the line says what can be done if it never comes back."""


class GroupHealth:
    """Watches the groups of one node.

    Parameters
    ----------
    me
        Under which key this process takes part in groups.
    host, links
        Its groups, and whom it reaches.

    Attributes
    ----------
    texts
        What is short now, in words; empty while every group here has a leader.
    """

    def __init__(self, me: str, host: Host, links: Links) -> None:
        self._me = me
        self._host = host
        self._links = links
        self._since_ns: dict[int, int] = {}
        self._looked_ns = 0
        self._complained_ns = 0
        self.texts: list[str] = []

    def look(self, now_ns: int) -> None:
        """Called at every heartbeat: looks once a second, and logs every five seconds what lasts."""
        if now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        for number, group in self._host.groups.items():
            if group.core.leader is None and group.core.membership is not None:
                self._since_ns.setdefault(number, now_ns)
            else:
                self._since_ns.pop(number, None)
        before, self.texts = self.texts, self._describe(now_ns)
        if before and not self.texts:
            log.info("every group here has a leader again")
        if self.texts and now_ns - self._complained_ns >= PATIENCE_NS:
            self._complained_ns = now_ns
            # Links that are not there say why: a certificate that has expired, another secret, nobody who listens.
            why = self._links.troubles()[:REASONS]
            log.warning("%s", one_line("; ".join([*self.texts, *why])))

    def _describe(self, now_ns: int) -> list[str]:
        """Groups that lack the same voters are named together, with how long the first of them lacks a leader."""
        by_voters: dict[tuple[str, ...], list[int]] = {}
        for number, since_ns in self._since_ns.items():
            if now_ns - since_ns >= PATIENCE_NS and number in self._host.groups:
                by_voters.setdefault(_voters(self._host.groups[number]), []).append(number)
        return [self._text(numbers, voters, now_ns) for voters, numbers in by_voters.items()]

    def _text(self, numbers: Sequence[int], voters: Sequence[str], now_ns: int) -> str:
        slots = [slot_of(number) for number in numbers if number > 0]
        what = ["the control group"] if 0 in numbers else []
        what += (
            [f"{len(slots)} slots ({slots[0]} ...)" if len(slots) > 1 else f"slot {slots[0]}"]
            if slots
            else []
        )
        missing = self._missing(voters)
        who = (
            f"of {len(voters)} voters {', '.join(missing)} cannot be reached"
            if missing
            else "no majority agrees"
        )
        for_s = max(now_ns - self._since_ns[number] for number in numbers) // SECOND_NS
        advice = ""
        if 2 * len(missing) >= len(voters) and for_s >= LOST_S:
            advice = "; start these nodes, or if they are gone for good: casty recover"
        return f"no leader for {' and '.join(what)}: {who}, for {for_s} s{advice}"

    def _missing(self, voters: Sequence[str]) -> list[str]:
        return [
            node_id_of(key)
            for key in map(process_of, voters)
            if key != self._me and not self._links.has_answered(key)
        ]

    def rows(self, now_ns: int) -> list[dict[str, object]]:
        """Return the groups here that lack a leader, for programs: who has copies, who of the voters is missing."""
        rows: list[dict[str, object]] = []
        for number, since_ns in self._since_ns.items():
            group = self._host.groups.get(number)
            membership = None if group is None else group.core.membership
            if membership is None or now_ns - since_ns < PATIENCE_NS:
                continue
            missing = self._missing(membership.voters)
            rows.append(
                {
                    "group": number,
                    "voters": sorted(map(_node_id, membership.voters)),
                    "copies": sorted(dict.fromkeys(map(_node_id, membership.members))),
                    "unreachable": sorted(missing),
                    "lacks_majority": 2 * len(missing) >= len(membership.voters),
                    "for_s": (now_ns - since_ns) // SECOND_NS,
                }
            )
        return rows


def _node_id(id: str) -> str:
    return node_id_of(process_of(id))


def _voters(group: Group) -> tuple[str, ...]:
    membership = group.core.membership
    return () if membership is None else membership.voters
