"""User values round-trip with their types; evolution, names, paths and canonical bytes."""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.address import ActorAddress
from casty.errors import EncodingError
from casty.limits import MAX_SAME_HASH
from casty.wire import shapes
from casty.wire.codec import Codec, default_codec, message
from casty.wire.pack import pack, unpack
from casty.wire.registry import Registry

# Only the text of these strategies is long.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


@dataclass(frozen=True)
class Order:
    item: str
    count: int = 1
    tags: tuple[str, ...] = ()
    note: str = field(default="", compare=False)


@dataclass
class Cart:
    orders: list[Order]
    total: int = field(init=False, default=0)


@message(name="tests.moved")
@dataclass(frozen=True, slots=True)
class Moved:
    x: int


class Point(NamedTuple):
    x: int
    y: int = 0


class Colour(enum.Enum):
    RED = 1
    ROUGE = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


CODEC = Codec()
AWARE = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | AWARE
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
    | st.sampled_from([*Colour, *Level, Mode.READ, Mode.READ | Mode.WRITE, Mode(0)])
    | st.builds(Order, st.text(), st.integers(), st.tuples(st.text()))
    | st.builds(Moved, st.integers())
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3) | st.builds(Point, inner, inner),
    max_leaves=8,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=10,
)


def shape(value: object) -> object:
    """The types of a value, all the way down, so that 1 and True are not taken for equal."""
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(shape(item)) for item in value)
    return type(value)


@given(VALUES)
def test_round_trip(value: object) -> None:
    again = CODEC.decode(CODEC.encode(value))
    assert again == value
    assert shape(again) == shape(value)


@given(VALUES)
def test_encoding_is_a_function_of_the_value(value: object) -> None:
    assert CODEC.encode(CODEC.decode(CODEC.encode(value))) == CODEC.encode(value)


@given(HASHABLE, HASHABLE)
def test_canonical_bytes_are_equal_for_equal_values_of_one_type(one: object, two: object) -> None:
    again = CODEC.decode(CODEC.encode(one))
    assert CODEC.canonical(one) == CODEC.canonical(again) == Codec().canonical(again)
    if CODEC.canonical(one) == CODEC.canonical(two):
        assert one == two


def is_written_again(value: object) -> None:
    """What came from anybody's bytes is a value like any other: it has bytes, and they are the same each time."""
    data = CODEC.encode(value)
    assert CODEC.encode(CODEC.decode(data)) == data


@given(st.binary())
def test_any_bytes_are_a_value_or_an_encoding_error(data: bytes) -> None:
    with suppress(EncodingError):
        is_written_again(CODEC.decode(data))


PLAIN = st.recursive(
    st.integers(-1, 17) | st.none() | st.text(max_size=3) | st.binary(max_size=17) | st.floats()
    | st.sampled_from([f"{__name__}:Order", f"{__name__}:Colour", f"{__name__}:Point", "tests.moved"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
def test_any_plain_tree_is_a_value_or_an_encoding_error(plain: object) -> None:
    with suppress(EncodingError):
        is_written_again(CODEC.decode(pack(plain)))


def test_sets_are_sorted_by_their_encoded_bytes() -> None:
    assert unpack(CODEC.encode({"b", "a", 3, -1})) == [2, 3, "a", "b", -1]


@pytest.mark.parametrize(
    "value",
    [
        datetime(2025, 1, 2, 3, 4, 5, 6),
        datetime(2025, 10, 26, 2, 30, fold=1),
        datetime(2025, 1, 2, tzinfo=timezone(timedelta(hours=-3))),
        date(2025, 1, 2),
        time(23, 59, 59, 999999),
        timedelta(days=-1, microseconds=1),
        Decimal("-1.500"),
        Decimal("Infinity"),
        UUID(int=7),
        2**500,
        -(2**64),
        Colour.ROUGE,
        Mode.READ | Mode.WRITE,
        ActorAddress("shop", "/cart", "h", 1, "n"),
        Cart([Order("a")]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_worth_naming(value: object) -> None:
    again = CODEC.decode(CODEC.encode(value))
    assert again == value
    assert type(again) is type(value)
    assert getattr(again, "fold", 0) == getattr(value, "fold", 0)
    assert repr(again) == repr(value)


GOLDEN: list[tuple[object, object]] = [
    ([1], [0, 1]),
    ((1,), [1, 1]),
    ({1}, [2, 1]),
    (frozenset({1}), [3, 1]),
    ({1: 2}, [4, 1, 2]),
    ({"a": 2}, {"a": 2}),
    (Moved(1), [5, "tests.moved", {"x": 1}]),
    (Colour.ROUGE, [6, f"{__name__}:Colour", "RED"]),
    (Mode.READ | Mode.WRITE, [6, f"{__name__}:Mode", 3]),
    (Point(1), [7, f"{__name__}:Point", {"x": 1, "y": 0}]),
    (datetime(2025, 1, 2), [8, "2025-01-02T00:00:00", 0]),
    (date(2025, 1, 2), [9, "2025-01-02"]),
    (time(1), [10, "01:00:00", 0]),
    (timedelta(1), [11, 1, 0, 0]),
    (Decimal("1.50"), [12, "1.50"]),
    (UUID(int=1), [13, b"\0" * 15 + b"\1"]),
    (1j, [15, 0.0, 1.0]),
]


@pytest.mark.parametrize(("value", "plain"), GOLDEN, ids=lambda item: type(item).__name__)
def test_the_encoding_does_not_move(value: object, plain: object) -> None:
    assert CODEC.encode(value) == pack(plain)


# -- canonical bytes


@pytest.mark.parametrize(
    "values", [(1, 1.0, True, "1", b"1"), ((1,), [1]), (0, False, None, "", ())], ids=repr
)
def test_values_of_different_types_differ(values: tuple[object, ...]) -> None:
    assert len({CODEC.canonical(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    "pair",
    [
        (0.0, -0.0),
        ((1, 0.0), (1, -0.0)),
        (Decimal("1.0"), Decimal("1")),
        (Decimal("100"), Decimal("1E2")),
        (Decimal("-0"), Decimal("0.00")),
        (Decimal("10.10"), Decimal("10.1")),
        (complex(0.0, -0.0), 0j),
        (datetime(2025, 1, 1, 12, tzinfo=UTC), datetime(2025, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))),
        (
            datetime.max.replace(tzinfo=timezone(-timedelta(hours=2))),
            datetime.max.replace(tzinfo=timezone(-timedelta(hours=2)), fold=1),
        ),
        (time(12, tzinfo=UTC), time(13, tzinfo=timezone(timedelta(hours=1)))),
        (datetime(2025, 1, 1), datetime(2025, 1, 1, fold=1)),
        (frozenset("abc"), frozenset("cba")),
        (Order("a", note="x"), Order("a", note="y")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
    ids=lambda pair: f"{type(pair[0]).__name__}-{type(pair[1]).__name__}",
)
def test_equal_values_have_equal_bytes(pair: tuple[object, object]) -> None:
    one, two = pair
    assert one == two
    assert CODEC.canonical(one) == CODEC.canonical(two)


@pytest.mark.parametrize("value", [math.nan, (1, math.nan), Decimal("NaN"), complex(0, math.nan)], ids=repr)
def test_nan_is_refused(value: object) -> None:
    with pytest.raises(EncodingError, match="NaN"):
        CODEC.canonical(value)


# -- errors name the path


@dataclass
class Holder:
    inner: object


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "value:"),
        ([1, [2, object()]], r"value\[1\]\[1\]:"),
        ({"a": {"b": object()}}, r"value\['a'\]\['b'\]:"),
        (Holder((1, Holder(object()))), r"value\.inner\[1\]\.inner:"),
        (Point(1, object()), r"value\.y:"),  # type: ignore[arg-type]
        ({Fraction(1, 2): 1}, r"value<key Fraction\(1, 2\)>:"),
        ({Fraction(1, 2)}, r"value<member Fraction\(1, 2\)>:"),
        (["a", "\ud800"], r"value\[1\]:"),
    ],
    ids=["root", "list", "dict", "dataclass", "named tuple", "key", "member", "surrogate"],
)
def test_the_text_names_the_path_of_the_offending_field(value: object, path: str) -> None:
    with pytest.raises(EncodingError, match="cannot encode " + path):
        CODEC.encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(EncodingError, match="nested levels"):
        CODEC.encode(loop)


def test_nesting_is_bounded_alike_on_both_sides() -> None:
    value: object = 1
    for _ in range(100):
        value = [value]
    assert CODEC.decode(CODEC.encode(value)) == value
    with pytest.raises(EncodingError, match="nested levels"):
        CODEC.encode([[value]])
    plain: object = 1
    for _ in range(150):
        plain = [0, plain]
    with pytest.raises(EncodingError, match="nested levels"):
        CODEC.decode(pack(plain))


@pytest.mark.parametrize("value", [bytearray(b"x"), range(3), type("Text", (str,), {})("a"), lambda: None])
def test_what_would_come_back_as_something_else_is_refused(value: object) -> None:
    with pytest.raises(EncodingError):
        CODEC.encode(value)


# -- evolution


def sent(name: str, fields: dict[str, object]) -> bytes:
    return pack([5, name, fields])


def test_unknown_fields_are_ignored() -> None:
    assert CODEC.decode(sent("tests.moved", {"x": 1, "new": [0, 1]})) == Moved(1)


def test_missing_fields_take_their_defaults() -> None:
    assert CODEC.decode(sent(f"{__name__}:Order", {"item": "a"})) == Order("a")


def test_missing_fields_without_defaults_are_named() -> None:
    with pytest.raises(EncodingError, match="'item' of Order"):
        CODEC.decode(sent(f"{__name__}:Order", {"count": 3}))


def test_an_unknown_member_is_named_with_the_known_ones() -> None:
    with pytest.raises(EncodingError, match="RED, ROUGE, BLUE"):
        CODEC.decode(pack([6, f"{__name__}:Colour", "GREEN"]))


# -- names


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "subprocess:Popen",
        "antigravity:Anything",
        "decimal:Decimal",
        "casty.address:peer_key",
        "x",
        "",
    ],
)
def test_only_message_classes_of_loaded_modules_resolve(name: str) -> None:
    with pytest.raises(EncodingError):
        CODEC.decode(sent(name, {}))
    assert "antigravity" not in sys.modules


def test_strict_takes_registered_names_only() -> None:
    strict = Codec(strict=True)
    assert strict.decode(strict.encode(Moved(1))) == Moved(1)
    with pytest.raises(EncodingError, match="not registered"):
        strict.encode(Order("a"))
    with pytest.raises(EncodingError, match="the registry"):
        strict.decode(CODEC.encode(Order("a")))


def test_local_classes_need_a_name() -> None:
    @dataclass
    class Local:
        x: int

    with pytest.raises(EncodingError, match="@message"):
        CODEC.encode(Local(1))
    registry = Registry()
    registry.register(Local, "local")
    codec = Codec(registry)
    assert codec.decode(codec.encode(Local(1))) == Local(1)


def test_two_classes_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="belongs to"):
        message(name="tests.moved")(Order)


def test_decorating_in_the_wrong_order_is_explained() -> None:
    with pytest.raises(TypeError, match="above @dataclass"):
        message(name="tests.plain")(type("Plain", (), {}))


def test_a_constructor_that_refuses_is_an_encoding_error() -> None:
    with pytest.raises(EncodingError, match="Even"):
        CODEC.decode(sent(f"{__name__}:Even", {"number": 3}))


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("Even refuses odd numbers")


# -- refs


class Ref:
    def __init__(self, address: ActorAddress) -> None:
        self.address = address

    def __casty_ref__(self) -> ActorAddress:
        return self.address


def test_refs_travel_as_addresses() -> None:
    address = ActorAddress("shop", "/cart", "h", 1, "n")
    codec = Codec(ref_factory=Ref)
    again = codec.decode(codec.encode([Order("a"), Ref(address)]))
    assert isinstance(again, list)
    assert again[1].address == address
    with pytest.raises(EncodingError, match="ref_factory"):
        CODEC.decode(codec.encode(Ref(address)))


def test_the_default_codec_is_one() -> None:
    assert default_codec() is default_codec()


@dataclass
class FieldRef(Ref):
    address: ActorAddress


@pytest.mark.parametrize(
    ("name", "text"),
    [("casty.actor.ref:RemoteActorRef", "found none"), (f"{__name__}:FieldRef", "travel as one")],
)
def test_a_ref_cannot_be_made_of_fields(name: str, text: str) -> None:
    with pytest.raises(EncodingError, match=text):
        Codec().decode(pack([5, name, {"address": 5, "post": 6}]))


@pytest.mark.parametrize("make", [set, frozenset, dict.fromkeys], ids=["set", "frozenset", "dict"])
def test_keys_that_share_a_hash_are_refused_beyond_a_bound(make: Callable[[range], object]) -> None:
    step = sys.hash_info.modulus
    few = make(range(0, 2 * MAX_SAME_HASH * step, step))
    assert CODEC.decode(CODEC.encode(few)) == few
    plain: list[object] = [2, *[number * step for number in range(3 * MAX_SAME_HASH)]]
    if make is dict.fromkeys:
        plain = [4, *[item for number in plain[1:] for item in (number, None)]]
    with pytest.raises(EncodingError, match="hashes that others have"):
        CODEC.decode(pack(plain))
    with pytest.raises(EncodingError, match="hashes that others have"):
        CODEC.encode(make(range(0, 3 * MAX_SAME_HASH * step, step)))


class Wide(enum.IntFlag):
    A = 1
    B = 2


def test_combinations_of_flags_that_others_send_are_kept_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shapes, "MAX_COMBINATIONS", 10)
    codec = Codec()
    name = f"{Wide.__module__}:{Wide.__qualname__}"
    for number in range(200):
        assert codec.decode(pack([6, name, number])) == number
    kept: Any = vars(Wide)["_value2member_map_"]
    assert len(kept) < 20
    for number in (-7, 2**65, 10**5000):
        with pytest.raises(EncodingError, match="expected a combination of Wide"):
            codec.decode(pack([6, name, number]))


class Many(enum.Flag):
    A = 1
    B = 2
    C = 4


def test_combinations_of_flags_that_are_compared_by_identity_are_refused_beyond_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shapes, "MAX_COMBINATIONS", 4)
    assert shapes.enum_of(Many, 3) is Many.A | Many.B
    with pytest.raises(EncodingError, match="no more are kept"):
        shapes.enum_of(Many, 5)
    assert shapes.enum_of(Many, 3) is Many.A | Many.B


@pytest.mark.parametrize(
    "plain",
    [[10**5000], [[["x" * 10**6] * 10]], [6, ["x" * 10**6], 1], [4, 10**5000, 1, 2], [8, 10**5000, 0]],
)
def test_the_text_of_an_error_is_short_whatever_it_is_about(plain: list[Any]) -> None:
    with pytest.raises(EncodingError) as caught:
        Codec().decode(pack(plain))
    assert len(str(caught.value)) < 500


class Lenient(enum.IntFlag):
    A = 1


def test_what_would_not_be_read_is_not_sent() -> None:
    with pytest.raises(EncodingError, match="combination of Lenient of at most 64 bits"):
        Codec().encode(Lenient(2**65))
    with pytest.raises(EncodingError, match="port up to 65535"):
        Codec().encode(Ref(ActorAddress("s", "/x", "h", 2**70)))
    plain = [14, "s", "/x", "h", 2**70, None]
    with pytest.raises(EncodingError, match="port up to 65535"):
        Codec(ref_factory=lambda address: address).decode(pack(plain))


def test_a_class_that_was_replaced_in_its_module_is_not_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a class was found is remembered; a reload puts another one there, and an end takes it away."""
    place = ModuleType("replaced_here")
    monkeypatch.setitem(sys.modules, place.__name__, place)

    def define() -> type:
        made = make_dataclass("Told", [("number", int)])
        made.__module__ = place.__name__
        vars(place)["Told"] = made
        return made

    first = define()
    codec = Codec()
    data = codec.encode(first(1))
    assert type(codec.decode(data)) is type(codec.decode(data)) is first
    second = define()
    assert type(codec.decode(data)) is second
    del vars(place)["Told"]
    with pytest.raises(EncodingError):
        codec.decode(data)
