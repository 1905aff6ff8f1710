"""A local system whose actors are reached from other processes."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from casty import runtime
from casty.actor.behavior import Behavior, Behaviors, Signal
from casty.actor.cluster_refs import BroadcastRef, SingletonRef
from casty.actor.context import ActorContext
from casty.actor.events import DeadLetter, EventStreamSubscribe, Terminated
from casty.actor.local import LocalSystem, Origin
from casty.actor.mailbox import Mailbox, MailboxOverflowStrategy
from casty.actor.ref import ActorRef, LocalActorRef, RemoteActorRef
from casty.actor.services import ServiceKey
from casty.actor.sharding import ShardEnvelope, shard_of
from casty.actor.standing import Standing
from casty.actor.watch_protocol import Row
from casty.address import ActorAddress
from casty.wire.codec import default_codec
from tests.unit.actor.probes import Recorder

pytestmark = pytest.mark.asyncio


@dataclass(frozen=True)
class Get:
    reply_to: ActorRef[Any]


class Wire:
    """Carries messages between systems by node id, at once; refs inside are remade as the codec would."""

    def __init__(self) -> None:
        self.systems: dict[str, LocalSystem] = {}
        self.senders: list[ActorAddress | None] = []
        self.lost: list[str] = []

    def add(self, node_id: str) -> LocalSystem:
        origin = Origin(node_id, 1, node_id)
        system = LocalSystem("test", runtime.current(), origin=origin, remote=self)
        self.systems[node_id] = system
        system.watching.join(Others(self, node_id))
        return system

    def send(self, address: ActorAddress, message: Any, sender: ActorAddress | None) -> None:
        self.senders.append(sender)
        target = self.systems[str(address.node_id)]
        names = [name for name in ("reply_to", "ref") if hasattr(message, name)]
        for name in names:
            message = type(message)(target.make_ref(getattr(message, name).address))
        target.receive(address.path, message, sender)


class Others:
    """Who is there, for one system on a wire."""

    judges = True
    grace_ns = 0

    def __init__(self, wire: Wire, node_id: str) -> None:
        self._wire = wire
        self._node_id = node_id

    def standing(self, node_id: str, incarnation: str) -> Standing:
        return Standing.DOWN if node_id in self._wire.lost else Standing.MEMBER

    def node_at(self, host: str | None, port: int | None) -> str | None:
        return host

    def is_sighted(self) -> bool:
        return True

    def guardian(self) -> str | None:
        return None

    def say(self, key: str, rows: list[Row]) -> bool:
        self._wire.systems[key.partition("#")[0]].watching.take(f"{self._node_id}#1", rows)
        return True


async def test_own_refs_are_addresses_and_are_found_again() -> None:
    node = Wire().add("a")
    ref = node.spawn(Behaviors.ignore(), "x")
    assert isinstance(ref, RemoteActorRef)
    assert ref.id == ref.address.path == "/x"
    assert node.make_ref(ActorAddress("test", "/x", "a", 1, "a")) is ref is node.lookup("/x")
    assert node.make_ref(ActorAddress("test", "/x", "a", 1)) is ref
    with pytest.raises(AttributeError):
        ref.__setattr__("address", ActorAddress("test", "/y"))
    await node.shutdown()


async def test_ask_over_the_wire() -> None:
    wire = Wire()
    one, two = wire.add("a"), wire.add("b")
    here = two.spawn(Behaviors.receive(lambda ctx, message: message.reply_to.tell("pong")), "echo")
    assert isinstance(here, RemoteActorRef)
    away = one.make_ref(here.address)
    assert away == here
    assert await one.ask(away, Get, timeout=1) == "pong"
    assert wire.senders[0] is not None and wire.senders[0].node_id == "a"
    assert wire.senders[1] is None
    await one.shutdown()
    await two.shutdown()


async def test_unknown_paths_and_full_mailboxes_from_the_network_are_dead_letters() -> None:
    node = Wire().add("a")
    letters = Recorder()
    node.event_stream.tell(EventStreamSubscribe(DeadLetter, letters))
    assert node.receive("/nobody", "x") is False
    node.spawn(Behaviors.ignore(), "full", mailbox=Mailbox(1, MailboxOverflowStrategy.reject))
    assert node.receive("/full", 1) is True
    assert node.receive("/full", 2) is False
    assert [letter.message for letter in letters.values] == ["x", 2]
    assert node.dead_letters == 2
    await node.shutdown()


async def test_a_question_can_be_refused_by_its_path() -> None:
    wire = Wire()
    one, two = wire.add("a"), wire.add("b")
    silent = two.spawn(Behaviors.ignore(), "silent")
    assert isinstance(silent, RemoteActorRef)
    asking = asyncio.ensure_future(one.ask(one.make_ref(silent.address), Get, timeout=5))
    await asyncio.sleep(0)
    sender = wire.senders[0]
    assert sender is not None
    one.replies.fail(sender.path, LookupError("refused"))
    with pytest.raises(LookupError, match="refused"):
        await asking
    one.replies.fail(sender.path, LookupError("again"))
    await one.shutdown()
    await two.shutdown()


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0)


async def watch_from(wire: Wire, node_id: str, address: ActorAddress) -> tuple[LocalSystem, Recorder]:
    node, seen = wire.add(node_id), Recorder()

    async def setup(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.watch(node.make_ref(address))
        ready.set()
        return seen.behavior()

    ready = asyncio.Event()
    node.spawn(Behaviors.setup(setup), "watcher")
    await ready.wait()
    return node, seen


async def test_remote_watch_tells_of_stop_of_absence_and_of_node_loss() -> None:
    wire = Wire()
    home = wire.add("home")
    target = home.spawn(Behaviors.receive(lambda ctx, message: Behaviors.stopped()), "target")
    other = home.spawn(Behaviors.ignore(), "other")
    assert isinstance(target, RemoteActorRef) and isinstance(other, RemoteActorRef)
    one, stop_seen = await watch_from(wire, "a", target.address)
    two, loss_seen = await watch_from(wire, "b", other.address)
    target.tell("stop")
    assert await stop_seen.until(1) == [Terminated(one.make_ref(target.address))]
    three, absence_seen = await watch_from(wire, "c", target.address)
    assert len(await absence_seen.until(1)) == 1
    two.watching.table.news_of(lambda node_id: True)
    wire.lost.append("home")
    two.watching.table.look()
    two.watching.table.look()
    assert await loss_seen.until(1) == [Terminated(two.make_ref(other.address))]
    wire.lost.clear()
    two.watching.table.look()
    await until(lambda: home.watching.table.watchers_of(home.cells["other"].number) == 0)
    for node in (one, two, three, home):
        await node.shutdown()


async def test_local_refs_do_not_leave_the_process() -> None:
    ref = LocalActorRef[int]("x", lambda path, message: None)
    with pytest.raises(RuntimeError, match="ClusteredActorSystem"):
        default_codec().encode(ref)


async def test_shards_are_the_first_four_bytes_of_md5() -> None:
    assert shard_of("user-42", 100) == 87
    assert shard_of("", 100) == int("d41d8cd9", 16) % 100


async def test_generic_values_can_be_subscripted() -> None:
    assert ServiceKey[int]("x") == ServiceKey("x")
    assert ShardEnvelope[int]("e", 1) == ShardEnvelope("e", 1)
    assert Behavior[int](signal=Signal.same) == Behaviors.same()


async def test_a_copy_of_a_message_has_the_same_refs() -> None:
    plain = LocalSystem("test", runtime.current())
    remote = Wire().add("n1")
    region: ActorRef[Any] = remote.add_endpoint("region", lambda message: None)
    refs: list[ActorRef[Any]] = [
        plain.spawn(Behaviors.ignore(), "a"),
        remote.spawn(Behaviors.ignore(), "a"),
        SingletonRef("single", region),
        BroadcastRef("all", list),
    ]
    for ref in refs:
        message = Get(ref)
        assert copy.deepcopy(message).reply_to is ref and copy.copy(ref) is ref
        assert dataclasses.asdict(message) == {"reply_to": ref}
        with pytest.raises(TypeError, match="cannot be pickled, for it works in this process only"):
            pickle.dumps(message)


async def test_a_ref_is_a_value() -> None:
    system = Wire().add("n1")
    ref, other = (system.spawn(Behaviors.ignore(), name) for name in "ab")
    assert isinstance(ref, RemoteActorRef)
    again = system.make_ref(ActorAddress.from_uri(ref.address.to_exact_uri()))
    assert isinstance(again, RemoteActorRef)
    assert ref == RemoteActorRef(ref.address, print) != other and ref != ref.id
    assert len({ref, RemoteActorRef(ref.address, print), other}) == 2
    with pytest.raises(AttributeError, match="cannot be changed"):
        ref.address = again.address
    with pytest.raises(AttributeError, match="cannot be changed"):
        del ref.post
