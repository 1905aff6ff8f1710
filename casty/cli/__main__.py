"""``python -m casty.cli``."""

from casty.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
