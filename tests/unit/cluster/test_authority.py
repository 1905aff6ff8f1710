"""The table of authority: every cell, every kind, whom each role may name, and whom a group hears."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from casty.actor.services import Deregister, Find, Register, Subscribe
from casty.address import NodeAddress, peer_key
from casty.cluster.authority import (
    CLIENT,
    CLOSE,
    DROP,
    GROUP,
    KEEP,
    MEMBER,
    PEER,
    ROLE_NAMES,
    RULES,
    STATUS,
    STRANGER,
    TAKE,
    TO_CLIENT,
    Speaker,
    heard_as,
    hears,
    is_public_name,
    may_ask_receptionist,
    may_name,
)
from casty.cluster.control.ballots import Identity
from casty.cluster.node.boundary import Boundary
from casty.consensus import Membership, Role, messages
from casty.consensus.membership import History
from casty.errors import RemoteProtocolError
from casty.wire import frames
from casty.wire.hello import Hello

ROLES = (STATUS, CLIENT, STRANGER, PEER, MEMBER)
HANDSHAKE = (
    frames.HELLO, frames.WELCOME, frames.REFUSED, frames.CHALLENGE, frames.PROOF, frames.PING, frames.PONG,
    frames.TAKEN,
)  # fmt: skip
OF_OPERATORS = (frames.COMMAND, frames.BACKUP, frames.SALVAGE)
TO_OTHERS = (
    *TO_CLIENT, frames.STATUS_REPLY, frames.COMMAND_REPLY, frames.BACKUP_REPLY, frames.SALVAGE_REPLY,
)  # fmt: skip
OF_CLIENTS = {
    frames.REQUEST, frames.KEEPALIVE, frames.SUBSCRIBE, frames.STATUS, frames.ACTOR, frames.RELAY, frames.ENTITY,
    frames.ENTITY_REFUSED, frames.SENT, frames.SETTLED, frames.WATCH, frames.BUNDLE,
}  # fmt: skip
CARRIED_KINDS = (frames.ACTOR, frames.RELAY, frames.ENTITY, frames.ENTITY_REFUSED, frames.BUNDLE)
BEATS = {
    frames.HEARTBEAT,
    frames.HEARTBEAT_ACK,
    frames.ROWS,
    frames.ROWS_ACK,
    frames.REMOVED,
    frames.REMOVED_ACK,
}
ANSWERS = {frames.REPLY, frames.KEEPALIVE_ACK}
HERE, THERE = NodeAddress("h", 1), NodeAddress("there", 1)
CELLS = [(kind, role) for kind in RULES for role in ROLES]


def kinds() -> dict[str, int]:
    """Return every kind of frame that there is, by name."""
    return {name: value for name, value in vars(frames).items() if name.isupper() and isinstance(value, int)}


def expected(kind: int, role: int) -> str:
    """Say in words of its own what becomes of a cell."""
    if role == STATUS:
        return TAKE if kind in (frames.STATUS, *OF_OPERATORS) else CLOSE
    if kind in OF_OPERATORS:
        return CLOSE
    if role == CLIENT:
        return TAKE if kind in OF_CLIENTS else CLOSE
    if kind == frames.CONSENSUS:
        return GROUP
    if role == STRANGER and kind in BEATS | ANSWERS | {frames.REGIONS, frames.WATCH}:
        return DROP
    return KEEP if role == STRANGER and kind in (frames.HINTS, frames.CLIENTS) else TAKE


def test_the_table_knows_every_kind_that_there_is() -> None:
    for name, kind in kinds().items():
        assert kind in RULES or kind in HANDSHAKE or kind in TO_OTHERS, name
    assert len(kinds()) == len(dict.fromkeys(kinds().values()))


def test_no_row_is_of_a_handshake() -> None:
    assert not [kind for kind in HANDSHAKE if kind in RULES]


class Link(SimpleNamespace):
    """A link that tables may have rows of."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def _never(when_ns: int, callback: object) -> SimpleNamespace:
    """Arm a timer that is never due."""
    return SimpleNamespace(cancel=lambda: None)


class Bench:
    """A boundary with a link of any role, and what passed it."""

    def __init__(self, role: int) -> None:
        self.passed: list[int] = []
        self.asked: list[Any] = []
        self.reached: dict[str, NodeAddress] = {peer_key("x", "1"): HERE} if role == PEER else {}
        self.link: Any = Link(
            remote=Hello(
                "shop", ("status", "client", "node", "node", "node")[role], "x", "1", HERE.host, HERE.port
            ),
            is_dialled=False,
            is_open=True,
        )
        self.looked = 0
        row = SimpleNamespace(
            replica_id="x#1",
            key="x#1",
            incarnation="1",
            status="up",
            node_id="x",
            host=HERE.host,
            port=HERE.port,
        )
        machine = SimpleNamespace(members={"x": row} if role == MEMBER else {}, is_founded=True)
        node: Any = SimpleNamespace(
            runtime=SimpleNamespace(clock=SimpleNamespace(now=lambda: 0, call_at=_never), observe=None),
            control=SimpleNamespace(machine=machine),
            links=SimpleNamespace(
                is_superseded=lambda link: False,
                address_at=self.reached.get,
                address_of=self.reached.get,
                is_linked=lambda key: True,
                is_named=lambda key: key in self.reached,
            ),
            bootstrap=SimpleNamespace(look_around=self._look),
            host=SimpleNamespace(on_consensus=lambda *arguments: self.asked.append(arguments)),
            node_id="me",
        )
        handlers = {kind: lambda link, body, kind=kind: self.passed.append(kind) for kind in RULES}
        self.boundary = Boundary(node, handlers)

    def _look(self) -> None:
        self.looked += 1


@pytest.mark.parametrize(("kind", "role"), CELLS, ids=lambda value: str(value))
def test_each_cell(kind: int, role: int) -> None:
    bench = Bench(role)
    assert RULES[kind][role] == expected(kind, role)
    assert bench.boundary.role_of(bench.link) == role
    if expected(kind, role) == CLOSE:
        with pytest.raises(RemoteProtocolError, match="expected a frame that a"):
            bench.boundary.on_frame(bench.link, kind, b"")
    else:
        bench.boundary.on_frame(bench.link, kind, b"")
    assert bench.passed == ([kind] if expected(kind, role) == TAKE else [])
    assert len(bench.asked) == (expected(kind, role) == GROUP)
    assert bench.boundary.dropped == (expected(kind, role) == DROP)
    assert bench.looked == (role == STRANGER and expected(kind, role) in (GROUP, KEEP, DROP))


@pytest.mark.parametrize("role", ROLES)
def test_a_kind_that_the_table_does_not_know_ends_the_link(role: int) -> None:
    bench = Bench(role)
    for kind in (frames.HELLO, frames.TOPOLOGY, 99):
        with pytest.raises(RemoteProtocolError):
            bench.boundary.on_frame(bench.link, kind, b"")


def test_whoever_was_reached_at_its_address_is_a_peer() -> None:
    bench = Bench(STRANGER)
    bench.reached[peer_key("x", "1")] = HERE
    assert bench.boundary.role_of(bench.link) == PEER


@pytest.mark.parametrize("role", [STRANGER, MEMBER])
@pytest.mark.parametrize("kind", [frames.CONSENSUS, frames.FOUNDING, frames.ACTOR, frames.HINTS])
def test_a_copy_that_came_before_its_original_was_known_is_not_taken_for_it(role: int, kind: int) -> None:
    """It had the name and incarnation of a member, and was one from when the member was known: it voted in its name."""
    bench = Bench(role)
    bench.link.remote = bench.link.remote._replace(host=THERE.host, port=THERE.port)
    if role == STRANGER:
        assert bench.boundary.role_of(bench.link) == STRANGER, "it is not known yet that it is a copy"
        bench.boundary.on_frame(bench.link, kind, b"")
        bench.reached[peer_key("x", "1")] = HERE
    assert bench.boundary.role_of(bench.link) == STRANGER
    seen = (len(bench.passed), len(bench.asked))
    with pytest.raises(RemoteProtocolError, match="there:1 says that it is the process 'x' of h:1"):
        bench.boundary.on_frame(bench.link, kind, b"")
    assert (len(bench.passed), len(bench.asked)) == seen


@pytest.mark.parametrize(
    ("incarnation", "address", "role", "is_heard"),
    [
        ("d+2+y", HERE, STRANGER, True),
        ("d+2+y", THERE, STRANGER, False),
        ("d+2+y", THERE, PEER, True),
        ("d", HERE, STRANGER, False),
        ("d", HERE, PEER, False),
        ("e", THERE, STRANGER, True),
    ],
)
def test_a_place_is_not_taken_by_its_name_alone(
    incarnation: str, address: NodeAddress, role: int, is_heard: bool
) -> None:
    """The member d+1+x of HERE has the place d: a later process there has it, or one that was looked for elsewhere."""
    bench = Bench(MEMBER)
    row = bench.boundary._node.control.machine.members["x"]
    row.__dict__.update(replica_id="x#d", key="x#d+1+x", incarnation="d+1+x")
    bench.link.remote = bench.link.remote._replace(
        incarnation=incarnation, host=address.host, port=address.port
    )
    if role == PEER:
        bench.reached[peer_key("x", incarnation)] = address
    assert bench.boundary.role_of(bench.link) == role
    bench.boundary._consensus(bench.link, b"", role)
    assert [row[0] for row in bench.asked] == (["x#" + incarnation.partition("+")[0]] if is_heard else [])


def test_of_a_disk_that_nobody_knows_only_who_was_looked_for_is_heard() -> None:
    bench = Bench(STRANGER)
    bench.link.remote = bench.link.remote._replace(incarnation="d+1+x")
    bench.boundary._consensus(bench.link, b"", STRANGER)
    assert not bench.asked and bench.boundary.dropped == 1
    bench.reached["x#d"] = HERE
    bench.boundary._consensus(bench.link, b"", STRANGER)
    assert len(bench.asked) == 1


def test_what_a_stranger_leads_counts_when_it_is_known() -> None:
    bench = Bench(STRANGER)
    bench.boundary.on_frame(bench.link, frames.HINTS, b"")
    bench.boundary.look_again()
    assert bench.passed == []
    bench.reached[peer_key("x", "1")] = HERE
    bench.boundary.look_again()
    assert bench.passed == [frames.HINTS]


@pytest.mark.parametrize("kind", CARRIED_KINDS)
def test_what_a_node_carries_never_ends_its_link(kind: int) -> None:
    def raises(link: object, body: bytes) -> None:
        raise RemoteProtocolError("garbage")

    for role in (CLIENT, MEMBER):
        bench = Bench(role)
        bench.boundary._handlers[kind] = raises
        if role == CLIENT:
            with pytest.raises(RemoteProtocolError):
                bench.boundary.on_frame(bench.link, kind, b"")
        else:
            bench.boundary.on_frame(bench.link, kind, b"")
            assert bench.boundary.dropped == 1


@pytest.mark.parametrize("kind", CARRIED_KINDS)
async def test_what_a_message_brings_about_never_ends_its_link(kind: int) -> None:
    def raises(link: object, body: bytes) -> None:
        raise LookupError("of a user, or ours")

    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    for role in (CLIENT, STRANGER, PEER, MEMBER):
        bench = Bench(role)
        bench.boundary._handlers[kind] = raises
        bench.boundary.on_frame(bench.link, kind, b"")
        assert bench.boundary.dropped == 1
    assert [str(context["exception"]) for context in reported] == ["of a user, or ours"] * 4


@pytest.mark.parametrize("role", ROLES)
def test_who_is_no_known_node_is_counted_apart(role: int) -> None:
    speaker = Speaker(role, "me#1", lambda node_id: False, NodeAddress("here", 9))
    own = {STRANGER: "me#1?here:9", CLIENT: "me#1?", STATUS: "me#1?"}.get(role, "me#1")
    assert heard_as(speaker, "me#1") == own
    assert heard_as(speaker, "client-1#1?") == "client-1#1?", "as the node that passes it on counted it"


@pytest.mark.parametrize("role", ROLES)
def test_whom_each_role_may_name(role: int) -> None:
    speaker = Speaker(role, "me#1", lambda node_id: node_id in ("me", "n1"))
    is_node = role >= PEER
    assert may_name(speaker, "me#1")
    assert not may_name(speaker, "me#2"), "another incarnation is another process"
    assert not may_name(speaker, "n1#1"), "nobody speaks for another member"
    assert may_name(speaker, "client-1#1") is is_node
    assert may_name(speaker, "n1#1", passes_on=True) is is_node


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        ("shop", True), ("shop/child", True), ("$receptionist", True), ("$ask/1", True), ("$region/cart", True),
        ("$registrar", False), ("$regions", False), ("$events", False), ("$region", False),
    ],
)  # fmt: skip
def test_public_names(path: str, is_open: bool) -> None:
    assert is_public_name(path) is is_open


def test_the_receptionist_is_asked_from_the_network_and_told_by_its_own() -> None:
    questions = (Find, Subscribe)
    for kind in (Register, Deregister):
        assert not may_ask_receptionist(kind(None, None), questions)  # type: ignore[arg-type]
    assert may_ask_receptionist(Find(None, None), questions)  # type: ignore[arg-type]


def core(
    membership: Membership | None = None,
    *,
    leader: str | None = None,
    role: Role = Role.FOLLOWER,
    sticky: bool = False,
) -> Any:
    return SimpleNamespace(
        leader=leader, history=History(0, membership), role=role, is_sticky=lambda now_ns, sender: sticky,
        progress={},
    )  # fmt: skip


OLD = Membership(("a#1", "b#1"), (), ("l#1",))
OUTCOMES = ("ACCEPTED", "BLANK", "REJECTED")
KINDS = [getattr(messages, name) for name in messages.__all__ if name.isupper() and name not in OUTCOMES]
REQUESTS = (messages.APPEND, messages.SNAPSHOT, messages.VOTE, messages.PRE_VOTE)
OTHERS = (
    messages.APPEND_REPLY, messages.SNAPSHOT_REPLY, messages.VOTE_REPLY, messages.PRE_VOTE_REPLY,
    messages.TIMEOUT_NOW, None,
)  # fmt: skip
KNOWN = (PEER, MEMBER)


@pytest.mark.parametrize("kind", [*REQUESTS, *OTHERS])
def test_a_configuration_in_the_log_names_voters_learners_and_the_outgoing(kind: int | None) -> None:
    group = core(OLD, sticky=True)
    group.history.add(5, Membership(("c#1~2",), ("a#1", "b#1"), ()))
    for sender in ("a#1", "b#1", "l#1", "c#1"):
        assert hears(group, sender, 0, STRANGER, kind), sender
    assert not hears(group, "x#1", 0, MEMBER, kind), "a member of the cluster, and not of this group"


@pytest.mark.parametrize("kind", [*REQUESTS, *OTHERS])
def test_a_leader_outside_the_new_configuration_is_heard_while_it_is_followed(kind: int | None) -> None:
    assert hears(core(Membership(("c#1",)), leader="a#1~1", sticky=True), "a#1", 0, PEER, kind)


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("role", KNOWN)
def test_who_may_lead_is_heard_by_a_replica_whose_configuration_is_old(kind: int, role: int) -> None:
    assert hears(core(OLD), "new#1", 0, role, kind)
    assert not hears(core(OLD), "new#1", 0, STRANGER, kind), "nobody names it"


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("group", [core(OLD), core()], ids=["old", "blank"])
def test_replies_and_orders_count_only_from_whom_a_configuration_names(group: Any, kind: int | None) -> None:
    assert not hears(group, "new#1", 0, MEMBER, kind)


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("role", KNOWN)
def test_a_term_is_no_reason_to_leave_a_leader_that_lives(kind: int, role: int) -> None:
    assert not hears(core(OLD, leader="a#1", sticky=True), "new#1", 0, role, kind)
    assert not hears(core(OLD, role=Role.LEADER), "new#1", 0, role, kind)


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_replica_without_a_configuration_takes_one_from_whom_somebody_names(kind: int) -> None:
    assert hears(core(), "a#1", 0, PEER, kind)
    assert not hears(core(), "a#1", 0, STRANGER, kind)


def test_every_kind_of_message_is_judged() -> None:
    assert sorted(KINDS) == sorted(kind for kind in (*REQUESTS, *OTHERS) if kind is not None)


def test_a_member_has_the_address_that_the_cluster_knows() -> None:
    """A process that showed the id and incarnation of a later member before that one joined was taken for it."""
    bench = Bench(MEMBER)
    assert bench.boundary.role_of(bench.link) == MEMBER
    for name, value in (("host", "elsewhere"), ("port", 2), ("incarnation", "2")):
        other: Any = Link(remote=bench.link.remote._replace(**{name: value}))
        assert bench.boundary.role_of(other) == STRANGER


@pytest.mark.parametrize("role", [STRANGER, PEER, MEMBER])
def test_a_node_asks_to_join_for_itself_and_members_relay(role: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(role)
    monkeypatch.setattr(bench.boundary, "flaw_of_node", lambda hello: None)
    own = Identity("x", "1", "h", 1)
    assert bench.boundary.is_own(bench.link, own)
    assert bench.boundary.may_join(bench.link, own)
    for other in (own._replace(node_id="y"), own._replace(incarnation="2"), own._replace(host="g")):
        assert not bench.boundary.is_own(bench.link, other)
        assert bench.boundary.may_join(bench.link, other) is (role == MEMBER)


def test_roles_have_names() -> None:
    assert len(ROLE_NAMES) == len(ROLES)


def test_a_node_without_a_configuration_takes_nobody_for_a_peer_whom_nobody_names() -> None:
    """It heard consensus messages of whoever came, and followed a stranger in the term of the leader it waited for."""
    bench = Bench(STRANGER)
    node: Any = bench.boundary._node
    node.control.machine.is_founded = False
    assert bench.boundary.role_of(bench.link) == STRANGER
