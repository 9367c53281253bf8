# Each target installs what it needs into .venv first. Python 3.11 or newer and make are enough.

VENV := .venv/bin
PIP := $(VENV)/python -m pip --disable-pip-version-check --quiet

# One process for each core: with more, tests in real time disturb each other. Each file stays in one
# process, so that its server starts once. The longest files begin first.
PARALLEL := -n $(shell getconf _NPROCESSORS_ONLN) --dist loadfile --no-loadscope-reorder
# Folders of tests that start a server or a browser.
STARTS := end_to_end browser examples

# Tests start many servers. Without compiled modules each start takes seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run check test bench soak fuzz audit lint format hooks clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# For development on one machine: receivers of webhooks may have private addresses, and test calls are
# on. A value in the environment or in .env takes precedence.
run: .venv/run ## Start Patchbay, with keys for development in .env
	@$(VENV)/python -m service.cli.keys .env
	@LC_ALL=C grep -q '^[^A-Za-z#]*WEBHOOK_ALLOW_PRIVATE=' .env || \
	  export WEBHOOK_ALLOW_PRIVATE="$${WEBHOOK_ALLOW_PRIVATE:-on}"; \
	LC_ALL=C grep -q '^[^A-Za-z#]*TEST_CALLS=' .env || export TEST_CALLS="$${TEST_CALLS:-3}"; \
	exec $(VENV)/gunicorn --env FIRST_STEPS=1

# For use before each commit. It takes a few minutes on two cores.
check: lint ## Lint, and run the tests that start no server and no browser
	$(VENV)/pytest $(PARALLEL) $(STARTS:%=--ignore=tests/%)

test: lint ## Lint, and run all tests
	$(VENV)/pytest $(PARALLEL)

# Takes about 25 minutes, or thirty with OPTIONS=--fine. Node is compared if npm is installed.
bench: .venv/test ## Measure how many calls a core carries (OPTIONS=--fine)
	@if command -v npm >/dev/null; then \
	  npm install --prefix bench/alternatives --no-audit --no-fund --no-package-lock --silent || \
	    echo "npm could not install ws: the benchmark goes on without Node." >&2; \
	fi
	@$(VENV)/python -m bench $(OPTIONS)

# Runs calls for MINUTES, and compares resources before and after.
soak: .venv/test ## Let calls come and go, and look for leaks (MINUTES=30)
	@$(VENV)/python -m bench.soak --minutes $(or $(MINUTES),30)

# Runs every test with generated input, with EXAMPLES examples each. `make check` runs a few of them.
fuzz: .venv/test ## Feed parsers and endpoints generated input (EXAMPLES=1000)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),1000) $(VENV)/pytest -s -m hypothesis

# The tool has an environment of its own, so that it does not audit itself.
audit: .venv/run ## Compare the installed packages with published advisories
	@test -x .venv/audit/bin/pip-audit || { $(VENV)/python -m venv .venv/audit && \
	  .venv/audit/bin/python -m pip --disable-pip-version-check --quiet install pip-audit; }
	@$(PIP) freeze --exclude-editable > .venv/audit/installed.txt
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv/audit/installed.txt

lint: .venv/test ## Run ruff, mypy and import-linter
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

format: .venv/test ## Format the code
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

# The hooks of .pre-commit-config.yaml run this environment's own tools.
hooks: .venv/test ## Let git run the linters before each commit
	@test -x $(VENV)/pre-commit || $(PIP) install pre-commit
	$(VENV)/pre-commit install

clean: ## Remove the virtual environment and caches, but neither .env nor data
	rm -rf .venv bench/alternatives/node_modules build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/run: setup.cfg pyproject.toml | .venv/bin/python
	$(PIP) install --editable '.[postgres]'
	@touch $@

.venv/test: setup.cfg pyproject.toml | .venv/bin/python
	$(PIP) install --editable '.[test]'
	@touch $@

.venv/bin/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv .venv"; exec $$python -m venv .venv; \
	  fi; \
	done; \
	echo "Patchbay needs Python 3.11 or newer with its venv module, and found none." >&2; exit 1
