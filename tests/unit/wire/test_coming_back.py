"""The encoder refuses what its decoder would not give back equal, before anything is sent."""

from __future__ import annotations

import enum
import itertools
import subprocess
import sys
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from casty.errors import EncodingError
from casty.wire import encoding
from casty.wire.codec import Codec

ROOT = Path(__file__).parents[3]


@dataclass
class Job:
    name: str
    attempts: int = field(default=0, init=False)


@dataclass
class Seeded:
    a: int
    seed: InitVar[int]

    def __post_init__(self, seed: int) -> None:
        self.a += seed


@dataclass
class SeededByDefault:
    a: int
    seed: InitVar[int] = 3

    def __post_init__(self, seed: int) -> None:
        self.a += seed


@dataclass
class Counted:
    value: int

    def __post_init__(self) -> None:
        self.value += 1


@dataclass
class Lowered:
    name: str
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.name.lower()
        self.length = len(self.name)


@dataclass
class Cached:
    name: str
    seen: list[str] = field(default_factory=list, init=False, compare=False)


@dataclass
class Own:
    a: int

    def __init__(self, a: int) -> None:
        self.a = a * 2


@dataclass
class Positive:
    a: int

    def __post_init__(self) -> None:
        if self.a < 0:
            raise OSError("no such number")


class Child(Job):
    def __init__(self) -> None:
        super().__init__("child")


class Pair(NamedTuple):
    a: int
    b: int


class Doubled(Pair):
    __slots__ = ()

    def __new__(cls, a: int, b: int) -> Doubled:
        return super().__new__(cls, 2 * a, 2 * b)


class Kept(Pair):
    __slots__ = ()


@dataclass
class Bag(list[int]):
    a: int


class NotToday(Exception):
    """An error of a user's own."""


@dataclass
class Raising:
    a: int

    def __post_init__(self) -> None:
        if self.a < 0:
            raise NotToday


def with_(value: Any, **fields: Any) -> Any:
    for name, item in fields.items():
        setattr(value, name, item)
    return value


NOT_BACK = [
    (with_(Job("x"), attempts=3), "field 'attempts' of Job would not come back"),
    (Seeded(1, 2), "takes 'seed', which is no field"),
    (SeededByDefault(1), "takes 'seed', which is no field"),
    (Counted(1), "field 'value' of Counted would not come back"),
    (Own(2), "field 'a' of Own would not come back"),
    (with_(Positive(1), a=-1), r"cannot be made again from its fields: OSError"),
    (Child(), r"Child cannot be made again"),
    (Doubled(1, 2), "field 'a' of Doubled would not come back"),
    (Bag(1), "Bag is a dataclass and a list"),
    (with_(Raising(1), a=-1), r"cannot be made again from its fields: NotToday"),
]


@pytest.mark.parametrize(("value", "text"), NOT_BACK, ids=lambda part: type(part).__name__)
def test_what_would_not_come_back_equal_is_refused(value: Any, text: str) -> None:
    codec = Codec()
    for wrapped in (value, [value], {"key": (value,)}):
        with pytest.raises(EncodingError, match=text):
            codec.encode(wrapped)


@pytest.mark.parametrize(
    "value",
    [
        Job("x"),
        Lowered("ABC"),
        with_(Cached("a"), seen=["b"]),
        Positive(2),
        Kept(1, 2),
        with_(Lowered("A"), name="b"),
    ],
)
def test_what_comes_back_equal_travels(value: Any) -> None:
    codec = Codec()
    back = codec.decode(codec.encode(value))
    assert back == value and type(back) is type(value)


def test_a_class_that_raises_an_error_of_its_own_cannot_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Codec().encode(Raising(1))
    monkeypatch.setattr(Raising, "__post_init__", lambda self: (_ for _ in ()).throw(NotToday))
    with pytest.raises(EncodingError, match="NotToday"):
        Codec().decode(data)


@dataclass(frozen=True)
class Noted:
    name: str
    note: str = field(compare=False)


@dataclass(frozen=True)
class NotedOrNot:
    name: str
    note: str = field(compare=False, default="")


@pytest.mark.parametrize(
    "key",
    [
        datetime(2025, 1, 2, 3, 4, 5, 6),
        datetime(2025, 1, 2, 3, fold=1),
        datetime(2025, 1, 2, 3, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=2))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
        datetime.min.replace(tzinfo=timezone(timedelta(days=1) - timedelta.resolution)),
        time(1, 2, 3, 4),
        time(1, fold=1),
        time(1, tzinfo=UTC),
        time(0, 30, 15, 7, tzinfo=timezone(timedelta(hours=2))),
        time(23, 30, 15, 7, tzinfo=timezone(timedelta(hours=-2))),
        time(0, 0, 0, 9, tzinfo=timezone(timedelta(hours=23, minutes=59, seconds=59))),
        time(23, 59, 59, 9, tzinfo=timezone(-timedelta(hours=23, minutes=59, seconds=59))),
        date(2025, 1, 2),
        timedelta(days=-1, microseconds=1),
        Decimal("1.10"),
        -0.0,
        complex(-0.0, 1),
        (time(1), {"at": [datetime(2025, 1, 2)]}, frozenset({time(2)})),
        NotedOrNot("a", "b"),
        Job("x"),
        Kept(1, 2),
    ],
    ids=repr,
)
def test_keys_come_back_equal(key: Any) -> None:
    codec = Codec()
    back = codec.decode(codec.canonical(key))
    assert back == key and type(back) is type(key)
    assert codec.canonical(back) == codec.canonical(key)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (with_(Job("x"), attempts=3), "would not come back"),
        (Counted(1), "would not come back"),
        (Noted("a", "b"), "'note' of Noted is no part of a key"),
        (Seeded(1, 2), "is no field of it"),
    ],
)
def test_a_key_that_would_not_come_back_equal_is_refused(key: Any, text: str) -> None:
    for wrapped in (key, (1, [key])):
        with pytest.raises(EncodingError, match=text):
            Codec().canonical(wrapped)


def test_what_is_no_key_can_be_compared() -> None:
    one, two = (Codec().compared(Noted("a", note)) for note in "bc")
    assert one == two != Codec().compared(Noted("b", "b"))


def test_containers_are_no_longer_than_the_decoder_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MAX_ITEMS", 10)
    codec = Codec()
    longest: list[Any] = [
        list(range(9)),
        tuple(range(9)),
        set(range(9)),
        {str(n): n for n in range(9)},
        {n: n for n in range(4)},
    ]
    for value in longest:
        assert codec.decode(codec.encode(value)) == value
    more: list[Any] = [
        list(range(10)),
        frozenset(range(10)),
        {str(n): n for n in range(10)},
        {n: n for n in range(5)},
    ]
    for value in more:
        with pytest.raises(EncodingError, match="fewer than 10 items"):
            codec.encode(value)


def test_local_classes_and_replaced_ones_are_refused() -> None:
    @dataclass
    class Local:
        a: int

    class Shade(enum.Enum):
        ONE = 1

    for value in (Local(1), Shade.ONE):
        with pytest.raises(EncodingError, match=r"cannot be found under its module by others"):
            Codec().encode(value)


# -- the main program

TASK = """
from dataclasses import dataclass
from casty.wire.codec import Codec, message
from casty.errors import EncodingError
@dataclass
class Task:
    a: int
@message(name="shop.paid")
@dataclass
class Paid:
    a: int
"""
ROUND_TRIP = (
    TASK
    + """
codec = Codec()
assert codec.decode(codec.encode(Task(1))) == Task(1)
print(codec.encode(Task(1)).hex())
"""
)
counter = itertools.count()


def run(code: str, *arguments: str, cwd: Path = ROOT) -> str:
    path = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        input=code,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=path,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_class_of_the_main_program_has_the_name_by_which_others_import_it(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(ROUND_TRIP)
    (tmp_path / "other.py").write_text(
        "import contextlib, io, sys\n"
        "with contextlib.redirect_stdout(io.StringIO()): import worker\n"
        "print(worker.Codec().decode(bytes.fromhex(sys.argv[1])) == worker.Task(1))\n"
    )
    as_file = run("", "worker.py", cwd=tmp_path)
    assert b"worker:Task" in bytes.fromhex(as_file)
    assert run("", "-m", "worker", cwd=tmp_path) == as_file
    assert run("", "other.py", as_file, cwd=tmp_path) == "True"


def test_another_program_says_which_class_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "producer.py").write_text(ROUND_TRIP)
    (tmp_path / "consumer.py").write_text(
        TASK + "import sys\n"
        "try: Codec().decode(bytes.fromhex(sys.argv[1]))\n"
        "except EncodingError as error: print(error)\n"
    )
    sent = run("", "producer.py", cwd=tmp_path)
    assert "by the name of 'producer:Task'" in run("", "consumer.py", sent, cwd=tmp_path)


def test_a_program_without_a_file_has_to_name_its_classes() -> None:
    code = TASK + (
        "try: print(Codec().encode(Task(1)))\n"
        "except EncodingError as error: print(error)\n"
        "print(Codec().decode(Codec().encode(Paid(1))))\n"
    )
    refused, named = run("", "-c", code).splitlines()
    assert "__main__:Task belongs to a program without a file" in refused
    assert named == "Paid(a=1)"
