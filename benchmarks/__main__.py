"""``python -m benchmarks``: all of them, one after the other."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("structures", "failover", "memory")


def main() -> int:
    """Run each in a process of its own; 1 when one failed."""
    failed = 0
    for name in NAMES:
        print(f"\n== {name}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    raise SystemExit(main())
