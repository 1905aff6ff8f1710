"""A small language for what arrives from others: types, ranges, lengths and numbers of digits, as values. Pure.

A schema is a tree of rules. `compiled` makes one function of it that says quickly whether a value fits; `flaw` walks
the tree and says which field is the first that does not, without what was found there: that may be of any size. Both
say the same of every value, which a test holds them to, and fuzzers draw from the same tree what fits and what hardly
does not.

Theory of operation. Each rule makes one closure, and a row calls one for each of its fields: some microseconds for an
entry of eight fields. What is asked for each operation on each replica has a short cut beside its schema, which says
yes to the usual entry and leaves everything else to the schema; see `slot_schema`. Rejected: functions made from source
text at start-up, as quick as the short cut, but nobody can read or step through them; sets of the types that the fields
of a row may have together, no quicker than the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from casty.limits import MAX_BYTES, MAX_ITEMS

__all__ = [
    "Case", "Data", "Fields", "Integer", "Maybe", "Number", "OneOf", "Row", "Rows", "Rule", "Tagged", "Test", "Text",
    "compiled", "flaw", "utf8_length",
]  # fmt: skip

Test = Callable[[Any], bool]


class Rule(Protocol):
    """What a value must be."""

    @property
    def types(self) -> tuple[type, ...]:
        """The types that it may have; a subtype is another type."""
        ...

    def test(self) -> Test:
        """Return a function that says whether any value at all fits, its type first."""
        ...

    def __str__(self) -> str:
        """Return what is expected, to read behind "expected"."""
        ...


class Number(NamedTuple):
    """An integer, both bounds included."""

    low: int
    high: int

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (int,)

    def test(self) -> Test:
        """See `Rule`."""
        low, high = self
        return lambda value: type(value) is int and low <= value <= high

    def __str__(self) -> str:
        return f"a number from {self.low} to {self.high}"


class Integer(NamedTuple):
    """An integer of either sign, of so many binary digits."""

    max_bits: int

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (int,)

    def test(self) -> Test:
        """See `Rule`."""
        most = self.max_bits
        return lambda value: type(value) is int and value.bit_length() <= most

    def __str__(self) -> str:
        return f"a number of at most {self.max_bits} bits"


class Text(NamedTuple):
    """A text that can be written as UTF-8, of one byte at least."""

    max_bytes: int

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (str,)

    def test(self) -> Test:
        """See `Rule`."""
        most = self.max_bytes
        return lambda value: type(value) is str and 0 < utf8_length(value) <= most

    def __str__(self) -> str:
        return f"a text of 1 to {self.max_bytes} bytes"


class Data(NamedTuple):
    """Bytes that nobody here looks into. Without a bound of their own, that of the whole entry holds."""

    max_bytes: int = MAX_BYTES

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (bytes,)

    def test(self) -> Test:
        """See `Rule`."""
        most = self.max_bytes
        return lambda value: type(value) is bytes and len(value) <= most

    def __str__(self) -> str:
        return "bytes" if self.max_bytes >= MAX_BYTES else f"at most {self.max_bytes} bytes"


class OneOf(NamedTuple):
    """One of a few values that can be keys, of exactly their type."""

    values: tuple[object, ...]

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return tuple(dict.fromkeys(map(type, self.values)))

    def test(self) -> Test:
        """See `Rule`."""
        known, types = frozenset((type(value), value) for value in self.values), self.types
        return lambda value: type(value) in types and (type(value), value) in known

    def __str__(self) -> str:
        return f"one of {list(self.values)}"


class Maybe(NamedTuple):
    """None, or what another rule says."""

    rule: Rule

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (type(None), *self.rule.types)

    def test(self) -> Test:
        """See `Rule`."""
        test = self.rule.test()
        return lambda value: value is None or test(value)

    def __str__(self) -> str:
        return f"None or {self.rule}"


class Case(NamedTuple):
    """A field of a row whose rule depends on another field, a number; a number without a rule fits none."""

    field: int
    rules: Mapping[int, Rule]

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return tuple(dict.fromkeys(kind for rule in self.rules.values() for kind in rule.types))

    def given(self, row: Sequence[Any]) -> Rule:
        """Return the rule in a row whose other fields have the right types."""
        return self.rules.get(row[self.field], _Nothing(self))

    def test_in(self, at: int) -> Test:
        """Return the test of a row whose field `at` this is."""
        field = self.field
        tests = {number: rule.test() for number, rule in self.rules.items()}

        def test(row: Any) -> bool:
            found = tests.get(row[field])
            return found is not None and found(row[at])

        return test

    def __str__(self) -> str:
        return f"what field {self.field} asks for, of {sorted(self.rules)}"


class Row(NamedTuple):
    """A list of so many fields; those of a `Case` look at other fields."""

    rules: tuple[Rule | Case, ...]

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (list,)

    def test(self) -> Test:
        """See `Rule`."""
        tests, rows = list[tuple[int, Test]](), list[Test]()
        for at, rule in enumerate(self.rules):
            if isinstance(rule, Case):
                rows.append(rule.test_in(at))
                tests.append((at, _type_test(rule.types)))
            else:
                tests.append((at, rule.test()))
        return _row_test(len(self.rules), tuple(tests), tuple(rows))

    def __str__(self) -> str:
        return f"a list of {', '.join(map(str, self.rules))}" if self.rules else "an empty list"


def _type_test(types: tuple[type, ...]) -> Test:
    return lambda value: type(value) in types


def _row_test(length: int, tests: tuple[tuple[int, Test], ...], rows: tuple[Test, ...]) -> Test:
    """Return the test of a list: its fields first, and then what depends on others of them."""

    def fits(row: Any) -> bool:
        if type(row) is not list or len(row) != length:
            return False
        for at, test in tests:
            if not test(row[at]):
                return False
        return not rows or all(test(row) for test in rows)

    return fits


class Rows(NamedTuple):
    """A list of rows that are alike."""

    row: Rule
    least: int = 0
    most: int = MAX_ITEMS

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (list,)

    def test(self) -> Test:
        """See `Rule`."""
        least, most, fits = self.least, self.most, self.row.test()
        return lambda value: type(value) is list and least <= len(value) <= most and all(map(fits, value))

    def __str__(self) -> str:
        return f"{self.least} to {self.most} rows, each {self.row}"


class Tagged(NamedTuple):
    """A list that begins with a number, which says what follows. Field 0 of its rows is that number."""

    rows: Mapping[int, Row]

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (list,)

    def row(self, tag: int) -> Row:
        """Return the whole list of a kind, its number included."""
        return Row((OneOf((tag,)), *self.rows[tag].rules))

    def tests(self) -> dict[int, Test]:
        """Return, by number, the test of a list that is known to begin with that number."""
        return {tag: self._test(tag) for tag in self.rows}

    def test(self) -> Test:
        """See `Rule`."""
        tests = self.tests()

        def fits(value: Any) -> bool:
            if type(value) is not list or not value or type(value[0]) is not int:
                return False
            test = tests.get(value[0])
            return test is not None and test(value)

        return fits

    def _test(self, tag: int) -> Test:
        """Return the test of a list whose number is the tag: what is short is compared here, not in a loop."""
        rules = self.rows[tag].rules
        if not rules:
            return lambda row: len(row) == 1
        if len(rules) == 1 and not isinstance(rules[0], Case):
            only = rules[0].test()
            return lambda row: len(row) == 2 and only(row[1])
        return self.row(tag).test()

    def __str__(self) -> str:
        return f"a list that begins with one of {sorted(self.rows)}"


class Fields(NamedTuple):
    """A dictionary of these keys, and maybe of those that are `optional`."""

    rules: Mapping[str, Rule]
    optional: Mapping[str, Rule] = MappingProxyType({})

    @property
    def all_rules(self) -> dict[str, Rule]:
        """The rules of all keys that there may be."""
        return {**self.rules, **self.optional}

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return (dict,)

    def test(self) -> Test:
        """See `Rule`."""
        needed = self.rules.keys()
        tests = {key: rule.test() for key, rule in self.all_rules.items()}
        return lambda value: (
            type(value) is dict
            and needed <= value.keys() <= tests.keys()
            and all(tests[key](field) for key, field in value.items())
        )

    def __str__(self) -> str:
        return f"a dictionary of {', '.join(self.rules)}"


class _Nothing(NamedTuple):
    """What a `Case` says where nothing fits."""

    case: Case

    @property
    def types(self) -> tuple[type, ...]:
        """See `Rule`."""
        return ()

    def test(self) -> Test:
        """See `Rule`."""
        return lambda _: False

    def __str__(self) -> str:
        return str(self.case)


def compiled(rule: Rule) -> Test:
    """Return a function that says whether any value at all fits; it never raises, and calls nothing of the value's.

    Examples
    --------
    >>> fits = compiled(Tagged({1: Row((Number(0, 9), Text(4)))}))
    >>> fits([1, 9, "abcd"]), fits([1, 10, "abcd"]), fits([1, True, "abcd"]), fits([2]), fits(None)
    (True, False, False, False, False)
    """
    return rule.test()


def flaw(rule: Rule, value: Any, what: str) -> str | None:
    """Say of a value that does not fit which field it is and what was expected; None for one that fits.

    The text is as long as the schema makes it, whatever the value is.

    Examples
    --------
    >>> flaw(Tagged({1: Row((Number(0, 9), Text(4)))}), [1, 10, "abcd"], "entry")
    'entry 1, field 1: expected a number from 0 to 9, found another int'
    """
    if type(value) not in rule.types:
        return f"{what}: expected {rule}, found a {type(value).__name__:.50}"
    found: str | None = None
    if isinstance(rule, Tagged):
        if value and type(value[0]) is int and value[0] in rule.rows:
            return flaw(rule.row(value[0]), value, f"{what} {value[0]}")
    elif isinstance(rule, Row):
        if len(value) != len(rule.rules):
            return f"{what}: expected {len(rule.rules)} fields, found {len(value)}"
        found = _row_flaw(rule, value, what)
    elif isinstance(rule, Rows) and rule.least <= len(value) <= rule.most:
        found = _first(flaw(rule.row, row, f"{what}, row {at}") for at, row in enumerate(value))
    elif isinstance(rule, Fields) and rule.rules.keys() <= value.keys() <= rule.all_rules.keys():
        found = _first(flaw(rule.all_rules[key], field, f"{what}, {key}") for key, field in value.items())
    if found is not None or compiled(rule)(value):
        return found
    return f"{what}: expected {rule}, found another {type(value).__name__}"


def _row_flaw(row: Row, value: Any, what: str) -> str | None:
    """Of the first field that does not fit; one that depends on others comes after all of them."""
    fields = list(enumerate(row.rules))
    alone = [(at, rule) for at, rule in fields if not isinstance(rule, Case)]
    found = _first(flaw(rule, value[at], f"{what}, field {at}") for at, rule in alone)
    if found is not None:
        return found
    given = [(at, rule.given(value)) for at, rule in fields if isinstance(rule, Case)]
    return _first(flaw(rule, value[at], f"{what}, field {at}") for at, rule in given)


def _first(flaws: Any) -> str | None:
    return next((found for found in flaws if found is not None), None)


def utf8_length(text: str) -> int:
    """Return how many bytes a text takes, 0 for one that cannot be sent on: half of a surrogate pair."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0
