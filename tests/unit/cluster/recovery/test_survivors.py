"""Who knows most, and what may be lost."""

from __future__ import annotations

import pytest

from casty.cluster.recovery.making import generation_above
from casty.cluster.recovery.survivors import Held, Survivor, choose, held_of, lost_voters
from casty.consensus import DATA, MEMBERSHIP, Entry, Membership, Restored, Snapshot
from casty.consensus.membership import encode
from casty.durable.loading import Stored
from casty.durable.records import GroupRow, Manifest
from casty.errors import RecoveryError
from casty.limits import MAX_GENERATION

THREE = Membership(("a#1", "b#1", "c#1"))


def survivor(name: str, *, epoch: int = 1, term: int = 1, index: int = 1, **fields: object) -> Survivor:
    memberships = fields.pop("memberships", (THREE,))
    held = Held(f"{name}#1", epoch, term, index, memberships, **fields)  # type: ignore[arg-type]
    manifest = Manifest("s", name, "1", 1, 0, "x", 1, {}, b"", (), {})
    return Survivor(name, manifest, {0: held})


def test_a_later_term_counts_more_than_a_longer_log_and_a_later_epoch_more_than_both() -> None:
    assert choose(0, [survivor("a", term=2, index=5), survivor("b", term=3, index=4)]).chosen == 1
    assert choose(0, [survivor("a", term=2, index=5), survivor("b", term=2, index=4)]).chosen == 0
    assert choose(0, [survivor("a", term=9, index=9), survivor("b", epoch=2)]).chosen == 1
    assert choose(0, [survivor("a", term=9)], least_epoch=2).chosen is None


def test_what_is_damaged_or_was_told_nothing_counts_for_nothing() -> None:
    damaged, blank = survivor("a", term=9, damage="torn"), survivor("b", term=9, memberships=())
    report = choose(0, [damaged, blank, survivor("c")])
    assert report.chosen == 2 and report.missing == ("a", "b") and report.may_lack
    assert choose(0, [damaged, blank]).chosen is None and choose(0, [damaged]).may_lack


@pytest.mark.parametrize(
    ("membership", "present", "may_lack"),
    [
        (THREE, ["a#1", "b#1"], False),
        (THREE, ["a#1"], True),
        # Of four with two left, each majority of three has one of them.
        (Membership(("a#1", "b#1", "c#1", "d#1")), ["a#1", "b#1"], False),
        (Membership(("a#1",), (), ("b#1",)), ["b#1"], True),
        # A joint one: what was acknowledged is with a majority of both halves, so one half that is not lost is enough.
        (Membership(("a#1", "b#1", "d#1"), ("a#1", "b#1", "c#1")), ["a#1", "d#1"], False),
        (Membership(("d#1", "e#1", "f#1"), ("a#1", "b#1", "c#1")), ["a#1", "d#1"], True),
        # A replica that was begun anew has forgotten what the former one acknowledged.
        (THREE, ["a#1~1", "b#1"], True),
    ],
)  # fmt: skip
def test_what_may_be_lost(membership: Membership, present: list[str], may_lack: bool) -> None:
    assert lost_voters(membership, present)[1] is may_lack


def test_a_configuration_that_was_maybe_never_committed_hides_no_loss() -> None:
    newer = Membership(("a#1", "d#1", "e#1"), ("a#1", "b#1", "c#1"))
    held = {"memberships": (THREE, newer)}
    report = choose(0, [survivor("a", **held), survivor("d", **held), survivor("e", **held)])
    assert report.may_lack, "b and c alone may have acknowledged more, under the configuration before"
    assert not choose(0, [survivor("a", **held), survivor("b", **held), survivor("d", **held)]).may_lack


def test_a_replica_is_read_from_its_log_and_snapshot() -> None:
    joint = Membership(("a#1", "b#1"), ("a#1",))
    entries = [Entry(2, DATA, b""), Entry(2, MEMBERSHIP, encode(joint)), Entry(3, DATA, b"")]
    row = GroupRow(4, 0, THREE)
    held = held_of("a#1", Stored(row, Restored(3, None, None, entries, 0, 0), None, 0))
    assert held == Held("a#1", 4, 3, 3, (THREE, joint))
    snapshot = Snapshot(7, 2, joint)
    held = held_of("a#1", Stored(row, Restored(3, None, snapshot, [], 7, 2), None, 0))
    assert held == Held("a#1", 4, 2, 7, (joint,))
    assert not held_of(
        "a#1", Stored(GroupRow(4, 0, None), Restored(0, None, None, [], 0, 0), None, 0)
    ).is_usable


def test_a_generation_is_above_all_that_are_known() -> None:
    assert generation_above([5, 9, 7], wall_s=3) == 10
    assert generation_above([5], wall_s=100) == 100
    with pytest.raises(RecoveryError, match=f"at most {MAX_GENERATION}"):
        generation_above([MAX_GENERATION], wall_s=1)
