"""Planted bugs in what concerns actors, entities and identities."""

from __future__ import annotations

from typing import Any

from casty.actor.mailbox import Mailbox
from casty.cluster.actors import wiring as cluster_actors
from casty.cluster.actors.activations import ActivationLease
from casty.cluster.actors.region_host import RegionHost
from casty.cluster.actors.remote import Remote
from casty.cluster.actors.senders import Heard
from casty.cluster.slots.machine import SlotMachine
from casty.transport.losses import Losses
from sim.kernel.draws import Entropy

from .bug import Planted, bug_in

__all__ = ["ACTORS"]


def _leased_for_ever(leases: Any, slot: int, after_ns: int) -> int:
    """Entities go on when their node's lease ended."""
    del leases, slot, after_ns
    return 1 << 62


def _lasts_for_ever(lease: Any) -> bool:
    """Handlers and hooks of entities run on when their lease ended; no new message is taken."""
    del lease
    return True


def _never_stopped(host: Any, slot: int) -> None:
    """Entities live on when somebody else leads their slot."""
    del host, slot


def _never_overtaken(heard: Any, source: str, number: int) -> bool:
    """A message that a later one overtook is handled all the same."""
    del heard, source, number
    return False


def _put_first(right: Any) -> Any:
    """The message that came last is read first."""

    def put(mailbox: Any, message: object, *size_bytes: int) -> None:
        right(mailbox, message, *size_bytes)
        mailbox._items.rotate(1)

    return put


def _received_twice(right: Any) -> Any:
    """Every so often a message from another process is delivered again."""

    def receive(remote: Any, path: str, payload: bytes, sender: Any, *more: Any) -> None:
        right(remote, path, payload, sender, *more)
        if sender is None and len(payload) % 3 == 0:
            right(remote, path, payload, sender, *more)

    return receive


def _never_lost(losses: Any, process: Any, number: int, sent: int, confirmed: int) -> None:
    """What a link took is confirmed and not counted."""
    del losses, sent, confirmed
    process.taken[number] = -1


def _lost_before_the_end(right: Any) -> Any:
    """What has not been read of a link that has ended for the other end only counts as lost."""

    def on_sent(losses: Any, connection: Any, body: bytes) -> None:
        process = losses.links[connection].process
        here = [link for link in process.links.values() if link is not losses.links[connection]]
        numbers = [link.into for link in here]
        for link in here:
            link.into = 0
        right(losses, connection, body)
        for link, number in zip(here, numbers, strict=True):
            link.into = number

    return on_sent


def _end_not_told(right: Any) -> Any:
    """The end of a link is not told to the process at its other end."""

    def ended(losses: Any, process: Any, number: int, sent: int, confirmed: int) -> None:
        right(losses, process, number, sent, confirmed)
        process.sent.clear()

    return ended


def _same_name_again(right: Any) -> Any:
    """A process that starts again takes its predecessor's name."""

    def token(entropy: Any, purpose: str, size: int) -> bytes:
        drawn: bytes = right(entropy, purpose, size)
        return bytes(size) if purpose == "incarnation" else drawn

    return token


def _session_by_gateway(right: Any) -> Any:
    """Whoever opens a session gets one that is there already."""

    def opened(machine: Any, index: int, attempt: bytes, gateway: bytes, ttl_ms: int = 0) -> Any:
        others = [
            known for known in machine.attempts if machine.sessions[machine.attempts[known]].waits == {}
        ]
        return right(machine, index, others[0] if others else attempt, gateway, ttl_ms)

    return opened


ACTORS = (
    Planted(
        "entities-run-on-without-a-lease",
        "entities",
        "mixed",
        ActivationLease,
        "lasts",
        _lasts_for_ever,
        True,
    ),
    Planted(
        "entities-leased-for-ever", "entities", "mixed", cluster_actors.Leases, "until_ns", _leased_for_ever
    ),
    Planted("entities-never-stopped", "entities", "mixed", RegionHost, "_stop_slot", _never_stopped),
    Planted("overtaken-and-handled", "tell", "mixed", Heard, "is_overtaken", _never_overtaken, True),
    bug_in("last-read-first", "tell", "mixed", Mailbox, "add", _put_first),
    bug_in("received-twice", "tell", "mixed", Remote, "_receive", _received_twice),
    Planted("losses-not-counted", "losses", "mixed", Losses, "_count_lost", _never_lost),
    bug_in("lost-before-the-end", "losses", "mixed", Losses, "on_sent", _lost_before_the_end, True),
    bug_in("end-of-a-link-not-told", "losses", "mixed", Losses, "_ended_there", _end_not_told),
    bug_in("same-name-again", "identity", "mixed", Entropy, "token", _same_name_again),
    bug_in("session-of-another", "identity", "mixed", SlotMachine, "_open", _session_by_gateway),
)
