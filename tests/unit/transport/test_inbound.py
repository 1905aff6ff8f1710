"""Unfinished frames of all links are bounded together: the longest goes first, and a member's last."""

from __future__ import annotations

from casty.transport.inbound import InboundBytes
from casty.wire.hello import Hello


class Link:
    def __init__(self, role: str = "client") -> None:
        self.remote = Hello("shop", role, "x", "1")
        self.reasons: list[str] = []

    def abort(self, reason: str) -> None:
        self.reasons.append(reason)


def test_within_the_bound_nobody_is_dropped() -> None:
    inbound = InboundBytes(100)
    links = [Link() for _ in range(4)]
    for link in links:
        inbound.holds(link, 20)
        inbound.holds(link, 25)
    assert inbound.total_bytes == 100
    assert not any(link.reasons for link in links)


def test_the_longest_unfinished_frame_goes() -> None:
    inbound = InboundBytes(100)
    short, long, last = Link(), Link(), Link()
    inbound.holds(short, 10)
    inbound.holds(long, 80)
    inbound.holds(last, 20)
    assert "80 bytes" in long.reasons[0]
    assert not short.reasons
    assert not last.reasons
    assert (inbound.total_bytes, inbound.dropped) == (30, 1)


def test_a_member_goes_last() -> None:
    inbound = InboundBytes(100)
    member, stranger, client = Link("node"), Link(""), Link()
    inbound.holds(member, 90)
    inbound.holds(stranger, 5)
    inbound.holds(client, 20)
    assert client.reasons
    assert not member.reasons
    inbound.holds(member, 120)
    assert stranger.reasons
    assert member.reasons, "nobody else is left"
    assert inbound.total_bytes == 0


def test_what_is_complete_or_gone_counts_no_more() -> None:
    inbound = InboundBytes(100)
    link = Link()
    inbound.holds(link, 60)
    inbound.holds(link, 0)
    inbound.holds(link, 0)
    assert inbound.total_bytes == 0
    inbound.holds(link, 60)
    assert not link.reasons
