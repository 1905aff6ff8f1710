"""Replicas that failed: which places are filled again, and which are given up."""

from __future__ import annotations

from dataclasses import replace

from casty.cluster.node.replica_repair import Refills
from casty.config import SECOND_NS
from tests.unit.cluster.node.test_disk_replicas import made, of


class Failing:
    """Node a of three, on which a slot's replica fails."""

    def __init__(self, *, is_stored: bool) -> None:
        self.host, groups, self.machine = made()
        groups.follow(self.machine, "a")
        self.filled: list[int] = []
        self.refills = Refills(
            self.host, "a#a", "a", lambda number, epoch, name: self.filled.append(number), list,
            lambda number: is_stored,
        )  # fmt: skip
        self.refills.failed(of(self.host, 1), OSError("the disk is full"), 0)
        del self.host.groups[1]

    def aim(self, *nodes: str) -> None:
        """The slot is to be at these nodes."""
        self.machine.slots[0] = replace(self.machine.slots[0], target=nodes)

    def tick(self) -> list[int]:
        self.refills.tick(100 * SECOND_NS, self.machine)
        return self.filled


def test_a_place_is_filled_again() -> None:
    assert Failing(is_stored=False).tick() == [1]


def test_one_that_is_to_go_elsewhere_is_given_up_where_nothing_of_it_is_left() -> None:
    failing = Failing(is_stored=False)
    failing.aim("b", "c")
    assert failing.tick() == [] and not failing.refills.is_failed(1)


def test_one_that_is_to_go_elsewhere_comes_back_from_the_disk() -> None:
    """Its vote counts until it is gone, and maybe nobody else has the state."""
    failing = Failing(is_stored=True)
    failing.aim("b", "c")
    assert failing.tick() == [1]


def test_a_slot_that_began_anew_needs_nothing_of_before() -> None:
    failing = Failing(is_stored=True)
    failing.machine.slots[0] = replace(failing.machine.slots[0], epoch=9)
    assert failing.tick() == [] and not failing.refills.is_failed(1)


def test_a_place_that_went_to_others_is_not_filled_for_what_failed_there_before() -> None:
    failing = Failing(is_stored=True)
    assert failing.tick() == [1]
    failing.host.groups[1] = of(failing.host, 2)  # it is back, and then its place goes
    failing.aim("b", "c")
    del failing.host.groups[1]
    failing.refills.moved(1)
    assert failing.tick() == [1] and not failing.refills.is_failed(1)
