"""Planted bugs in what a node lets in: a process that forges frames makes honest ones pay for each of them."""

from __future__ import annotations

from typing import Any

from casty.cluster.actors import region_router, remote
from casty.cluster.actors.client_links import ClientLinks
from casty.cluster.actors.remote import Remote
from casty.cluster.authority import CARRIED, CLIENT, MEMBER, PEER, RULES, STRANGER, TAKE
from casty.cluster.multiraft.host import Host
from casty.cluster.node import boundary
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.boundary import Boundary
from casty.cluster.node.request_handler import RequestHandler
from casty.cluster.slots.operations import OP_KEEPALIVE, OP_READ, OP_WRITE, RELAY
from casty.cluster.slots.replica import SlotReplica
from casty.errors import RemoteProtocolError
from casty.wire import frames
from casty.wire.pack import unpack

from .bug import Planted, bug_in, shown

__all__ = ["BOUNDARY"]

_OWNERS = "owners of sessions"
_FAULTS = "faults stay on their links"
_SPEAKS = "whom a link speaks for"
_WHO = "who is who"
_NAMES = "ports"
_TABLE = "the table of authority"


def _of_anybody(replica: Any, session: int, _proof: bytes) -> bool:
    """A session serves whoever knows its number."""
    return session in replica.machine.sessions


def _yes(*_: Any, **__: Any) -> bool:
    return True


def _no_flaw(*_: Any, **__: Any) -> None:
    return None


# -- sessions


def _needs_no_proof(right: Any) -> Any:
    """Who gives no proof is taken for a gateway of a version that had none."""

    def is_owner(replica: Any, session: int, proof: bytes) -> bool:
        return bool(right(replica, session, proof)) or (not proof and session in replica.machine.sessions)

    return is_owner


def _kept_by_anybody(right: Any) -> Any:
    """A keep-alive proves nothing."""

    def keep_alive(replica: Any, group: Any, row: Any) -> Any:
        is_named = isinstance(row, list) and len(row) > 6 and type(row[2]) is int
        session = replica.machine.sessions.get(row[2]) if is_named else None
        return right(replica, group, row if session is None else [*row[:7], session.attempt])

    return keep_alive


def _proved_by_any_session(replica: Any, session: int, proof: bytes) -> bool:
    """Any session of the slot proves another."""
    return session in replica.machine.sessions and proof in replica.machine.attempts


# -- faults that others pay for


def _any_group(right: Any) -> Any:
    """The number of a group is looked up whatever it is."""

    def on_consensus(host: Any, sender: str, body: bytes, is_heard: Any = None) -> None:
        items: Any = unpack(body)
        for item in items:
            host.groups.get(item[0])
        right(host, sender, body, is_heard)

    return on_consensus


def _any_call(right: Any) -> Any:
    """The id of a call is compared whatever it is."""

    def take(requests: Any, answers: Any, body: bytes, role: int) -> None:
        items: Any = unpack(body)
        _ = [item[0] < 0 for item in items if item] if isinstance(items, list) else None
        right(requests, answers, body, role)

    return take


def _carrier_pays(right: Any) -> Any:
    """What cannot be read is passed on as it is, and is the fault of who passed it on."""

    def on_frame(judge: Any, link: Any, kind: int, body: bytes) -> None:
        if kind in CARRIED and judge.role_of(link) >= PEER:
            judge._handlers[kind](link, body)
            return
        try:
            right(judge, link, kind, body)
        except RemoteProtocolError:
            row: Any = unpack(body) if kind == frames.RELAY else None
            to = row[0] if isinstance(row, list) and row else None
            if not isinstance(to, str) or not judge._node.links.send_to_node(to, kind, body):
                raise

    return on_frame


def _carrier_of_calls_pays(
    requests: Any, answers: Any, call_id: int, slot: int, epoch: Any, *rest: Any
) -> None:
    """What is wrong with a call ends the link that it came by, which may be that of a node which passed it on."""
    operation, payload, proof = rest
    group = requests._node.host.groups.get(slot + 1)
    if group is None or not group.is_leading or group.epoch != epoch:
        requests._redirect(answers, call_id, slot, epoch, operation, payload, proof)
        return
    host, replica = requests._node.host, requests.slots[slot]
    if operation & ~RELAY == OP_WRITE:
        host.ask(group, replica.write, group, payload, proof, answers, call_id)
    elif operation & ~RELAY == OP_READ:
        host.ask(group, replica.read, group, payload, answers, call_id)
    elif operation & ~RELAY == OP_KEEPALIVE:
        answers.add(call_id, [0, host.ask(group, replica.keep_alive, group, unpack(payload))])
    requests._mark(group, answers, call_id)


# -- who may say what


def _taken_from(role: int, *kinds: int) -> Any:
    """The table takes these kinds of frames from a role."""
    name = ("status", "client", "stranger")[role]
    return {**RULES, **{kind: RULES[kind]._replace(**{name: TAKE}) for kind in kinds}}


def _control_from_anybody(right: Any) -> Any:
    """Entries of the control group are taken whoever sends them."""

    def take(requests: Any, answers: Any, body: bytes, role: int) -> None:
        right(requests, answers, body, MEMBER if role >= CLIENT else role)

    return take


def _asker_by_its_word(right: Any) -> Any:
    """Whoever is named as the asker hears what becomes of the question."""

    def asker(way: Any, plain: object, speaker: Any) -> Any:
        del speaker
        return right(way, plain, None)

    return asker


def _relayed_by_its_word(right: Any) -> Any:
    """What is to be passed on is not asked whose it is: the next node believes this one."""

    def on_relay(way: Any, node_id: str, body: bytes, may_pass_on: bool, speaker: Any = None) -> None:
        del speaker
        right(way, node_id, body, may_pass_on, None)

    return on_relay


def _kept_in_a_members_name(table: Any) -> None:
    """A client that came before the node whose id it has keeps its link, and hears what is for that node."""
    del table


def _source_by_its_word(speaker: Any, source: str) -> str:
    """What a stranger sends counts for the process that has the name that it gives."""
    del speaker
    return source


def _role_by_name(judge: Any, link: Any) -> int:
    """A link is a member's when its hello says so."""
    remote = link.remote
    if remote.role != "node":
        return CLIENT if remote.role == "client" else 0
    member = judge._node.control.machine.members.get(remote.node_id)
    if member is not None and member.incarnation == remote.incarnation and member.status != "removed":
        return MEMBER
    return PEER if link.is_dialled else STRANGER


BOUNDARY = (
    Planted("session-of-anybody", _OWNERS, "rogue", SlotReplica, "_is_owner", _of_anybody),
    bug_in("no-proof-needed", _OWNERS, "rogue", SlotReplica, "_is_owner", _needs_no_proof),
    Planted("any-session-proves", _OWNERS, "rogue", SlotReplica, "_is_owner", _proved_by_any_session),
    bug_in("kept-alive-by-anybody", _OWNERS, "rogue", SlotReplica, "keep_alive", _kept_by_anybody),
    Planted("strangers-heard", _WHO, "rogue", boundary, "hears", _yes),
    Planted("client-by-its-word", _WHO, "rogue", Boundary, "refusal", _no_flaw),
    Planted("copy-by-its-name", _WHO, "rogue", Boundary, "role_of", _role_by_name),
    Planted("join-for-another", _WHO, "rogue", Boundary, "may_join", _yes),
    Planted("founding-by-anybody", _WHO, "rogue", Bootstrap, "_is_named", _yes),
    bug_in("any-group-number", _FAULTS, "rogue", Host, "on_consensus", _any_group),
    bug_in("any-call-id", _FAULTS, "rogue", RequestHandler, "_take", _any_call),
    bug_in("carrier-pays", _FAULTS, "rogue", Boundary, "on_frame", _carrier_pays),
    Planted("carrier-of-calls-pays", _FAULTS, "rogue", RequestHandler, "_request", _carrier_of_calls_pays),
    Planted("every-door", _NAMES, "rogue", remote, "is_public_name", _yes),
    Planted("registrations-taken", _NAMES, "rogue", remote, "may_ask_receptionist", _yes),
    bug_in("control-from-clients", _TABLE, "rogue", RequestHandler, "_take", _control_from_anybody),
    Planted("sender-by-its-word", _SPEAKS, "rogue", remote, "may_name", _yes),
    Planted("entity-sender-by-its-word", _SPEAKS, "rogue", region_router, "may_name", _yes),
    bug_in("asker-by-its-word", _SPEAKS, "rogue", Remote, "_asker", _asker_by_its_word),
    bug_in("relayed-by-its-word", _SPEAKS, "rogue", Remote, "on_relay", _relayed_by_its_word),
    Planted("client-before-its-node", _WHO, "rogue", ClientLinks, "members_changed", _kept_in_a_members_name),
    shown(
        Planted("stranger-heard-as-node", _SPEAKS, "rogue", remote, "heard_as", _source_by_its_word, True),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[numbered-by-a-stranger]",
    ),
    shown(
        Planted("subscribed-by-anybody", _SPEAKS, "rogue", remote, "_is_of", _yes),
        "tests/unit/cluster/actors/test_remote.py::test_who_subscribes_for_the_actor_of_another_process_is_not_heard",
    ),
    *(
        Planted(name, _TABLE, "rogue", boundary, "RULES", _taken_from(role, *kinds))
        for name, role, kinds in (
            ("hints-of-strangers", STRANGER, (frames.HINTS,)),
            ("clients-of-strangers", STRANGER, (frames.CLIENTS,)),
            ("clients-of-clients", CLIENT, (frames.CLIENTS,)),
            (
                "beats-of-strangers",
                STRANGER,
                (frames.HEARTBEAT, frames.HEARTBEAT_ACK, frames.ROWS, frames.ROWS_ACK),
            ),
            ("replies-of-strangers", STRANGER, (frames.REPLY,)),
            ("acks-of-strangers", STRANGER, (frames.KEEPALIVE_ACK,)),
            ("joins-of-clients", CLIENT, (frames.JOIN,)),
            ("founding-of-clients", CLIENT, (frames.FOUNDING,)),
            ("consensus-of-clients", CLIENT, (frames.CONSENSUS,)),
            ("replies-of-clients", CLIENT, (frames.REPLY, frames.KEEPALIVE_ACK)),
            (
                "beats-of-clients",
                CLIENT,
                (frames.HEARTBEAT, frames.HEARTBEAT_ACK, frames.ROWS, frames.ROWS_ACK),
            ),
        )
    ),
)
"""What one process that forges frames shows. The cells of the table of authority are tested one by one; see
`tests/unit/cluster/test_authority.py`."""
