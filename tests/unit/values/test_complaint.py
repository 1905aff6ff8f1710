"""A flood of complaints is a few lines, with everything counted and nothing that a terminal would obey."""

from __future__ import annotations

import logging
import re

import pytest

from casty.complaint import MOST_CHARS, Complaint, one_line
from casty.config import SECOND_NS
from tests.kit.clock import ManualClock

LOG = logging.getLogger("casty.test")


def test_a_flood_is_a_line_a_second_and_everything_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    complaint = Complaint(clock, LOG, SECOND_NS)
    for number in range(1_000):
        complaint.say(f"something {number}")
        clock.advance(0.01)
    clock.advance(1)
    lines = [record.getMessage() for record in caplog.records]
    assert 10 <= len(lines) <= 12
    left_out = sum(int(count) for line in lines for count in re.findall(r"\((\d+) more since", line))
    alone = sum(int(count) for line in lines for count in re.findall(r"\((\d+) such since", line))
    said = sum("such since" not in line for line in lines)
    assert said + left_out + alone == 1_000
    assert not clock.due()


def test_what_is_left_out_is_said_also_when_nothing_follows(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    complaint = Complaint(clock, LOG, SECOND_NS)
    for text in ("first", "second", "third"):
        complaint.say(text)
    clock.advance(1)
    clock.advance(10)
    assert [record.getMessage() for record in caplog.records] == [
        "first",
        "third (2 such since the last line)",
    ]


HOSTILE = "a\nERROR forged\r\x1b[2J\x1b]0;x\x07\x00\x7f\x9b\u202eb\u2028c\u2066\u200f\ud800" + "x" * 10_000


def test_a_line_is_one_line_of_printable_characters(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    Complaint(clock, LOG, SECOND_NS).say(HOSTILE)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.isprintable() and len(line) < 2 * MOST_CHARS
    assert line.startswith("a\\nERROR forged\\r\\x1b[2J")
    assert one_line("plain, ä and 漢字") == "plain, ä and 漢字"
