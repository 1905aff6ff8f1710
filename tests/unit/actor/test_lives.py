"""A ref names one life: what is for a former one is nobody else's mail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from casty.actor.behavior import Behavior, Behaviors
from casty.actor.context import ActorContext
from casty.actor.events import DeadLetter, EventStreamSubscribe, Terminated
from casty.actor.local import LocalSystem, Origin
from casty.actor.ref import ActorRef, RemoteActorRef
from casty.actor.services import Register
from casty.address import ActorAddress
from casty.cluster.actors.remote import Remote
from casty.errors import AskFailed
from casty.runtime import current
from tests.kit.clock import settle
from tests.unit.cluster.actors.test_services import PRINTER, Registry, instances
from tests.unit.cluster.region_world import Add, Get, Process, RegionWorld, counter

ORIGINS = [None, Origin("h", 1, "me", "1")]


def once(seen: list[Any]) -> Behavior[Any]:
    def handle(ctx: ActorContext[Any], message: Any) -> Behavior[Any]:
        seen.append(message)
        return Behaviors.stopped()

    return Behaviors.receive(handle)


def watching(ref: ActorRef[Any], heard: list[Any]) -> Behavior[Any]:
    async def start(ctx: ActorContext[Any]) -> Behavior[Any]:
        ctx.watch(ref)
        return Behaviors.receive(lambda ctx, message: heard.append(message))

    return Behaviors.setup(start)


@pytest.mark.parametrize("origin", ORIGINS, ids=["plain", "clustered"])
async def test_a_name_that_is_used_again_is_another_life(origin: Origin | None) -> None:
    local, letters, first, second, heard = (
        LocalSystem("test", current(), origin=origin), list[Any](), list[Any](), list[Any](), list[Any](),
    )  # fmt: skip
    local.event_stream.tell(EventStreamSubscribe(DeadLetter, letters.append))
    old = local.spawn(once(first), "x")
    old.tell(1)
    await settle()
    new = local.spawn(once(second), "x")
    old.tell(2)
    local.spawn(watching(old, heard), "watcher")
    await settle()
    assert (first, second) == ([1], [])
    assert [letter.message for letter in letters] == [2]
    assert heard == [Terminated(old)], "the other one lives, and is nobody's concern"
    assert local.living(new) is not None and local.living(old) is None
    assert local.lookup("x") is new
    await local.shutdown()


def former(process: Process, ref: Any, **life: Any) -> ActorRef[Any]:
    return process.local.make_ref(replace(ref.address, **life))


@pytest.mark.parametrize("at", ["a", "b"])
async def test_a_message_for_a_former_life_is_a_dead_letter_where_it_arrives(at: str) -> None:
    world = RegionWorld(("a", "b"))
    for name, process in world.processes.items():
        process.local.origin = Origin(name, 1, name, "1")
    target = world.processes["b"].local.spawn(counter("x"), "x")
    letters = world.processes["b"].letters
    for life in ({"number": 99}, {"incarnation": "0"}):
        ref = former(world.processes[at], target, **life)
        ref.tell(Add(5))
        await settle()
        assert isinstance(letters.pop(), DeadLetter)
        with pytest.raises(AskFailed, match="has ended"):
            await world.processes[at].local.ask(ref, Get, timeout=5)
    whoever = former(world.processes[at], target, incarnation=None, number=None)
    whoever.tell(Add(1))
    assert await world.processes[at].local.ask(whoever, Get, timeout=5) == ("x", 1)
    await world.close()


async def test_a_ref_keeps_its_life_on_its_way() -> None:
    world = RegionWorld(("a", "b"))
    for name, process in world.processes.items():
        process.local.origin = Origin(name, 1, name, "1")
    a, b = (world.processes[name] for name in ("a", "b"))
    own = a.local.spawn(counter("x"), "x")
    assert isinstance(own, RemoteActorRef)
    assert (own.address.incarnation, own.address.number) == ("1", a.local.cells["x"].number)
    there = b.remote.decode(a.remote.encode(own))
    assert there == own and hash(there) == hash(own)
    assert a.remote.decode(b.remote.encode(there)) is own
    plain = former(a, own, incarnation=None, number=None)
    assert plain is own, "whoever is there now"
    assert ActorAddress.from_uri(own.address.to_uri()).number is None
    assert replace(ActorAddress.from_uri(own.address.to_exact_uri()), node_id="a") == own.address
    await world.close()


@pytest.mark.parametrize(
    "uri",
    [
        "casty://s@h;1.2:5/x", "casty://s@h:5;/x", "casty://s@h:5;1/x", "casty://s@h:5;.1/x", "casty://s@h:5;a.-1/x",
        f"casty://s@h:5;a.{10**18}/x",
    ],
)  # fmt: skip
def test_uris_that_name_no_life(uri: str) -> None:
    with pytest.raises(ValueError, match="casty://"):
        ActorAddress.from_uri(uri)


async def test_the_end_of_a_service_does_not_unlist_its_successor() -> None:
    world = RegionWorld(("a", "b"))
    registry = Registry(world)
    process = world.processes["a"]
    process.local.origin = Origin("a", 1, "a", "1")
    receptionist, elsewhere = (registry.receptionist(world.processes[name]) for name in ("a", "b"))
    old = process.local.spawn(once([]), "p")
    receptionist.ref.tell(Register(PRINTER, old))
    await settle()
    process.local.cells["p"].stop()
    await process.local.cells["p"].stopped.wait()
    new = process.local.spawn(Behaviors.ignore(), "p")
    receptionist.ref.tell(Register(PRINTER, new))
    await settle()
    assert instances(receptionist.listing(PRINTER)) == ["a/p"]
    for at in (receptionist, elsewhere):
        assert [instance.ref for instance in at.listing(PRINTER).instances] == [new], "exactly that life"
    await world.close()


@pytest.mark.parametrize("statuses", [("up", "down"), ("down", "up"), ("removed", "joining")])
async def test_of_two_members_at_an_address_the_likelier_one_is_found(statuses: tuple[str, str]) -> None:
    world = RegionWorld(("a", "b"))
    assert world.topology is not None
    rows = {
        name: world.topology.members["b"]._replace(node_id=name, status=status)
        for name, status in zip(("first", "second"), statuses, strict=True)
    }
    world.topology = replace(world.topology, members=rows)
    remote: Remote = world.processes["a"].remote
    likelier = [name for name in rows if rows[name].status in ("up", "joining")]
    assert remote.node_at("b", 1) == likelier[0]
    assert remote.node_at("c", 1) is None
    await world.close()
