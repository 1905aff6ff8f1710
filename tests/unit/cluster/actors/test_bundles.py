"""Messages that came in one frame: each is judged as if it had come alone, and bears the consequences alone."""

from __future__ import annotations

from typing import Any

import pytest

from casty.actor.sharding import ShardEnvelope
from casty.cluster.actors.bundles import Bundles
from casty.cluster.authority import CLIENT, MEMBER, Speaker
from casty.errors import RemoteProtocolError
from casty.limits import MAX_BUNDLE
from casty.transport.intake import CLIENT as BUDGET
from casty.transport.intake import Share
from casty.wire import frames
from casty.wire.codec import Codec
from casty.wire.pack import pack
from tests.unit.cluster.region_world import Add, Get, RegionWorld, counter

SHARDS = 10


class Link:
    """The end of a link, as bundles see it."""

    def __init__(self, *, has_budget: bool = True) -> None:
        self.has_budget = has_budget
        self.closed_reason: str | None = None
        self.share = Share()
        self.messages_in = 0
        self.charged = 0
        self.rest: list[Any] = []

    def charge(self, units: int) -> None:
        self.charged += units

    def defer(self, rest: Any) -> None:
        self.rest.append(rest)


class Bench:
    """What takes bundles, with takers that note what they take; the text "bad" is what cannot be read."""

    def __init__(self, role: int = MEMBER) -> None:
        self.taken: list[tuple[int, object]] = []
        self.speakers: list[Speaker | None] = []
        self.faults: list[str] = []
        self.role = role
        takers = {kind: self._taker(kind) for kind in (frames.ACTOR, frames.ENTITY)}
        self.bundles = Bundles(takers, self._speaker, self._fault)

    def _taker(self, kind: int) -> Any:
        def take(row: object, speaker: Speaker | None) -> None:
            if row == "bad":
                raise RemoteProtocolError("it cannot be read")
            self.speakers.append(speaker)
            self.taken.append((kind, row))

        return take

    def _speaker(self, link: Any) -> Speaker:
        del link
        return Speaker(self.role, "x#1", lambda node_id: False)

    def _fault(self, link: Any, error: Exception) -> None:
        self.faults.append(str(error))
        if self.role == CLIENT:
            raise error

    def take(self, link: Any, plain: object) -> None:
        self.bundles.on_bundle(link, pack(plain))


def test_each_message_is_taken_in_its_order_and_counted() -> None:
    bench, link = Bench(), Link()
    bench.take(link, [frames.ENTITY, [1, 2, 3]])
    bench.take(link, [frames.ACTOR, [4]])
    assert bench.taken == [(frames.ENTITY, row) for row in (1, 2, 3)] + [(frames.ACTOR, 4)]
    assert link.messages_in == 4
    assert link.charged == 2, "the frame itself is one unit"


def test_what_cannot_be_read_costs_a_node_one_message() -> None:
    bench, link = Bench(), Link()
    bench.take(link, [frames.ACTOR, [1, "bad", 2, "bad", 3]])
    assert [row for _, row in bench.taken] == [1, 2, 3]
    assert len(bench.faults) == 2 and link.messages_in == 5


def test_what_cannot_be_read_ends_the_link_of_a_client_there() -> None:
    bench, link = Bench(CLIENT), Link()
    with pytest.raises(RemoteProtocolError):
        bench.take(link, [frames.ACTOR, [1, "bad", 2]])
    assert [row for _, row in bench.taken] == [1]
    assert link.messages_in == 2, "what was not taken is lost with the link, and counted there"


def test_nothing_is_taken_of_a_link_that_ended_meanwhile() -> None:
    bench = Bench()
    link: Any = Link()

    def ends(row: object, speaker: Speaker | None) -> None:
        bench.taken.append((frames.ACTOR, row))
        link.closed_reason = "over"

    bundles = Bundles({frames.ACTOR: ends}, bench._speaker, bench._fault)
    bundles.on_bundle(link, pack([frames.ACTOR, [1, 2]]))
    assert [row for _, row in bench.taken] == [1] and link.messages_in == 1


@pytest.mark.parametrize(
    "plain",
    [
        None, [], [frames.ACTOR], [frames.ACTOR, []], [frames.ACTOR, [1], 2], [frames.RELAY, [1]], ["x", [1]],
        [frames.BUNDLE, [[frames.ACTOR, [1]]]], [frames.ACTOR, {"a": 1}], [frames.ACTOR, [1] * (MAX_BUNDLE + 1)],
        [[], [1]], [True, [1]],
    ],
)  # fmt: skip
def test_nothing_is_taken_of_what_no_process_sends(plain: object) -> None:
    bench, link = Bench(), Link()
    with pytest.raises(RemoteProtocolError):
        bench.take(link, plain)
    assert not bench.taken and not link.messages_in


def test_what_floods_is_taken_in_its_shares() -> None:
    bench, link = Bench(), Link()
    link.share.units = 3
    bench.take(link, [frames.ENTITY, list(range(8))])
    assert not bench.taken
    counts = []
    while link.rest:
        is_over = link.rest[0]()
        counts.append(len(bench.taken))
        if is_over:
            link.rest.clear()
    assert counts == [3, 6, 8] and link.charged == 8 and link.messages_in == 8


def test_a_full_bundle_fits_into_the_share_of_a_client() -> None:
    assert BUDGET.units >= MAX_BUNDLE
    bench, link = Bench(), Link()
    bench.take(link, [frames.ENTITY, list(range(MAX_BUNDLE))])
    assert len(bench.taken) == MAX_BUNDLE and not link.rest


async def test_a_name_that_is_not_the_links_own_costs_that_message_alone() -> None:
    world = RegionWorld(("a", "b"), ("c",))
    node = world.processes["a"]
    assert node.host is not None
    node.host.register("r", counter, SHARDS)
    world.lead("a")
    speaker = Speaker(CLIENT, "c#1", lambda node_id: node_id in ("a", "b"))
    bundles = Bundles({frames.ENTITY: node.router.on_row}, lambda link: speaker, Bench()._fault)
    payload = Codec().encode(Add(1))
    rows = [
        ["r", SHARDS, "e", source, number, 0, None, payload, "1:c"]
        for number, source in enumerate(("c#1", "b#1", "c#2", "c#1"), 1)
    ]
    link: Any = Link()
    bundles.on_bundle(link, pack([frames.ENTITY, rows]))
    assert len(node.letters) == 2
    ref = node.router.ref("r", SHARDS)
    assert await node.local.ask(ref, lambda reply_to: ShardEnvelope("e", Get(reply_to)), timeout=1) == (
        "e",
        2,
    )
    await world.close()
