# Everything a contributor does. Only POSIX sh, make and Python 3.11+ are needed; the rest is fetched into .venv.

VENV := .venv
BIN := $(VENV)/bin
#: A particular Python: `make test PYTHON=python3.12`.
PYTHON ?=

.PHONY: help demo test lint format check schemas lock bench-runner build clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## See the whole pipeline at work on this machine, with nothing to set up
	@$(BIN)/testbus demo

test: $(VENV)/.dev ## Run all tests; those that need RabbitMQ, Redis or PostgreSQL say so when they find none
	$(BIN)/pytest

lint: $(VENV)/.dev ## Check style, format, types, and that arrows point down only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Correct style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint test ## lint and test, as CI does

schemas: $(VENV)/.dev ## Write the checked-in JSON Schemas anew
	$(BIN)/python -m testbus_schemas.json_schema

lock: $(VENV)/.dev ## Lock the dependencies of pyproject.toml anew, with hashes
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra all --generate-hashes \
		-o requirements/runtime.txt pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra all --group dev --generate-hashes \
		-o requirements/dev.txt pyproject.toml

bench-runner: $(VENV)/.dev ## Measure what the pytest plugin costs a test run
	$(BIN)/python -m benchmarks.runner

build: $(VENV)/.dev ## Build the wheel and the source distribution into dist/
	$(BIN)/uv build --out-dir dist

clean: ## Remove .venv, caches and what was built
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a repeated make instant; a changed lock or pyproject.toml installs again.

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo 'Installing what testbus needs into $(VENV) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo 'Installing what testbus and its tests need into $(VENV) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@ $(VENV)/.runtime

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo 'No Python 3.11 or newer with venv found: sudo apt install python3 python3-venv, or brew install python' >&2; \
	exit 1
