"""The way into a cluster: what a process says, whom it believes, when it asks, and when it stops."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.control.formation import JOINING, PREPARE, STARTED, Policy
from casty.cluster.control.machine import JOIN, STATUS
from casty.cluster.node.bootstrap import ASK_AGAIN_NS, COMPLAIN_NS, MEMBER, TICK_NS
from casty.config import SECOND_NS
from casty.errors import RemoteProtocolError
from casty.wire import frames
from casty.wire.pack import pack, unpack
from tests.kit.arrivals import GENERATION, ArrivalWorld, Link, Member, Newcomer


def sent(world: ArrivalWorld, kind: int) -> list[tuple[str, str]]:
    """Return (sender, receiver) of the frames of a kind that are under way."""
    return [(flight.sender, flight.to) for flight in world.network.flights if flight.message[0] == kind]


def alone(seeds: str = "ab", needed: int = 2) -> tuple[ArrivalWorld, Newcomer]:
    """Return a process d with seeds a and b, which are members it has dialled."""
    world = ArrivalWorld()
    world.members("a", "b")
    return world, world.newcomer("d", seeds, needed)


def apply_joins(world: ArrivalWorld) -> None:
    for entry in dict.fromkeys(world.proposed):
        world.machine.apply(entry)
    world.proposed.clear()


def member_answer(cluster_id: str = "f", *, knows: bool = False, rows: Any = (("a", 1), ("e", 1))) -> bytes:
    return pack([MEMBER, GENERATION, cluster_id, [list(row) for row in rows], knows])


# -- founding


def test_two_seeds_found_and_each_is_told_the_document_once() -> None:
    world = ArrivalWorld()
    newcomers = [world.newcomer(name, "ab") for name in "ab"]
    for newcomer in newcomers:
        newcomer.bootstrap.begin()
    world.pass_s(3)
    assert [len(newcomer.founded) for newcomer in newcomers] == [1, 1]
    assert newcomers[0].founded == newcomers[1].founded
    assert [newcomer.bootstrap.is_done for newcomer in newcomers] == [True, True]
    assert not any(newcomer.joined or newcomer.complaints for newcomer in newcomers)


def test_who_started_still_tells_who_missed_it_until_it_is_settled() -> None:
    world = ArrivalWorld()
    first, second = (world.newcomer(name, "ab") for name in "ab")
    first.bootstrap.begin()
    second.bootstrap.begin()
    while not first.founded:
        world.clock.advance(0.25)
        world.network.deliver(1)
    world.network.lose()
    assert not second.founded
    world.pass_s(0.5)
    assert second.founded == first.founded
    first.bootstrap.on_control_state("")
    second.bootstrap.on_control_state("f")
    assert second.bootstrap.cluster_id == "f"
    world.pass_s(1)
    assert world.clock.live() == 0, "nobody asks around any more"


def test_it_says_who_it_is_to_everybody_four_times_a_second() -> None:
    world, newcomer = alone()
    newcomer.bootstrap.begin()
    assert sent(world, frames.FOUNDING) == [("d", "a"), ("d", "b")]
    assert world.clock.due() == [world.clock.now() + TICK_NS]
    world.clock.advance_to(world.clock.now() + TICK_NS)
    assert sent(world, frames.FOUNDING) == [("d", "a"), ("d", "b")] * 2


def test_a_new_link_is_told_at_once_and_none_that_comes_later() -> None:
    world, newcomer = alone()
    link: Any = Link(world, "d", "a")
    newcomer.bootstrap.met(link)
    assert sent(world, frames.FOUNDING) == [("d", "a")]
    newcomer.bootstrap.close()
    newcomer.bootstrap.met(link)
    assert sent(world, frames.FOUNDING) == [("d", "a")]


# -- joining


def test_it_asks_all_members_to_join_until_one_says_that_it_is_a_member() -> None:
    world, newcomer = alone()
    newcomer.bootstrap.begin()
    world.network.deliver()
    assert newcomer.founding.phase == JOINING and sent(world, frames.JOIN) == []
    world.clock.advance_to(world.clock.now() + TICK_NS)
    assert sent(world, frames.JOIN) == [("d", "a"), ("d", "b")]
    world.network.deliver()
    [row] = [unpack(entry) for entry in dict.fromkeys(world.proposed)]
    assert row == [JOIN, "d", "1", "d", 1, [None, 100, []]]
    world.pass_s(1)
    assert newcomer.joined == [] and not newcomer.bootstrap.is_done
    apply_joins(world)
    world.pass_s(0.25)
    assert newcomer.joined == [GENERATION] and newcomer.bootstrap.is_done
    world.pass_s(1)
    assert newcomer.joined == [GENERATION], "it is told once"


def test_members_tell_of_all_members_and_these_are_dialled() -> None:
    world, newcomer = alone()
    newcomer.bootstrap.begin()
    world.network.deliver()
    assert newcomer.links.told == ["a", "b"]


def test_what_a_member_says_counts_only_from_a_named_address() -> None:
    world, newcomer = alone()
    newcomer.links.dialled = {"b": None}
    link: Any = Link(world, "d", "a")
    newcomer.bootstrap.on_frame(link, member_answer())
    assert newcomer.founding.phase != JOINING and newcomer.bootstrap.heard_generation == 0
    newcomer.links.dialled["a"] = None
    newcomer.bootstrap.on_frame(link, member_answer())
    assert newcomer.founding.phase == JOINING and newcomer.bootstrap.heard_generation == GENERATION


def test_what_moves_a_ballot_counts_only_from_a_named_address_and_a_view_from_all() -> None:
    world = ArrivalWorld()
    first, second = (world.newcomer(name, "ab") for name in "ab")
    second.links.dialled.clear()
    link: Any = Link(world, "b", "a")
    second.bootstrap.on_frame(link, pack(first.founding.view()))
    assert [row.identity.node_id for row in second.founding._participants(world.clock.now())] == ["a", "b"]
    prepare = pack([PREPARE, 1, "a#1", ["a:1", "b:1"]])
    second.bootstrap.on_frame(link, prepare)
    assert sent(world, frames.FOUNDING) == []
    second.links.dialled["a"] = None
    second.bootstrap.on_frame(link, prepare)
    assert sent(world, frames.FOUNDING) == [("b", "a")]


def test_a_seed_of_another_cluster_is_not_followed_by_one_that_knows_its_own() -> None:
    world, newcomer = alone()
    newcomer.bootstrap.cluster_id = "mine"
    link: Any = Link(world, "d", "a")
    newcomer.bootstrap.on_frame(link, member_answer("other"))
    assert newcomer.links.told == [] and newcomer.founding.phase != JOINING
    newcomer.bootstrap.on_frame(link, member_answer("mine"))
    assert newcomer.links.told == ["a", "e"]


def test_whoever_knows_its_cluster_from_disk_founds_and_joins_nothing_and_asks_nobody() -> None:
    world, newcomer = alone()
    newcomer.bootstrap.restored("f")
    assert newcomer.bootstrap.is_done and newcomer.bootstrap.cluster_id == "f"
    link: Any = Link(world, "d", "a")
    newcomer.bootstrap.on_frame(link, member_answer(knows=True))
    assert newcomer.links.told == ["a", "e"], "where the members are it wants to know"
    assert newcomer.joined == [] == newcomer.founded
    assert world.clock.live() == 0


def test_one_that_was_given_up_on_its_way_asks_again_once_a_second() -> None:
    world, newcomer = alone()
    bootstrap = newcomer.bootstrap
    assert not bootstrap.ask_again(world.clock.now() + 10 * ASK_AGAIN_NS), "its own rounds ask"
    bootstrap.begin()
    world.pass_s(0.5)
    apply_joins(world)
    world.pass_s(0.5)
    assert bootstrap.is_done
    began_ns = SECOND_NS
    asked = [
        bootstrap.ask_again(began_ns + at_ns) for at_ns in (ASK_AGAIN_NS - 1, ASK_AGAIN_NS, ASK_AGAIN_NS + 1)
    ]
    assert asked == [False, True, False]
    assert sent(world, frames.JOIN) == [("d", "a"), ("d", "b")]


def test_a_member_that_was_cut_off_asks_named_ones_where_the_others_are_once_a_second() -> None:
    world, newcomer = alone()
    newcomer.links.dialled = {"b": None}
    newcomer.bootstrap.look_around()
    newcomer.bootstrap.look_around()
    assert sent(world, frames.FOUNDING) == [("d", "b")]
    world.clock.skip_to(world.clock.now() + ASK_AGAIN_NS)
    newcomer.bootstrap.look_around()
    assert sent(world, frames.FOUNDING) == [("d", "b")] * 2


# -- seeds and complaints


def test_seeds_may_be_others_until_it_has_its_place() -> None:
    _, newcomer = alone()
    others = Policy(("x:1", "y:1"), 2, SECOND_NS)
    newcomer.bootstrap.reseed(others)
    assert newcomer.founding.policy == others
    newcomer.bootstrap.close()
    newcomer.bootstrap.reseed(Policy(("z:1",), 1, SECOND_NS))
    assert newcomer.founding.policy == others


def test_it_complains_every_five_seconds_until_it_is_in() -> None:
    world = ArrivalWorld()
    newcomer = world.newcomer("a", "ab")
    newcomer.bootstrap.begin()
    world.clock.advance_to(world.clock.now() + COMPLAIN_NS - 1)
    assert newcomer.complaints == []
    world.clock.advance(10)
    assert len(newcomer.complaints) == 2
    newcomer.bootstrap.close()
    world.clock.advance(10)
    assert len(newcomer.complaints) == 2


def test_it_says_whom_it_sees_what_they_seek_and_why_others_are_not_there() -> None:
    world = ArrivalWorld()
    newcomer, other = world.newcomer("a", "abc"), world.newcomer("b", "bc")
    newcomer.troubles, newcomer.links.why = ["c: no such name"], ["c:1: connection refused"]
    link: Any = Link(world, "a", "b")
    newcomer.bootstrap.on_frame(link, pack(other.founding.view()))
    assert newcomer.bootstrap.describe() == (
        "not in a cluster yet: blank; linked with b; own seed set ['a:1', 'b:1', 'c:1']; other seed sets met: "
        "{'b': ['b:1', 'c:1']}; c: no such name; c:1: connection refused"
    )


def test_who_accepted_says_who_founds_and_who_of_the_founders_is_silent() -> None:
    world = ArrivalWorld()
    newcomers = {name: world.newcomer(name, "ab") for name in "ab"}
    for newcomer in newcomers.values():
        newcomer.bootstrap.begin()
    second = newcomers["b"]
    while second.founding.document is None:
        world.clock.advance(0.25)
        world.network.deliver(3)
    world.network.lose()
    assert second.founding.phase != STARTED
    world.network.cut("a-b")
    world.clock.skip(3)
    text = second.bootstrap.describe()
    assert "acked; linked with nobody" in text
    assert "the founder is a: restart it if it does not answer" in text
    assert "also names a, not heard of: start them" in text


# -- what is no answer


@pytest.mark.parametrize(
    "message",
    [7, [], {}, [MEMBER], [MEMBER, 1, "f", 7, True], [MEMBER, 1, "f", [["a"]], True], [MEMBER, 1, "f", [["a", "1"]], 1],
     [MEMBER, 1, "f", [7], True]],
    ids=repr,
)  # fmt: skip
def test_nonsense_is_a_remote_protocol_error(message: object) -> None:
    world, newcomer = alone()
    link: Any = Link(world, "d", "a")
    with pytest.raises(RemoteProtocolError, match="founding: expected"):
        newcomer.bootstrap.on_frame(link, pack(message))


# -- members


def test_only_the_leader_proposes_and_the_others_pass_the_question_on() -> None:
    world, newcomer = alone()
    newcomer.bootstrap.begin()
    world.network.deliver()
    world.network.cut("a-d")
    world.clock.advance(0.25)
    world.network.deliver(1)
    assert sent(world, frames.JOIN) == [("b", "a")] and not world.proposed
    world.network.deliver()
    assert not world.proposed, "the leader has no link to it"
    leader = world.at["a"]
    assert isinstance(leader, Member) and leader.links.guests == ["d"], "but dials it"
    world.network.heal()
    world.pass_s(0.25)
    assert world.proposed


def test_a_member_that_is_known_is_not_proposed_again_unless_it_was_given_up() -> None:
    world, newcomer = alone()
    newcomer.bootstrap.begin()
    world.pass_s(0.5)
    apply_joins(world)
    leader, link = world.at["a"], Link(world, "a", "d")
    body = pack(newcomer.identity.plain)
    leader.take(link, frames.JOIN, body)
    assert not world.proposed
    world.machine.apply(pack([STATUS, "d", "1", "removed"]))
    leader.take(link, frames.JOIN, body)
    assert world.proposed


def test_a_process_speaks_for_itself_only_where_it_is_passed_on() -> None:
    world, newcomer = alone()
    world.newcomer("x", "ab")
    world.at["b"].take(Link(world, "b", "x"), frames.JOIN, pack(newcomer.identity.plain))
    assert sent(world, frames.JOIN) == []
    world.at["b"].take(Link(world, "b", "d"), frames.JOIN, pack(newcomer.identity.plain))
    assert sent(world, frames.JOIN) == [("b", "a")]


def test_a_founder_that_missed_the_start_hears_of_it_before_it_is_told_to_join() -> None:
    world, newcomer = alone()
    member = world.at["a"]
    assert isinstance(member, Member)
    view = pack(newcomer.founding.view())
    member.take(Link(world, "a", "d"), frames.FOUNDING, view)
    assert member.heard == [view] and sent(world, frames.FOUNDING) == [("a", "d")]
    prepare = pack([PREPARE, 1, "d#1", ["a:1", "b:1"]])
    member.take(Link(world, "a", "d"), frames.FOUNDING, prepare)
    assert member.heard == [view, prepare] and len(sent(world, frames.FOUNDING)) == 1, (
        "only a view is answered"
    )
    with pytest.raises(RemoteProtocolError, match="the id of a node"):
        member.take(Link(world, "a", "d"), frames.FOUNDING, pack([1, 7, "1"]))
