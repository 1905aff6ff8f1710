"""``casty member``: what it shows, and what it refuses before it asks anybody."""

from __future__ import annotations

import pytest

from casty.cli.main import main
from casty.cli.member import members_of, render
from casty.cli.status import render as render_status

from .test_status import document


def test_each_member_is_shown_with_what_it_has_of_what_it_should_have() -> None:
    slots = document()["slots"]
    slots[0]["replicas"] = ["a", "b"]
    slots[1]["target"] = ["a", "b", "d"]
    members = members_of(document(slots=slots))
    assert [(one["id"], one["replicas"], one["planned"], one["leads"]) for one in members] == [
        ("a", 8, 8, 3), ("b", 8, 8, 3), ("c", 7, 7, 2),
    ]  # fmt: skip
    assert "c                        10.0.0.1:2               up       7 of 7   2" in render(members)


def test_what_is_on_its_way_is_counted() -> None:
    assert "on their way to other members: 2 slots" in render_status(document(moving=[1, 4]))
    assert "on their way" not in render_status(document())


@pytest.mark.parametrize("words", [["remove"], ["drain"], ["list", "a"]])
def test_a_command_names_a_member_and_a_list_none(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["member", *words, "--contact", "127.0.0.1:1"]) == 2
    assert "expected list, remove ID, or drain ID" in capsys.readouterr().err


def test_nobody_who_answers_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["member", "drain", "a", "--contact", "127.0.0.1:1", "--timeout", "0.3"]) == 1
    assert "no answer from 127.0.0.1:1 within 0.3 s" in capsys.readouterr().err
