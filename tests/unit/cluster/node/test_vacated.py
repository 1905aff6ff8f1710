"""Replicas without a place go on the committed word of their group, and on nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from casty.cluster.node.removed_replicas import ASK_NS, Vacated
from casty.consensus import Membership
from casty.consensus.membership import History
from casty.errors import RemoteProtocolError
from casty.wire import frames
from casty.wire.pack import pack, unpack

EPOCH = 3


class Bench:
    """One node, c, with a replica of slot 0 that the target does not name."""

    def __init__(self, *configurations: tuple[int, Membership], commit: int = 5) -> None:
        made: Any = type
        history = History(0, None)
        for index, membership in configurations:
            history.add(index, membership)
        core = made("Core", (), {
            "id": "c#1", "history": history, "commit": commit, "membership_index": history.latest[0],
            "peers": ("a#1", "b#1~2"),
        })()  # fmt: skip
        self.closed: list[str] = []
        replica = made("Replica", (), {"close": lambda replica: self.closed.append("closed")})()
        self.group = made("Group", (), {
            "number": 1, "epoch": EPOCH, "is_leading": False, "core": core, "replica": replica,
        })()  # fmt: skip
        self.groups = {1: self.group}
        host = made(
            "Host", (), {"groups": self.groups, "remove": lambda host, number: self.groups.pop(number)}
        )()
        self.row = made("Row", (), {"epoch": EPOCH, "target": ("a", "b", "d")})()
        self.machine = made("Machine", (), {"slots": [self.row]})()
        self.sent: list[tuple[str, int, Any]] = []
        self.leader: str | None = "a#1"
        self.lines: list[str] = []
        self.vacated = Vacated(
            host, "c", lambda key, kind, body: bool(self.sent.append((key, kind, unpack(body)))) or True,
            lambda slot: self.leader, lambda slot: self.closed.append(f"slot {slot}"), self.lines.append,
        )  # fmt: skip

    def tick(self, at: int = 1) -> None:
        self.vacated.tick(at * ASK_NS, self.machine)

    def answer(self, index: int, *members: str) -> bool:
        """Give it an answer; whether its replica is gone."""
        self.vacated.on_answer(pack([[1, EPOCH, index, list(members)]]))
        return 1 not in self.groups


THREE, OTHERS = Membership(("a#1", "b#1", "c#1")), Membership(("a#1", "b#1", "d#1"))
JOINT = Membership(OTHERS.voters, THREE.voters)


def test_it_asks_whoever_leads_once_a_second() -> None:
    bench = Bench((0, THREE))
    bench.tick(1)
    bench.tick(1)
    assert bench.sent == [("a#1", frames.REMOVED, [[1, EPOCH]])]
    bench.leader = None
    bench.tick(2)
    assert [row[0] for row in bench.sent[1:]] == ["a#1", "b#1"], "or everybody in the group that it knows"


def test_it_goes_on_a_committed_configuration_without_it() -> None:
    bench = Bench((0, THREE), (4, JOINT))
    bench.tick()
    assert bench.answer(6, "a#1", "b#1", "d#1")
    assert bench.closed == ["closed", "slot 0"]
    assert bench.lines == ["1 of its replicas have gone to other nodes"]


def test_what_its_own_log_says_is_as_good() -> None:
    bench = Bench((0, THREE), (3, JOINT), (5, OTHERS))
    bench.tick()
    assert not bench.groups and not bench.sent


@pytest.mark.parametrize(
    ("known", "index", "members"),
    [
        ([(0, THREE), (4, JOINT)], 6, ["a#1", "b#1", "c#1"]),
        ([(0, OTHERS), (4, THREE)], 2, ["a#1", "b#1", "d#1"]),
        ([(0, OTHERS), (9, THREE)], 7, ["a#1", "b#1", "d#1"]),
    ],
    ids=["it is named", "it was named again since", "it is about to be named again"],
)
def test_it_stays_while_it_may_count(
    known: list[tuple[int, Membership]], index: int, members: list[str]
) -> None:
    bench = Bench(*known)
    bench.tick()
    assert not bench.answer(index, *members)


def test_a_joint_configuration_ends_nobody() -> None:
    bench = Bench((0, THREE), (4, Membership(("a#1", "b#1", "d#1"), ("a#1", "b#1", "e#1"))))
    bench.tick()
    assert 1 in bench.groups
    bench.vacated.on_question("d#1", pack([[1, EPOCH], [1, EPOCH + 1], [7, EPOCH]]))
    assert bench.sent[1:] == [], "and nobody is told of one"


def test_it_is_asked_for_what_is_committed_and_answers_with_its_place() -> None:
    bench = Bench((0, THREE), (4, OTHERS), (9, THREE))
    bench.vacated.on_question("d#1", pack([[1, EPOCH]]))
    assert bench.sent == [("d#1", frames.REMOVED_ACK, [[1, EPOCH, 4, ["a#1", "b#1", "d#1"]]])]


def test_a_target_that_names_it_again_keeps_it() -> None:
    bench = Bench((0, THREE))
    bench.tick()
    bench.row.target = ("a", "b", "c")
    assert not bench.answer(6, "a#1", "b#1", "d#1")


@pytest.mark.parametrize("body", [7, [[1]], [[1, EPOCH, "x", []]], [[1, EPOCH, 4, 5]], [[[], EPOCH, 4, []]]])
def test_nonsense_is_refused(body: object) -> None:
    with pytest.raises(RemoteProtocolError):
        Bench((0, THREE)).vacated.on_answer(pack(body))
