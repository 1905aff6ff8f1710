"""The words of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from casty.cli.main import main
from casty.cli.node import load_app
from casty.version import __version__


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == f"casty {__version__}"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["status"],
        ["status", "--contact", "nowhere"],
        ["node", "--seed", "x"],
        ["node", "--port", "x"],
        ["status", "--contact", "h:1", "--timeout", "-1"],
        ["status", "--contact", "h:1", "--timeout", "nan"],
        ["status", "--contact", "h:1", "--timeout", "inf"],
        ["sim", "run", "lock", "--seed", "1", "--duration", "-5"],
        ["sim", "run", "lock", "--seed", "1", "--duration", "0"],
        ["sim", "sweep", "lock", "--seeds", "5:2"],
        ["sim", "sweep", "lock", "--seeds", "0"],
        ["sim", "sweep", "lock", "--seeds", "0:1", "--jobs", "0"],
        ["sim", "sweep", "lock", "--seeds", "0:1", "--jobs", "-3"],
    ],
)
def test_wrong_usage_is_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


APPS = """
import functools

def plain(system): ...
async def nothing(): ...
async def two(system, other): ...
async def good(system, other=1): ...
@functools.wraps(good)
def wrapped(system): return good(system)
class Callable:
    async def __call__(self, system): ...
partly = functools.partial(two, other=1)
called = Callable()
"""
PLACE = ["node", "--host", "127.0.0.1", "--port", "0"]


@pytest.fixture
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "some_apps.py").write_text(APPS)
    (tmp_path / "port.toml").write_text("[cluster]\nport = 70000\n")
    (tmp_path / "name.toml").write_text("[system]\nname = ''\n[cluster]\nport = 0\n")
    (tmp_path / "tls.toml").write_text("[cluster]\nport = 0\n[tls]\ncertfile = 'no.pem'\ncafile = 'a.pem'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["status", "--contact", "127.0.0.1:1", "--locate", "lok:a"], "expected KIND:NAME"),
        (["node", "--name", "x"], "needs --host and --port"),
        (["node", "--host", "h", "--port", "1", "--app", "nothing"], "expected module:function"),
        (["node", "--host", "h", "--port", "1", "--app", "no.such.module:f"], "no.such.module"),
        ([*PLACE, "--app", "os:name"], "expected a function"),
        ([*PLACE, "--app", "some_apps:plain"], "--app some_apps:plain: expected `async def`"),
        ([*PLACE, "--app", "some_apps:nothing"], "expected a function of one argument, the system"),
        ([*PLACE, "--app", "some_apps:two"], "expected a function of one argument, the system"),
        (["node", "--host", "h", "--port", "99999"], "port in [cluster]: expected 0 to 65535, found 99999"),
        ([*PLACE, "--quorum", "0"], "required_quorum: expected at least a majority"),
        ([*PLACE, "--seed", "h:1", "h:2", "--quorum", "1"], "2 of 3, found 1"),
        ([*PLACE, "--seed", "h:0"], "seed_nodes[0], port: expected 1 to 65535, found 0"),
        ([*PLACE, "--name", ""], "--name: expected a text, found an empty one"),
        ([*PLACE, "--node-id", ""], "node_id in [cluster]: expected a text, found an empty one"),
        (["node", "--host", "", "--port", "1"], "host in [cluster]: expected a text"),
        (["node", "--config", "port.toml"], "port.toml: port in [cluster]: expected 0 to 65535, found 70000"),
        (["node", "--config", "name.toml"], "name.toml: name in [system]: expected a text, found an empty"),
        (["node", "--config", "none.toml"], "cannot read the configuration none.toml: No such file"),
        (["status", "--contact", "h:1", "--config", "none.toml"], "cannot read the configuration none.toml"),
    ],
)
def test_wrong_values_are_two(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert expected in shown
    assert shown.startswith("casty: ")
    assert shown.count("\n") == 1


@pytest.mark.usefixtures("_folder")
def test_a_missing_file_of_tls_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node", "--config", "tls.toml"]) == 1
    assert "No such file or directory: 'no.pem'" in capsys.readouterr().err


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("name", ["good", "wrapped", "partly", "called"])
def test_whatever_can_be_awaited_with_the_system_is_an_app(name: str) -> None:
    assert callable(load_app(f"some_apps:{name}"))
