"""Founding: one cluster and only one, whatever is lost, doubled, late or restarted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casty.cluster.founding import ACKED, BLANK, JOINING, OFFERING, STARTED, Founding, Identity, Policy
from casty.errors import RemoteProtocolError

TICK_NS = 250_000_000
SEEDS = ("a:1", "b:1", "c:1")


class Cluster:
    """Processes that found, and a network that the test decides over."""

    def __init__(self, needed: int = 3) -> None:
        self.now_ns = 0
        self.made = 0
        self.incarnations = 0
        self.needed = needed
        self.processes: dict[str, Founding] = {}
        self.started: dict[str, dict[str, Any]] = {}
        self.flying: list[tuple[str, str, list[Any]]] = []
        for name in ("a", "b", "c"):
            self.restart(name)

    def restart(self, name: str) -> None:
        self.incarnations += 1
        identity = Identity(name, f"i{self.incarnations}", name, 1)

        def document(founders: list[Identity]) -> dict[str, Any]:
            self.made += 1
            founding_id = f"{identity.key}/{self.made}"
            return {"id": founding_id, "founder": name, "founders": [list(founder) for founder in founders]}

        self.processes[name] = Founding(
            identity, Policy(SEEDS, self.needed, 1_000_000_000), document, self.now_ns
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
    identity = Identity("a", "i", "a", 1)

    def document(founders: list[Identity]) -> dict[str, Any]:
        return {"id": "a#i/1", "founder": "a", "founders": [list(founder) for founder in founders]}

    founding = Founding(identity, Policy(("a:1",), 1, 1_000_000_000), document, 0)
    founding.tick(0)
    assert founding.phase == BLANK
    founding.tick(1_000_000_000)
    assert founding.phase == STARTED


def test_a_blank_node_that_meets_a_member_joins() -> None:
    cluster = Cluster()
    cluster.processes["a"].join_instead(0)
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
    assert OFFERING not in cluster.phases()[1:]
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
