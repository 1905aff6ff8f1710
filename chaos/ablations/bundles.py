"""Planted bugs of messages that share a frame, and of the short way to entities."""

from __future__ import annotations

from typing import Any

from casty.cluster.actors.bundles import Bundles
from casty.cluster.actors.region_router import RegionRouter
from casty.transport.staging import Staging

from .bug import Planted, bug_in, shown

__all__ = ["BUNDLES"]

_UNIT = "tests/unit/cluster/actors/test_bundles.py"
_SPEAKS = "whom a link speaks for"
_FAULTS = "faults stay on their links"


def _first_judged(right: Any) -> Any:
    """Whoever may say the first message is believed with the others."""

    def take(bundles: Any, link: Any, kind: int, rows: list[Any]) -> None:
        right(bundles, link, kind, rows[:1])
        right(Bundles(bundles._takers, lambda link: None, bundles._fault), link, kind, rows[1:])

    return take


def _all_or_none(right: Any) -> Any:
    """What is wrong with one message costs those behind it as well."""

    def take(bundles: Any, link: Any, kind: int, rows: list[Any]) -> None:
        found: list[Exception] = []

        def fault(link: Any, error: Exception) -> None:
            found.append(error)
            bundles._fault(link, error)

        def taker(row: Any, speaker: Any) -> None:
            if not found:
                bundles._takers[kind](row, speaker)

        right(Bundles({kind: taker}, bundles._speaker, fault), link, kind, rows)

    return take


def _counted_as_one(right: Any) -> Any:
    """What a link took is counted by its frames."""

    def take(bundles: Any, link: Any, kind: int, rows: list[Any]) -> None:
        before = link.messages_in
        right(bundles, link, kind, rows)
        link.messages_in = before + 1

    return take


def _any_length(right: Any) -> Any:
    """As many bytes as there are."""

    def begin(staging: Any, kind: int, size_bytes: int, most_bytes: int) -> None:
        right(staging, kind, size_bytes, 1000 * most_bytes)

    return begin


def _before_the_line(router: Any, item: Any) -> bool:
    """The short way is taken whoever waits."""
    topology = router._routes.topology()
    return bool(
        topology is not None
        and router._acceptor is not None
        and item.home == topology.home
        and router._acceptor.accept_at_once(item, topology)
    )


BUNDLES = (
    shown(
        bug_in("first-of-a-bundle-judged", _SPEAKS, "rogue", Bundles, "_take", _first_judged),
        f"{_UNIT}::test_a_name_that_is_not_the_links_own_costs_that_message_alone",
    ),
    shown(
        bug_in("bundle-lost-with-one", _FAULTS, "rogue", Bundles, "_take", _all_or_none),
        f"{_UNIT}::test_what_cannot_be_read_costs_a_node_one_message",
    ),
    shown(
        bug_in("bundle-counted-as-one", "losses", "mixed", Bundles, "_take", _counted_as_one),
        f"{_UNIT}::test_each_message_is_taken_in_its_order_and_counted",
    ),
    shown(
        bug_in("bundle-of-any-length", "frames", "mixed", Staging, "_begin", _any_length),
        "tests/unit/transport/test_staging.py::test_a_bundle_is_no_longer_than_a_frame_may_be",
    ),
    shown(
        Planted("short-way-before-the-line", "order", "actors", RegionRouter, "_takes", _before_the_line),
        "tests/unit/cluster/actors/test_at_once.py::test_nothing_overtakes_what_waits",
    ),
)
