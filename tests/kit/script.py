"""Conversations as text: commands in, a transcript out, both in one file that a test compares.

A script is blocks of commands, a line ``----``, and the expected transcript up to an empty line. Lines that begin with
``#`` are comments. A command is the name of a method ``do_...`` of a `Script` and its arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Script", "replay", "rewrite", "scripts_in"]


class Script:
    """What the commands of one file act on; they append what happens to `out`."""

    def __init__(self) -> None:
        self.out: list[str] = []

    def run(self, line: str) -> None:
        """Run one command."""
        name, *arguments = line.split()
        command = getattr(self, f"do_{name.replace('-', '_')}", None)
        assert command is not None, f"{type(self).__name__} knows no command {name!r}"
        command(*arguments)

    def say(self, text: str) -> None:
        """Add a line to the transcript."""
        self.out.append(text)


def replay(make: Callable[[], Script], text: str) -> str:
    """Return a script with the transcripts that its commands give now."""
    script = make()
    result: list[str] = []
    is_expectation = False
    for line in text.splitlines():
        if is_expectation:
            is_expectation = bool(line.strip())
            if not is_expectation:
                result.append("")
        elif line == "----":
            result += ["----", *script.out]
            script.out = []
            is_expectation = True
        else:
            result.append(line)
            if line.strip() and not line.startswith("#"):
                script.run(line)
    assert not script.out, f"a transcript that nothing is compared with: {script.out[0]!r}"
    return "\n".join(result) + "\n"


def scripts_in(folder: Path) -> list[Path]:
    """Return the scripts of a folder, in order."""
    return sorted(folder.glob("*.txt"))


def rewrite(make: Callable[[], Script], names: Sequence[str] = ()) -> None:
    """Write the transcripts of files anew: those of the command line, where none are named."""
    for name in names or sys.argv[1:]:
        path = Path(name)
        path.write_text(replay(make, path.read_text()))
