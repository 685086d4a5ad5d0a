# What people who work on Holdfast type. `make` alone lists it.
#
# It needs Python 3.11 or newer and make. Everything else is installed into .venv (from uv.lock, with
# hashes) and .tools (uv itself); the second run of a command finds both and starts at once.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
UV_VERSION := 0.13.9

# Tests run in so many processes, each of which has three brokers of its own (1 GB).
JOBS ?= 3

BIN := .venv/bin
UV := .tools/bin/uv
INSTALLED := .venv/.installed
SOURCES := src producers processors schemas gateway tests examples benchmarks

# Use the Python that is there; never download another one.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
# Every worker is a process of its own, and one that has to compile what it imports starts in twice the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test test-unit test-all chaos containers simulate check format lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## The main job: start brokers, publish, process exactly-once, verify. ARGS="--set count=20000" for more
	@$(BIN)/holdfast demo --set count=5000 $(ARGS)

test: $(INSTALLED) ## All tests but the long ones, on real brokers of their own. ARGS="-k name" for some
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow and not chaos and not containers" $(ARGS)

test-unit: $(INSTALLED) ## The tests that need no broker
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder tests/unit -m "not slow" $(ARGS)

test-all: $(INSTALLED) ## Every test, the long and the destructive ones too
	@$(BIN)/pytest $(ARGS)

chaos: $(INSTALLED) ## The tests that kill brokers and workers
	@$(BIN)/pytest -m chaos $(ARGS)

containers: $(INSTALLED) ## The tests that need a Docker engine; installs and starts one if there is none
	@$(BIN)/pytest -m containers $(ARGS)

simulate: $(INSTALLED) ## Thousands of simulated runs under faults. ARGS="--seeds 500" for fewer
	@$(BIN)/python -m holdfast.testing.simulation --seeds 10000 $(ARGS)

check: $(INSTALLED) ## Lint, format, types, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

install: $(INSTALLED) ## Only install what the other commands need

lock: $(UV) ## Resolve the dependencies anew into uv.lock
	$(UV) lock --upgrade

clean: ## Delete what was installed and built here
	rm -rf .venv .tools dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(INSTALLED): pyproject.toml uv.lock | $(UV)
	@echo "Installing Holdfast and its tools into .venv ..."
	@$(UV) sync --frozen --python "$(PYTHON)"
	@touch $@

$(UV): Makefile
	@test -n "$(PYTHON)" || { echo "Holdfast needs Python 3.11, 3.12 or 3.13; none was found. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing uv $(UV_VERSION) into .tools ..."
	@"$(PYTHON)" -m venv .tools || { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf .tools; exit 1; }
	@.tools/bin/pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@touch $@
