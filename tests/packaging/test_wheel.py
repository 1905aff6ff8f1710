"""What the wheel contains, and that it works where it is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow

# Run with the unpacked wheel in front of everything: what a user has who never saw a checkout.
PROBE = """
import casty, casty.sim, casty.cli.main, casty.pytest_plugin, sys
assert casty.__file__.startswith(sys.argv[1]), casty.__file__
assert casty.sim.__file__.startswith(sys.argv[1]), casty.sim.__file__
assert "sim" not in sys.modules
casty.cli.main.main(["sim", "list"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (built,) = folder.glob("*.whl")
    return built


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_carries_the_library_and_the_simulator(wheel: Path) -> None:
    found = names(wheel)
    assert "casty/__init__.py" in found
    assert "casty/py.typed" in found
    assert "casty/sim/__init__.py" in found
    assert "casty/sim.py" not in found, "the stand-in of a checkout would hide the simulator"
    assert found.count("casty/sim/__init__.py") == 1


def test_it_carries_nothing_else(wheel: Path) -> None:
    strays = [name for name in names(wheel) if not name.startswith("casty/") and ".dist-info/" not in name]
    assert not strays
    assert not [name for name in names(wheel) if "__pycache__" in name or name.endswith(".pyc")]


def test_every_module_of_the_checkout_is_in_it(wheel: Path) -> None:
    found = dict.fromkeys(names(wheel))
    library = [path.relative_to(ROOT).as_posix() for path in (ROOT / "casty").rglob("*.py")]
    simulator = [f"casty/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "sim").rglob("*.py")]
    assert not [name for name in library + simulator if name not in found and name != "casty/sim.py"]


def test_its_papers_are_in_order(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        papers, entries = archive.read(metadata).decode(), archive.read(points).decode()
    required = [
        line for line in papers.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert len(required) == 1
    assert "msgpack" in required[0]
    assert "Requires-Python: >=3.11" in papers
    assert "casty = casty.cli.main:main" in entries
    assert "casty = casty.pytest_plugin" in entries
    assert any(name.endswith("licenses/LICENSE") for name in names(wheel))


def test_it_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    site = str(tmp_path / "site")
    result = subprocess.run(
        [sys.executable, "-c", PROBE, site], cwd=tmp_path, env={"PYTHONPATH": site}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "mixed" in result.stdout
