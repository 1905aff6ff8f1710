"""Actor messages between processes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import Terminated
from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.services import ServiceKey, Subscribe
from casty.actor.sharding import ShardEnvelope
from casty.actor.watch_protocol import GONE
from casty.address import ActorAddress, NodeAddress
from casty.cluster.actors.remote import WATCHES
from casty.cluster.actors.wiring import NodeRoutes
from casty.cluster.authority import CLIENT, MEMBER, STRANGER, Speaker
from casty.errors import EncodingError, MessageTooLarge, RemoteProtocolError, Undecodable, UnknownRegion
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.clock import settle
from tests.unit.cluster.region_world import Add, Get, RegionWorld, counter


def address_of(world: RegionWorld, name: str, actor: str) -> ActorAddress:
    ref = world.processes[name].local.spawn(counter(actor), actor)
    assert isinstance(ref, RemoteActorRef)
    return ref.address


async def test_ask_between_nodes_and_to_a_client() -> None:
    world = RegionWorld(("a", "b"), ("c",))
    for source, target in (("a", "b"), ("c", "a"), ("a", "c")):
        ref = world.processes[source].local.make_ref(address_of(world, target, f"{source}-{target}"))
        ref.tell(Add(2))
        assert await world.processes[source].local.ask(ref, Get, timeout=5) == (f"{source}-{target}", 2)
    await world.close()


async def test_a_client_without_a_link_is_reached_through_a_node_that_has_one() -> None:
    world = RegionWorld(("a", "b"), ("c", "d"))
    world.network.cut("a>c")
    target = address_of(world, "c", "x")
    for source in ("a", "d"):
        local = world.processes[source].local
        assert await local.ask(local.make_ref(target), Get, timeout=5) == ("x", 0)
    await world.close()


async def test_without_a_way_a_message_is_a_dead_letter(caplog: pytest.LogCaptureFixture) -> None:
    world = RegionWorld(("a", "b"))
    a = world.processes["a"]
    target = address_of(world, "b", "x")
    world.network.cut("a>b")
    a.local.make_ref(target).tell(Add(1))
    a.local.make_ref(ActorAddress("test", "/x", "nowhere", 9)).tell(Add(1))
    assert [letter.message for letter in a.letters] == [Add(1), Add(1)]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "dead letter for /x: no way to casty://test@b:1/x")
    ]
    world.clock.skip(1)
    a.local.make_ref(target).tell(Add(1))
    assert caplog.records[-1].getMessage().endswith("(1 more since the last such line)")
    await world.close()


async def test_a_ref_from_a_uri_finds_its_node_by_host_and_port() -> None:
    world = RegionWorld(("a", "b"))
    address_of(world, "b", "x")
    local = world.processes["a"].local
    ref = local.make_ref(ActorAddress.from_uri("casty://test@b:1/x"))
    assert await local.ask(ref, Get, timeout=5) == ("x", 0)
    await world.close()


async def test_a_ref_that_another_system_of_the_process_made_can_be_watched() -> None:
    world = RegionWorld(("a", "b"), ("c",))
    seen: list[Any] = []
    handled: list[Any] = []

    def handle(ctx: ActorContext[Any], message: Any) -> Behavior[Any]:
        handled.append(message)
        return Behaviors.stopped()

    made = [
        world.processes[name].local.spawn(Behaviors.receive(handle), kind)
        for name in ("b", "c")
        for kind in ("watched", "left")
    ]

    async def watch(ctx: ActorContext[Any]) -> Behavior[Any]:
        for ref in made:
            ctx.watch(ref)
            if ref.id == "/left":
                ctx.unwatch(ref)
        return Behaviors.receive(lambda ctx, message: seen.append(message))

    world.processes["a"].local.spawn(Behaviors.setup(watch), "watcher")
    await settle()
    world.processes["a"].local.watching.table.news_of(lambda node_id: node_id == "b")
    assert handled == []
    for ref in made:
        ref.tell("stop")
    await settle()
    assert handled == ["stop"] * 4
    assert seen == [Terminated(ref) for ref in made if ref.id == "/watched"]
    await world.close()


async def test_messages_that_cannot_travel_are_errors_at_the_call() -> None:
    world = RegionWorld(("a", "b"))
    ref = world.processes["a"].local.make_ref(address_of(world, "b", "x"))
    with pytest.raises(EncodingError):
        ref.tell(object())
    with pytest.raises(MessageTooLarge, match="1000"):
        ref.tell("x" * 2000)
    await world.close()


async def test_overtaken_misdirected_and_undecodable_messages_are_dead_letters() -> None:
    world = RegionWorld(("a", "b"))
    b = world.processes["b"]
    address = address_of(world, "b", "x")
    world.network.hold()
    world.processes["a"].local.make_ref(address).tell(Add(1))
    ((_, _, (kind, body)),) = world.network.held
    assert kind == frames.ACTOR
    for _ in range(2):
        b.remote.on_actor("b", body)
    b.remote.on_actor("z", body)
    b.remote.on_actor("b", pack(["b", "/x", "a#1", 99, None, b"\xc1"]))
    assert len(b.letters) == 3
    assert b.remote.overtaken == 1
    world.network.let_pass()
    await settle()
    assert await b.local.ask(b.local.make_ref(address), Get, timeout=5) == ("x", 1)
    await world.close()


async def test_an_undecodable_question_is_refused() -> None:
    world = RegionWorld(("a", "b"))
    a, b = world.processes["a"], world.processes["b"]
    address_of(world, "b", "x")
    sent: list[Any] = []

    class Bad:
        id = "/x"

        def tell(self, message: object) -> None:
            reply = a.local.replies.asking
            assert reply is not None
            sent.append(reply)
            sender = [reply.path, reply.host, reply.port, reply.node_id]
            b.remote.on_actor("b", pack(["b", "/x", "a#1", 1, sender, b"\xc1"]))

    with pytest.raises(EncodingError, match="/x"):
        await a.local.ask(Bad(), Get, timeout=5)
    b.remote.refuse(sent[0], UnknownRegion("too late"))
    await world.close()


async def test_a_reply_that_cannot_be_decoded_ends_its_question() -> None:
    world = RegionWorld(("a", "b"))
    a, b = world.processes["a"], world.processes["b"]
    ref = a.local.make_ref(address_of(world, "b", "x"))
    world.network.hold()
    asking = asyncio.ensure_future(a.local.ask(ref, Get, timeout=5))
    await settle()
    (path,) = [path for path in a.local.endpoints if path.startswith("$ask/")]
    unknown = b.remote.encode(Add(1)).replace(b"Add", b"Odd")
    a.remote.on_actor("a", pack(["a", f"/{path}", "b#1", 1, None, unknown]))
    with pytest.raises(Undecodable, match=r"b:1/x>: the reply cannot be decoded here: .*Odd") as caught:
        await asking
    assert (caught.value.data, caught.value.was_applied) == (unknown, True), "the question was handled"
    assert a.letters == []
    a.remote.on_actor("a", pack(["a", f"/{path}", "b#1", 2, None, unknown]))
    assert len(a.letters) == 1
    await world.close()


@pytest.mark.parametrize(
    "row",
    [
        [],
        ["b", "/x", "a#1", "1", None, b""],
        ["b", "/x", "a#1", 1, None, "text"],
        ["b", "/x", "a#1", 1, ["/p", None, 1, "a"], b""],
        {"a": 1},
    ],
)
async def test_hostile_frames(row: Any) -> None:
    world = RegionWorld(("b",))
    b = world.processes["b"]
    with pytest.raises(RemoteProtocolError):
        b.remote.on_actor("b", pack(row))
    with pytest.raises(RemoteProtocolError):
        b.remote.on_refused(pack(row))
    with pytest.raises(RemoteProtocolError):
        b.router.on_entity(pack(row))
    b.local.spawn(Behaviors.ignore(), "alive")
    await world.close()


@pytest.mark.parametrize("path", ["/$events", "/$registrar", "/$regions", "$events"])
async def test_the_librarys_own_actors_take_nothing_from_other_processes(path: str) -> None:
    world = RegionWorld(("a", "b"))
    b = world.processes["b"]
    taken: list[object] = []
    for name in ("$registrar", "$regions"):
        b.local.add_endpoint(name, taken.append)
    payload = b.remote.encode("anything")
    b.take("a", frames.ACTOR, pack(["b", path, "a#1", 1, None, payload]))
    assert taken == []
    assert [letter.message for letter in b.letters] == ["anything"]
    await world.close()


async def test_a_client_asks_in_nobody_elses_name_over_another_node() -> None:
    """The node that passed it on was believed, and the question of somebody else ended with an error."""
    world = RegionWorld(("a", "b"), ("c",))
    a, b = world.processes["a"], world.processes["b"]
    world.network.hold()
    asking = asyncio.ensure_future(a.local.ask(a.local.make_ref(address_of(world, "b", "x")), Get, timeout=5))
    await settle()
    (path,) = [path for path in a.local.endpoints if path.startswith("$ask/")]
    world.network.held.clear()
    stranger = Speaker(CLIENT, "c#1", lambda node_id: node_id in ("a", "b"))
    for number, name in enumerate(("a", "c"), 1):
        row = ["b", "/x", "c#1", number, [f"/{path}", name, 1, name], b"\xc1"]
        a.remote.on_relay("a", pack(row), True, stranger)
    rows: list[Any] = [unpack(body) for _, _, (kind, body) in world.network.held if kind == frames.ACTOR]
    assert [row[4] for row in rows] == [None, [f"/{path}", "c", 1, "c"]], "its own questions are"
    for row in rows:
        b.remote.on_actor("b", pack(row), Speaker(MEMBER, "a#1", lambda node_id: node_id in ("a", "b")))
    await settle()
    assert not asking.done()
    asking.cancel()
    world.network.let_pass()
    await world.close()


async def test_messages_of_a_node_are_taken_though_a_stranger_had_its_name_before() -> None:
    """Its numbers counted, and those of the node were late: directly, over another node, and for an entity."""
    world = RegionWorld(("a", "b", "c"))
    a, b, c = (world.processes[name] for name in "abc")
    assert b.host is not None
    b.host.register("counter", counter, 10)
    world.lead("b")
    ref = a.local.make_ref(address_of(world, "b", "x"))
    region, payload = a.router.ref("counter", 10), a.remote.encode(Add(100))
    guise = Speaker(STRANGER, "a#1", lambda node_id: node_id == "b", NodeAddress("elsewhere", 1))
    b.remote.on_actor("b", pack(["b", "/x", "a#1", 1000, None, payload]), guise)
    c.remote.on_relay("c", pack(["b", "/x", "a#1", 1001, None, payload]), True, guise)
    b.router.on_entity(pack(["counter", 10, "e", "a#1", 1000, 0, None, payload, "1:c"]), guise)
    c.router.on_entity(pack(["counter", 10, "e", "a#1", 1001, 0, None, payload, "1:c"]), guise)
    ref.tell(Add(1))
    region.tell(ShardEnvelope("e", Add(1)))
    assert await a.local.ask(ref, Get, timeout=5) == ("x", 201)
    assert await a.local.ask(region, lambda reply: ShardEnvelope("e", Get(reply)), timeout=5) == ("e", 201)
    assert b.letters == []
    await world.close()


@pytest.mark.parametrize("node_id", ["b", None])
async def test_nobody_else_says_that_a_watched_actor_is_gone(node_id: str | None) -> None:
    """A ref without the id of a node was taken for one of whoever sent it."""
    world = RegionWorld(("a", "b"), ("c",))
    a = world.processes["a"]
    address = address_of(world, "b", "x")
    address = ActorAddress(address.system, address.path, address.host, address.port, node_id)
    watched = RemoteActorRef[Any](address, lambda address, message: None)
    world.network.cut("a>b")
    seen: list[object] = []

    async def watches(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.watch(watched)
        return Behaviors.receive(lambda _, message: seen.append(message))

    a.local.spawn(Behaviors.setup(watches), "watcher")
    await settle()
    (id,) = a.local.watching.table.mine
    for role, source in ((CLIENT, "c#1"), (CLIENT, "b#1"), (STRANGER, "b#1")):
        speaker = Speaker(role, "c#1", lambda node_id: node_id in ("a", "b"))
        row = ["a", WATCHES, source, 0, None, pack(["", [[GONE, id]]])]
        a.remote.on_watch("a", pack(row), speaker)
    await settle()
    assert seen == []
    await world.close()


def test_members_are_asked_in_turn_to_go_around_a_missing_link_and_not_around_a_full_one() -> None:
    linked = ["c", "d"]
    node: Any = SimpleNamespace(
        node_id="a",
        topology=lambda: SimpleNamespace(members=dict.fromkeys("abcd")),
        linked=lambda: ["a", *linked],
        links=SimpleNamespace(nodes=linked),
    )
    clients: Any = SimpleNamespace(reached_by=lambda client_id: ["d"])
    routes = NodeRoutes(node, clients)
    assert routes.relays_to("b") == ["d"]
    assert sorted(routes.relay_paths_to("b")[0] for _ in range(2)) == ["c", "d"]
    assert sorted(routes.relay_paths_to("b")) == ["c", "d"]
    assert routes.relay_paths_to("client") == ["d"]
    linked.append("b")
    assert routes.relay_paths_to("b") == ()
    linked.clear()
    assert routes.relay_paths_to("b") == []


async def test_who_subscribes_for_the_actor_of_another_process_is_not_heard() -> None:
    world = RegionWorld(("a", "b"), ("c", "d"))
    a = world.processes["a"]
    heard: list[object] = []
    a.local.endpoints["$receptionist"] = heard.append
    speaker = Speaker(CLIENT, "c#1", lambda node_id: node_id in ("a", "b"))
    for number, name in enumerate(("d", "c"), 1):
        subscriber = world.processes["c"].local.make_ref(address_of(world, name, "x"))
        payload = world.processes["c"].remote.encode(Subscribe(ServiceKey[int]("s"), subscriber))
        a.remote.on_actor("a", pack(["a", "/$receptionist", "c#1", number, None, payload]), speaker)
    assert [message.reply_to.id for message in heard if isinstance(message, Subscribe)] == ["/x"]
    assert len(a.letters) == 1
    await world.close()


async def test_what_is_said_of_watches_is_passed_on_and_is_no_message() -> None:
    world = RegionWorld(("a", "b"), ("c", "d"))
    target = world.processes["d"].local.spawn(counter("x"), "x")
    assert isinstance(target, RemoteActorRef)
    c, seen, kinds = world.processes["c"], list[object](), list[int]()
    world.network.cut("c>d", "a>d")
    plain_send = world.send

    def send(source: str, to: str, kind: int, body: bytes) -> bool:
        kinds.append(kind)
        return plain_send(source, to, kind, body)

    vars(world)["send"] = send
    away: ActorRef[Any] = c.local.make_ref(target.address)

    async def watches(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.watch(away)
        return Behaviors.receive(lambda _, message: seen.append(message))

    c.local.spawn(Behaviors.setup(watches), "watcher")
    await settle()
    world.processes["d"].local.cells["x"].stop()
    await settle()
    assert seen == [Terminated(away)]
    assert list(dict.fromkeys(kinds)) == [frames.WATCH]
    await world.close()
