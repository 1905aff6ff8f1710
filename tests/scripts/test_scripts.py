"""Every script beside this file gives the transcript that it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.script import Script, replay, scripts_in
from tests.scripts.control_script import ControlScript
from tests.scripts.founding_script import FoundingScript
from tests.scripts.heartbeats_script import HeartbeatsScript
from tests.scripts.joins_script import JoinsScript
from tests.scripts.raft_script import RaftScript
from tests.scripts.slots_script import SlotsScript

HERE = Path(__file__).parent
KINDS: dict[str, Callable[[], Script]] = {
    "raft": RaftScript, "founding": FoundingScript, "control": ControlScript, "heartbeats": HeartbeatsScript,
    "slots": SlotsScript, "joins": JoinsScript,
}  # fmt: skip
FEWEST = {"raft": 19, "founding": 8, "control": 9, "heartbeats": 5, "slots": 9, "joins": 7}
"""How many scripts there are of each kind, at the least: files that nobody finds are tested by nobody."""
SCRIPTS = [path for kind in KINDS for path in scripts_in(HERE / kind)]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_script(path: Path) -> None:
    text = path.read_text()
    assert replay(KINDS[path.parent.name], text) == text


@pytest.mark.parametrize("kind", KINDS)
def test_the_scripts_are_found(kind: str) -> None:
    assert len(scripts_in(HERE / kind)) >= FEWEST[kind]


class Echo(Script):
    def do_say(self, *words: str) -> None:
        self.say(" ".join(words))


def test_a_transcript_is_what_the_commands_give() -> None:
    assert replay(Echo, "# why\nsay one\nsay two\n----\nother\n\nsay three\n----\n") == (
        "# why\nsay one\nsay two\n----\none\ntwo\n\nsay three\n----\nthree\n"
    )


@pytest.mark.parametrize("text", ["say one\n", "say one\n----\none\n\nsay two\n"])
def test_what_nothing_is_compared_with_is_an_error(text: str) -> None:
    with pytest.raises(AssertionError, match="compared"):
        replay(Echo, text)


def test_an_unknown_command_is_an_error() -> None:
    with pytest.raises(AssertionError, match="knows no command 'shout'"):
        replay(Echo, "shout one\n----\n")
