"""Founding: one cluster and only one, whatever is lost, doubled, late or restarted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.cluster.control.formation import (
    ACKED,
    BLANK,
    JOINING,
    PREPARE,
    STARTED,
    Founding,
    Identity,
    Outbox,
    Policy,
)  # fmt: skip
from casty.errors import RemoteProtocolError
from tests.kit.network import Flight
from tests.kit.world import World

TICK_S = 0.25


def document_of(name: str) -> Callable[[str, list[Identity], int], dict[str, Any]]:
    def document(founding_id: str, founders: list[Identity], generation: int) -> dict[str, Any]:
        return {
            "id": founding_id, "founder": name, "generation": generation, "cluster_id": founding_id,
            "founders": [founder.plain for founder in founders],
        }  # fmt: skip

    return document


Message = list[Any]


class FoundingWorld(World[Message]):
    """Processes that found each other."""

    def __init__(self, needed: int = 3, names: str = "abc") -> None:
        super().__init__(0)
        self.names = names
        self.seeds = tuple(f"{name}:1" for name in names)
        self.incarnations = 0
        self.needed = needed
        self.processes: dict[str, Founding] = {}
        self.started: dict[str, dict[str, Any]] = {}
        for name in names:
            self.restart(name)

    def restart(self, name: str) -> None:
        self.incarnations += 1
        identity = Identity(name, f"i{self.incarnations}", name, 1)

        self.processes[name] = Founding(
            identity, Policy(self.seeds, self.needed, 1_000_000_000), document_of(name), self.clock.now()
        )

    def key(self, name: str) -> str:
        return self.processes[name].identity.key

    def round(self, names: str = "abc", loses: Callable[[Flight[Message]], bool] | None = None) -> None:
        """Let some show themselves and do what is due, and deliver what follows but for what it loses."""
        self.network.loses = loses
        self.clock.skip(TICK_S)
        for name in names:
            process = self.processes[name]
            for other in names:
                if other != name:
                    self.network.send(name, other, process.view())
            self._send(name, process.tick(self.clock.now()))
        self.network.deliver()

    def _send(self, sender: str, outbox: Outbox) -> None:
        for to, message in outbox:
            self.network.send(sender, to, message)

    def receive(self, sender: str, to: str, message: Message) -> None:
        self._send(to, self.processes[to].step(self.clock.now(), self.key(sender), message))

    def phases(self) -> list[str]:
        return [self.processes[name].phase for name in "abc"]


def test_three_blank_nodes_found_one_cluster() -> None:
    world = FoundingWorld()
    for _ in range(3):
        world.round()
    assert world.phases() == [STARTED] * 3
    documents = [world.processes[name].document for name in "abc"]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0] is not None and documents[0]["founder"] == "a"


def test_nobody_founds_while_a_seed_is_missing() -> None:
    world = FoundingWorld()
    for _ in range(100):
        world.round("ab")
    assert world.phases()[:2] == [BLANK, BLANK]


def test_a_smaller_quorum_founds_without_the_rest_after_listening() -> None:
    world = FoundingWorld(needed=2)
    world.round("ab")
    assert world.phases()[:2] == [BLANK, BLANK]
    for _ in range(8):
        world.round("ab")
    assert world.phases()[:2] == [STARTED, STARTED]


def test_a_lonely_node_founds_after_listening() -> None:
    founding = Founding(Identity("a", "i", "a", 1), Policy(("a:1",), 1, 1_000_000_000), document_of("a"), 0)
    founding.tick(0)
    assert founding.phase == BLANK
    founding.tick(1_000_000_000)
    assert founding.phase == STARTED


def test_a_blank_node_that_meets_a_member_joins() -> None:
    world = FoundingWorld()
    world.processes["a"].join_instead("other")
    assert world.processes["a"].phase == JOINING


def test_an_offer_that_lacks_an_answer_is_taken_back() -> None:
    world = FoundingWorld()
    world.round()
    world.restart("a")
    world.restart("b")
    world.restart("c")
    world.round()
    world.network.lose()

    def b_is_deaf(flight: Flight[Message]) -> bool:
        return flight.to == "b"

    for _ in range(20):
        world.round(loses=b_is_deaf)
    assert STARTED not in world.phases()
    for _ in range(10):
        world.round()
    assert world.phases() == [STARTED] * 3


def test_an_acknowledger_finishes_for_a_dead_founder() -> None:
    world = FoundingWorld()

    def starts_are_lost(flight: Flight[Message]) -> bool:
        return world.processes["a"].phase == STARTED

    world.round(loses=starts_are_lost)
    while world.processes["a"].phase != STARTED:
        world.round(loses=starts_are_lost)
    assert world.phases()[1:] == [ACKED, ACKED]
    for _ in range(16):
        world.round("bc")
    assert world.phases()[1:] == [STARTED, STARTED]


def test_nonsense_is_a_remote_protocol_error() -> None:
    world = FoundingWorld()
    for message in ([], [99], [1], [1, "a"], [2, {}], [2, 7], [3]):
        with pytest.raises(RemoteProtocolError):
            world.processes["b"].step(0, "a#i1", message)


def test_views_and_ballots_speak_for_their_sender_only() -> None:
    world = FoundingWorld()
    b = world.processes["b"]
    with pytest.raises(RemoteProtocolError):
        b.step(0, "a#i1", world.processes["c"].view())
    with pytest.raises(RemoteProtocolError):
        b.step(0, "a#i1", [PREPARE, 1, "c#i3", list(world.seeds)])


def test_one_dead_founder_of_two_sides_does_not_stop_those_who_see_each_other() -> None:
    """b is seen by c, d and e, but it sees a, too, who does not see enough to found."""
    world = FoundingWorld(needed=3, names="abcde")

    def only_b_hears_a(flight: Flight[Message]) -> bool:
        return "a" in flight[:2] and "b" not in flight[:2]

    for _ in range(40):
        world.round("abcd", loses=only_b_hears_a)
    assert [world.processes[name].phase for name in "bcd"] == [STARTED] * 3


def test_the_generation_is_above_all_that_any_founder_heard_or_shows() -> None:
    world = FoundingWorld()
    world.processes["b"].hear(500)
    world.processes["c"]._wall_s = lambda: 400
    for _ in range(4):
        world.round()
    document = world.processes["a"].document
    assert document is not None and document["generation"] == 501


def test_nobody_founds_before_its_clock_moved() -> None:
    world = FoundingWorld()
    world.processes["c"]._wall_s = lambda: None
    for _ in range(8):
        world.round()
    assert STARTED not in world.phases()
    world.processes["c"]._wall_s = lambda: 7
    for _ in range(20):
        world.round()
    assert world.phases() == [STARTED] * 3


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_two_foundings_never_both_get_a_majority(data: st.DataObject) -> None:
    """Under loss, silence and restarts no two documents are ever started by a majority of their founders."""
    world = FoundingWorld(needed=data.draw(st.sampled_from([2, 3])))
    by_document: dict[str, dict[str, None]] = {}
    for _ in range(data.draw(st.integers(5, 60))):
        awake = data.draw(st.sampled_from(["abc", "ab", "bc", "ac", "abc"]))
        lost = data.draw(st.sets(st.sampled_from(["ab", "ba", "ac", "ca", "bc", "cb"]), max_size=3))
        if data.draw(st.integers(0, 9)) == 0 and world.needed == 3:
            name = data.draw(st.sampled_from("abc"))
            world.restart(name)
        world.round(awake, loses=lambda flight, lost=lost: flight.sender + flight.to in lost)
        for name in "abc":
            process = world.processes[name]
            if process.phase == STARTED and process.document is not None:
                by_document.setdefault(process.document["id"], {})[process.identity.key] = None
        alive = {process.identity.key for process in world.processes.values()}
        serving = [
            founding_id for founding_id, keys in by_document.items() if sum(key in alive for key in keys) >= 2
        ]
        assert len(serving) <= 1, serving


def test_seeds_may_be_others_before_anything_was_promised_and_not_after() -> None:
    world = FoundingWorld(names="abc")
    others = Policy(("b:1", "c:1", "d:1"), 3, 1_000_000_000)
    few = Policy(("a:1", "b:1"), 3, 1_000_000_000)
    for name in "abc":
        assert world.processes[name].reseed(few)
    world.round()
    assert world.phases() == [BLANK] * 3, "two are not enough, though they are all that are named"
    for name in "abc":
        assert world.processes[name].reseed(Policy(world.seeds, 3, 1_000_000_000))

    for _ in range(20):
        world.round()
        if world.processes["a"].phase == STARTED:
            break
    assert world.processes["a"].phase == STARTED
    for name in "abc":
        assert not world.processes[name].reseed(others), "who took part sticks to it"
        assert world.processes[name].policy.seed_set == world.seeds


def test_two_sets_of_seeds_do_not_both_found() -> None:
    """Of four nodes three are needed: b and c helped a, whose word did not reach them, and then hear of d."""
    world = FoundingWorld(names="abcd")
    first, second = ("a:1", "b:1", "c:1"), ("b:1", "c:1", "d:1")
    for name in "abcd":
        seeds = second if name == "d" else first
        assert world.processes[name].reseed(Policy(seeds, 3, 1_000_000_000))

    def is_lost(flight: Flight[Message]) -> bool:
        return world.processes["a"].phase == STARTED

    for _ in range(20):
        world.round("abcd", loses=is_lost)
        if world.processes["a"].phase == STARTED:
            break
    assert [world.processes[name].phase for name in "abc"] == [STARTED, ACKED, ACKED]
    for name in "bc":
        world.processes[name].reseed(Policy(second, 3, 1_000_000_000))
    for _ in range(60):
        world.round("bcd")
    started = [world.processes[name].document for name in "abcd" if world.processes[name].phase == STARTED]
    assert len({document["id"] for document in started if document is not None}) == 1
