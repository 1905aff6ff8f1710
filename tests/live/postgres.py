"""A PostgreSQL server of one's own: made in a temporary directory, and run by a user without rights."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

__all__ = ["Server", "binaries"]


def binaries() -> Path:
    """Return the directory of ``initdb`` and ``postgres``; skips the test where Debian's package is missing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if found:
        return found[-1].parent
    if on_path is not None:
        return Path(on_path).parent
    pytest.skip("PostgreSQL is not installed here, and a test cannot do that: apt-get install postgresql")


class Server:
    """A server, reached through a socket file.

    Parameters
    ----------
    port
        Part of the socket's name.
    """

    def __init__(self, port: int = 5432) -> None:
        self._bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="casty-postgres-"))
        self._port = port
        self._user: str | None = None
        if os.getuid() == 0:  # the server refuses to run as root
            self._user = "nobody"
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, -1)
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "casty", "-A", "trust", "--no-sync")

    @property
    def dsn(self) -> str:
        return f"postgresql://casty@/postgres?host={self.folder}&port={self._port}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self.folder)

    def start(self) -> None:
        """Start it and wait until it serves."""
        options = f"-c listen_addresses='' -k {self.folder} -p {self._port}"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")

    def kill(self) -> None:
        """End it as a crash of the machine would: without a word."""
        # The server's own word for that: all its processes end at once, and what was only in memory is gone.
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def stop(self) -> None:
        """Stop it, and remove all of it."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder)
