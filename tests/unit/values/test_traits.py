"""What a node may say about itself: zone, weight and roles."""

from __future__ import annotations

import pytest

from casty import ClusteredActorSystem
from casty.errors import ConfigError
from casty.traits import MAX_ROLES, MAX_TRAIT_BYTES, MAX_WEIGHT, Traits, checked_traits


def test_they_come_back_as_they_were_said() -> None:
    for traits in (Traits(), Traits("a", 1, ("batch", "web")), checked_traits(None, 7, {"x"})):
        assert Traits.of_plain(traits.plain) == traits


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (("", 100, []), ConfigError, "zone: expected a text that can be printed"),
        (("a,b", 100, []), ConfigError, "without commas"),
        ((" a", 100, []), ConfigError, "without spaces around it, found ' a'"),
        (("z" * (MAX_TRAIT_BYTES + 1), 100, []), ConfigError, "zone: expected at most 64 bytes, found 65"),
        ((7, 100, []), TypeError, "zone: expected a text, found 7"),
        ((None, 0, []), ConfigError, "weight: expected 1 to 10000, where 100 is usual, found 0"),
        ((None, MAX_WEIGHT + 1, []), ConfigError, "found 10001"),
        ((None, 1.5, []), TypeError, "weight: expected an int, found 1.5"),
        ((None, True, []), TypeError, "weight: expected an int, found True"),
        ((None, 100, "web"), TypeError, "roles: expected a set or list of texts, found 'web'"),
        ((None, 100, 3), TypeError, "roles: expected a set or list of texts, found 3"),
        ((None, 100, [""]), ConfigError, "roles: expected a text that can be printed"),
        ((None, 100, [b"web"]), TypeError, "roles: expected a text, found b'web'"),
        (
            (None, 100, list(map(str, range(MAX_ROLES + 1)))),
            ConfigError,
            "roles: expected at most 16, found 17",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    given: tuple[object, object, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        checked_traits(*given)
    zone, weight, roles = given
    with pytest.raises(error, match=text):
        ClusteredActorSystem(name="shop", host="h", port=1, zone=zone, weight=weight, roles=roles)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "row",
    [
        None, [], [None, 100], [None, 100, None], [None, 0, []], [None, MAX_WEIGHT + 1, []], [None, True, []],
        [None, 1.0, []], [3, 100, []], ["", 100, []], [None, 100, [""]], [None, 100, [3]],
        [None, 100, ["r"] * (MAX_ROLES + 1)], ["z" * 65, 100, []],
    ],
)  # fmt: skip
def test_what_another_process_says_is_not_believed_whatever_it_is(row: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        Traits.of_plain(row)
