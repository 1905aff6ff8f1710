"""How checks read what is inside."""

from __future__ import annotations

import pytest

from sim.checks.step.introspection import inside


class Part:
    """What is complete only once it was opened."""

    def __init__(self) -> None:
        self.size = 3

    def open(self) -> None:
        self.table = {"a": 1}


class Whole:
    """What has a part."""

    def __init__(self) -> None:
        self._part = Part()


def test_what_is_inside_is_read_step_by_step() -> None:
    whole = Whole()
    assert inside(whole, "_part", "size") == 3
    assert inside(whole, "_part", "table") is None, "not yet"
    whole._part.open()
    assert inside(whole, "_part", "table") == {"a": 1}
    assert inside(None, "_part", "size") is None


def test_another_kind_of_owner_is_none_but_a_name_that_nothing_has_is_an_error() -> None:
    assert inside(Part(), "_part", "size") is None
    with pytest.raises(AttributeError, match=r"Part\.length, read as _part\.length"):
        inside(Whole(), "_part", "length")
