# Everything runs in $(VENV), made on demand. A stamp that is newer than pyproject.toml means: nothing to install,
# so a second run touches no network. PYTHON= picks another interpreter; the environment is then made anew.

PYTHON ?= python3
VENV ?= .venv
SEEDS ?= 0:500
SCENARIO ?= mixed
JOBS ?= 2
SECONDS ?= 60
COUNT ?= 20000
SEED ?= 0

# Tests and the demonstration start processes by the hundred; without bytecode each compiles everything anew, a second long.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BASE := $(VENV)/.base-$(VERSION)
RUNTIME := $(VENV)/.runtime-$(VERSION)
DEV := $(VENV)/.dev-$(VERSION)

.PHONY: demo test check check-style check-mypy check-pyright check-tidy format sim chaos fuzz nightly bench clean help

help:
	@echo "make demo | test | check | format | sim SEEDS=0:500 | chaos SECONDS=60 | fuzz COUNT=20000 SEED=0 | nightly | bench | clean"

demo: $(RUNTIME)
	@$(BIN)/python -m casty.cli demo

# What `check` runs is not run again.
test: $(DEV)
	@status=0; \
	$(BIN)/python -m pytest -m "not live" -n auto --ignore=tests/tidy || status=1; \
	$(BIN)/python -m pytest -m live -n 0 || status=1; \
	exit $$status

# Parts that may run beside each other, as in `make --jobs=2 check`.
check: check-style check-mypy check-pyright check-tidy

check-style: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

check-mypy: $(DEV)
	$(BIN)/mypy

check-pyright: $(DEV)
	$(BIN)/pyright --pythonpath $(BIN)/python

check-tidy: $(DEV)
	$(BIN)/python -m pytest tests/tidy -q -n 0

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

sim: $(DEV)
	$(BIN)/python -m casty.cli sim sweep $(SCENARIO) --seeds $(SEEDS) --jobs $(JOBS)

chaos: $(DEV)
	$(BIN)/python -m chaos run lock --nodes 3 --seconds $(SECONDS) --seed 1

fuzz: $(DEV)
	$(BIN)/python -m chaos fuzz --count $(COUNT) --seed $(SEED)

# What takes too long for every change. The day is the seed: each night tries others, and what it prints repeats them.
nightly: $(DEV)
	$(MAKE) fuzz COUNT=1000000 SEED=$$(date +%Y%m%d)

bench: $(DEV)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(BASE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "casty needs Python 3.11 or newer; say which one with PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf $(VENV)
	@# Some systems split ensurepip off: then the environment borrows the system's pip, or virtualenv makes it.
	$(PYTHON) -m venv $(VENV) 2>/dev/null \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) \
			&& $(PYTHON) -m pip --python $(BIN)/python install --quiet --ignore-installed pip; } \
		|| $(PYTHON) -m virtualenv --quiet --clear $(VENV) \
		|| { echo "cannot make $(VENV): install the venv module (python3-venv) or pip for $(PYTHON)" >&2; exit 1; }
	@touch $@

$(RUNTIME): $(BASE) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"])')
	@touch $@

$(DEV): $(BASE) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(RUNTIME) $@
