"""What a process may use: machine, process limits, control groups of both versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from casty.process_limits import memory_limit_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20


def system(root: Path, groups: str, limits: dict[str, str]) -> Path:
    """Lay out what the kernel would show."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for path, text in limits.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/jobs/a b\n", {"jobs/a b/memory.max": f"{64 * MIB}\n", "jobs/memory.max": "max\n"}),
        ("0::/jobs/a\n", {"jobs/a/memory.max": "max\n", "jobs/memory.max": f"{64 * MIB}\n"}),
        ("0::/../elsewhere\n", {"memory.max": f"{64 * MIB}\n"}),
        ("5:cpu:/x\n4:memory:/x\n", {"memory/x/memory.limit_in_bytes": f"{64 * MIB}\n"}),
        (
            "4:cpu,memory:/x\n",
            {
                "memory/x/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.limit_in_bytes": f"{64 * MIB}\n",
            },
        ),
    ],
)
def test_a_control_group_limits_it(tmp_path: Path, groups: str, limits: dict[str, str]) -> None:
    assert memory_limit_bytes(system(tmp_path, groups, limits)) == 64 * MIB


@pytest.mark.parametrize("text", ["", "max\n", "nonsense\n", "0\n", "-1\n"])
def test_what_is_no_limit_limits_nothing(tmp_path: Path, text: str) -> None:
    assert memory_limit_bytes(system(tmp_path, "0::/\n", {"memory.max": text})) == MACHINE


def test_odd_lines_are_no_error(tmp_path: Path) -> None:
    assert memory_limit_bytes(system(tmp_path, "rubbish\n1:2\n\n", {})) == MACHINE


def test_a_limit_of_the_process_counts() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (512 << 20, resource.RLIM_INFINITY));"
        "from casty.process_limits import memory_limit_bytes; print(memory_limit_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == min(512 << 20, MACHINE)
