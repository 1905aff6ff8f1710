"""``python -m benchmarks [NAME ...]``: these, or all of them, one after the other."""

from __future__ import annotations

import argparse
import subprocess
import sys

NAMES = (
    "structures",
    "entities",
    "processor",
    "failover",
    "rolling",
    "memory",
    "growth",
    "floods",
    "durable",
    "scale",
)


def main() -> int:
    """Run each in a process of its own; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure; see benchmarks/*.py.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; default: all")
    names = parser.parse_args().names
    strays = [name for name in names if name not in NAMES]
    if strays:
        parser.error(f"expected names out of {', '.join(NAMES)}, found {', '.join(strays)}")
    failed = 0
    for name in names or NAMES:
        print(f"\n== {name}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    raise SystemExit(main())
