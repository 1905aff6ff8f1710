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
    Policy,
)  # fmt: skip
from casty.errors import RemoteProtocolError

TICK_NS = 250_000_000


def document_of(name: str) -> Callable[[str, list[Identity], int], dict[str, Any]]:
    def document(founding_id: str, founders: list[Identity], generation: int) -> dict[str, Any]:
        return {
            "id": founding_id, "founder": name, "generation": generation, "cluster_id": founding_id,
            "founders": [founder.plain for founder in founders],
        }  # fmt: skip

    return document


class Cluster:
    """Processes that found, and a network that the test decides over."""

    def __init__(self, needed: int = 3, names: str = "abc") -> None:
        self.now_ns = 0
        self.names = names
        self.seeds = tuple(f"{name}:1" for name in names)
        self.incarnations = 0
        self.needed = needed
        self.processes: dict[str, Founding] = {}
        self.started: dict[str, dict[str, Any]] = {}
        self.flying: list[tuple[str, str, list[Any]]] = []
        for name in names:
            self.restart(name)

    def restart(self, name: str) -> None:
        self.incarnations += 1
        identity = Identity(name, f"i{self.incarnations}", name, 1)

        self.processes[name] = Founding(
            identity, Policy(self.seeds, self.needed, 1_000_000_000), document_of(name), self.now_ns
        )

    def key(self, name: str) -> str:
        return self.processes[name].identity.key

    def tick(self, names: str = "abc", lose: Callable[[str, str], bool] = lambda sender, to: False) -> None:
        self.now_ns += TICK_NS
        for name in names:
            process = self.processes[name]
            for other in names:
                if other != name:
                    self._send(name, other, process.view(), lose)
            for to, message in process.tick(self.now_ns):
                self._send(name, to, message, lose)
        self.deliver(lose)

    def _send(self, sender: str, to: str, message: list[Any], lose: Callable[[str, str], bool]) -> None:
        if not lose(sender, to):
            self.flying.append((self.key(sender), to, message))

    def deliver(self, lose: Callable[[str, str], bool]) -> None:
        for _ in range(100):
            if not self.flying:
                return
            sender, to, message = self.flying.pop(0)
            for back, answer in self.processes[to].step(self.now_ns, sender, message):
                self._send(to, back, answer, lose)
        raise AssertionError("messages never come to rest")

    def phases(self) -> list[str]:
        return [self.processes[name].phase for name in "abc"]


def test_three_blank_nodes_found_one_cluster() -> None:
    cluster = Cluster()
    for _ in range(3):
        cluster.tick()
    assert cluster.phases() == [STARTED] * 3
    documents = [cluster.processes[name].document for name in "abc"]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0] is not None and documents[0]["founder"] == "a"


def test_nobody_founds_while_a_seed_is_missing() -> None:
    cluster = Cluster()
    for _ in range(100):
        cluster.tick("ab")
    assert cluster.phases()[:2] == [BLANK, BLANK]


def test_a_smaller_quorum_founds_without_the_rest_after_listening() -> None:
    cluster = Cluster(needed=2)
    cluster.tick("ab")
    assert cluster.phases()[:2] == [BLANK, BLANK]
    for _ in range(8):
        cluster.tick("ab")
    assert cluster.phases()[:2] == [STARTED, STARTED]


def test_a_lonely_node_founds_after_listening() -> None:
    founding = Founding(Identity("a", "i", "a", 1), Policy(("a:1",), 1, 1_000_000_000), document_of("a"), 0)
    founding.tick(0)
    assert founding.phase == BLANK
    founding.tick(1_000_000_000)
    assert founding.phase == STARTED


def test_a_blank_node_that_meets_a_member_joins() -> None:
    cluster = Cluster()
    cluster.processes["a"].join_instead("other")
    assert cluster.processes["a"].phase == JOINING


def test_an_offer_that_lacks_an_answer_is_taken_back() -> None:
    cluster = Cluster()
    cluster.tick()
    cluster.restart("a")
    cluster.restart("b")
    cluster.restart("c")
    cluster.tick(lose=lambda sender, to: False)
    cluster.flying.clear()

    def b_is_deaf(sender: str, to: str) -> bool:
        return to == "b"

    for _ in range(20):
        cluster.tick(lose=b_is_deaf)
    assert STARTED not in cluster.phases()
    for _ in range(10):
        cluster.tick()
    assert cluster.phases() == [STARTED] * 3


def test_an_acknowledger_finishes_for_a_dead_founder() -> None:
    cluster = Cluster()

    def starts_are_lost(sender: str, to: str) -> bool:
        return cluster.processes["a"].phase == STARTED

    cluster.tick(lose=starts_are_lost)
    while cluster.processes["a"].phase != STARTED:
        cluster.tick(lose=starts_are_lost)
    assert cluster.phases()[1:] == [ACKED, ACKED]
    for _ in range(16):
        cluster.tick("bc")
    assert cluster.phases()[1:] == [STARTED, STARTED]


def test_nonsense_is_a_remote_protocol_error() -> None:
    cluster = Cluster()
    for message in ([], [99], [1], [1, "a"], [2, {}], [2, 7], [3]):
        with pytest.raises(RemoteProtocolError):
            cluster.processes["b"].step(0, "a#i1", message)


def test_views_and_ballots_speak_for_their_sender_only() -> None:
    cluster = Cluster()
    b = cluster.processes["b"]
    with pytest.raises(RemoteProtocolError):
        b.step(0, "a#i1", cluster.processes["c"].view())
    with pytest.raises(RemoteProtocolError):
        b.step(0, "a#i1", [PREPARE, 1, "c#i3", list(cluster.seeds)])


def test_one_dead_founder_of_two_sides_does_not_stop_those_who_see_each_other() -> None:
    """b is seen by c, d and e, but it sees a, too, who does not see enough to found."""
    cluster = Cluster(needed=3, names="abcde")

    def only_b_hears_a(sender: str, to: str) -> bool:
        return ("a" in (sender, to)) and "b" not in (sender, to)

    for _ in range(40):
        cluster.tick("abcd", lose=only_b_hears_a)
    assert [cluster.processes[name].phase for name in "bcd"] == [STARTED] * 3


def test_the_generation_is_above_all_that_any_founder_heard_or_shows() -> None:
    cluster = Cluster()
    cluster.processes["b"].hear(500)
    cluster.processes["c"]._wall_s = lambda: 400
    for _ in range(4):
        cluster.tick()
    document = cluster.processes["a"].document
    assert document is not None and document["generation"] == 501


def test_nobody_founds_before_its_clock_moved() -> None:
    cluster = Cluster()
    cluster.processes["c"]._wall_s = lambda: None
    for _ in range(8):
        cluster.tick()
    assert STARTED not in cluster.phases()
    cluster.processes["c"]._wall_s = lambda: 7
    for _ in range(20):
        cluster.tick()
    assert cluster.phases() == [STARTED] * 3


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_two_foundings_never_both_get_a_majority(data: st.DataObject) -> None:
    """Under loss, silence and restarts no two documents are ever started by a majority of their founders."""
    cluster = Cluster(needed=data.draw(st.sampled_from([2, 3])))
    by_document: dict[str, dict[str, None]] = {}
    for _ in range(data.draw(st.integers(5, 60))):
        awake = data.draw(st.sampled_from(["abc", "ab", "bc", "ac", "abc"]))
        lost = data.draw(st.sets(st.sampled_from(["ab", "ba", "ac", "ca", "bc", "cb"]), max_size=3))
        if data.draw(st.integers(0, 9)) == 0 and cluster.needed == 3:
            name = data.draw(st.sampled_from("abc"))
            cluster.restart(name)
        cluster.tick(awake, lose=lambda sender, to, lost=lost: sender + to in lost)
        for name in "abc":
            process = cluster.processes[name]
            if process.phase == STARTED and process.document is not None:
                by_document.setdefault(process.document["id"], {})[process.identity.key] = None
        alive = {process.identity.key for process in cluster.processes.values()}
        serving = [
            founding_id for founding_id, keys in by_document.items() if sum(key in alive for key in keys) >= 2
        ]
        assert len(serving) <= 1, serving


def test_seeds_may_be_others_before_anything_was_promised_and_not_after() -> None:
    cluster = Cluster(names="abc")
    others = Policy(("b:1", "c:1", "d:1"), 3, 1_000_000_000)
    few = Policy(("a:1", "b:1"), 3, 1_000_000_000)
    for name in "abc":
        assert cluster.processes[name].reseed(few)
    cluster.tick()
    assert cluster.phases() == [BLANK] * 3, "two are not enough, though they are all that are named"
    for name in "abc":
        assert cluster.processes[name].reseed(Policy(cluster.seeds, 3, 1_000_000_000))

    for _ in range(20):
        cluster.tick()
        if cluster.processes["a"].phase == STARTED:
            break
    assert cluster.processes["a"].phase == STARTED
    for name in "abc":
        assert not cluster.processes[name].reseed(others), "who took part sticks to it"
        assert cluster.processes[name].policy.seed_set == cluster.seeds


def test_two_sets_of_seeds_do_not_both_found() -> None:
    """Of four nodes three are needed: b and c helped a, whose word did not reach them, and then hear of d."""
    cluster = Cluster(names="abcd")
    first, second = ("a:1", "b:1", "c:1"), ("b:1", "c:1", "d:1")
    for name in "abcd":
        seeds = second if name == "d" else first
        assert cluster.processes[name].reseed(Policy(seeds, 3, 1_000_000_000))

    def is_lost(sender: str, to: str) -> bool:
        return cluster.processes["a"].phase == STARTED

    for _ in range(20):
        cluster.tick("abcd", lose=is_lost)
        if cluster.processes["a"].phase == STARTED:
            break
    assert [cluster.processes[name].phase for name in "abc"] == [STARTED, ACKED, ACKED]
    for name in "bc":
        cluster.processes[name].reseed(Policy(second, 3, 1_000_000_000))
    for _ in range(60):
        cluster.tick("bcd")
    started = [
        cluster.processes[name].document for name in "abcd" if cluster.processes[name].phase == STARTED
    ]
    assert len({document["id"] for document in started if document is not None}) == 1
