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


def _first_judged(bundles: Any, link: Any, kind: int, rows: list[Any]) -> None:
    """Whoever may say the first message is believed with the others."""
    take, speaker = bundles._takers[kind], bundles._speaker(link)
    for row in rows:
        link.messages_in += 1
        try:
            take(row, speaker)
        except Exception as error:
            bundles._fault(link, error)
        speaker = None


def _all_or_none(bundles: Any, link: Any, kind: int, rows: list[Any]) -> None:
    """What is wrong with one message costs those behind it as well."""
    take, speaker = bundles._takers[kind], bundles._speaker(link)
    link.messages_in += len(rows)
    try:
        for row in rows:
            take(row, speaker)
    except Exception as error:
        bundles._fault(link, error)


def _counted_as_one(bundles: Any, link: Any, kind: int, rows: list[Any]) -> None:
    """What a link took is counted by its frames."""
    take, speaker = bundles._takers[kind], bundles._speaker(link)
    link.messages_in += 1
    for row in rows:
        try:
            take(row, speaker)
        except Exception as error:
            bundles._fault(link, error)


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
        Planted("first-of-a-bundle-judged", _SPEAKS, "rogue", Bundles, "_take", _first_judged),
        f"{_UNIT}::test_a_name_that_is_not_the_links_own_costs_that_message_alone",
    ),
    shown(
        Planted("bundle-lost-with-one", _FAULTS, "rogue", Bundles, "_take", _all_or_none),
        f"{_UNIT}::test_what_cannot_be_read_costs_a_node_one_message",
    ),
    shown(
        Planted("bundle-counted-as-one", "losses", "mixed", Bundles, "_take", _counted_as_one),
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
