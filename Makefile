# Everything a contributor does. Only POSIX sh, make and Python 3.11+ are needed; the rest is fetched into .venv.

VENV := .venv
BIN := $(VENV)/bin
#: What judges the locks has an environment of its own.
AUDIT := $(VENV)/audit
#: A particular Python: `make test PYTHON=python3.12`.
PYTHON ?=

.PHONY: help demo test test-fast nightly test-report lint format check schemas docs lock bench-runner bench-reportportal parity-reportportal chaos kill-points bench-redaction fuzz build audit sbom lowest newest clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## See the whole pipeline at work on this machine, with nothing to set up
	@$(BIN)/testbus demo

# Most tests wait for processes and servers, so there are twice as many test processes as processors (tests/conftest.py),
# each with a RabbitMQ of its own. What fails is tried once more, on machines that are shared with others; what passes only
# then is listed at the end with the first traceback. Plain `pytest` tries once.
XDIST = --dist loadfile --no-loadscope-reorder
PYTEST = $(BIN)/pytest -n auto $(XDIST)
JUNIT := build/junit.xml
RUN_ID := make-test-$(shell date +%s)

test: $(VENV)/.dev ## Run all tests; those that need RabbitMQ, Redis or PostgreSQL say so when they find none
	$(PYTEST) -m 'not nightly' --reruns 1 --rerun-show-tracebacks --durations 10 --junitxml $(JUNIT)

test-fast: $(VENV)/.dev ## Run the quick tests, for the loop at the desk: a minute at most
	$(BIN)/pytest -n logical $(XDIST) -m 'not nightly and not services and not slow'

nightly: $(VENV)/.dev ## Run the tests that take too long for every change
	$(PYTEST) -m nightly --timeout 1800 --reruns 1 --rerun-show-tracebacks --durations 10

test-report: $(VENV)/.dev ## Publish the results of `make test` through testbus itself, and write them as a page into build/
	$(BIN)/testbus publish --url file://$(CURDIR)/build/testbus --run $(RUN_ID) $(JUNIT)
	-TESTBUS_HOME=build/testbus $(BIN)/testbus drain && TESTBUS_HOME=build/testbus $(BIN)/testbus verdict $(RUN_ID)
	TESTBUS_HOME=build/testbus $(BIN)/testbus report $(RUN_ID) --out build

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

docs: $(VENV)/.dev ## Build the documentation as a site, into build/site; a broken link or anchor is an error
	$(BIN)/mkdocs build --strict

# Extras stay in the lock: without them pip takes `coverage[toml]` for a requirement that is not locked. Each option is
# written `--name=value`, and each lock has a source: Renovate reads the command in a lock's first lines, and no other form.
LOCK = $(BIN)/uv pip compile --quiet $(UPGRADE) --universal --no-strip-extras --python-version=3.11 --generate-hashes

lock: $(VENV)/.dev ## Lock what pyproject.toml asks for, with hashes; newest versions with UPGRADE=--upgrade
	$(LOCK) --extra=all --group=dev --output-file=requirements/dev.txt pyproject.toml requirements/build.in
	$(LOCK) --extra=all --constraint=requirements/dev.txt --output-file=requirements/runtime.txt pyproject.toml
	$(LOCK) --constraint=requirements/dev.txt --output-file=requirements/build.txt requirements/build.in
	$(LOCK) --output-file=requirements/audit.txt requirements/audit.in

bench-runner: $(VENV)/.dev ## Measure what the pytest plugin costs a test run
	$(BIN)/python -m benchmarks.runner

bench-reportportal: $(VENV)/.dev ## Measure how fast results reach a ReportPortal that answers late
	$(BIN)/python -m benchmarks.reportportal --latency-ms 20

parity-reportportal: $(VENV)/.dev ## Compare launches with those of ReportPortal's own agent, on five public packages
	$(BIN)/python -m benchmarks.reportportal_parity --json

#: What `make chaos` tries, once for each seed: `make chaos SEEDS=7 RESULTS=3000 FAULTS=20`.
RESULTS := 50000
FAULTS := 100
SEEDS := 1 2 3

chaos: $(VENV)/.dev ## Kill, cut and stall everything under load: nothing may be lost or doubled (takes hours)
	@for seed in $(SEEDS); do \
		$(BIN)/python -m benchmarks.chaos --results $(RESULTS) --faults $(FAULTS) --seed $$seed --json || exit 1; \
	done

kill-points: $(VENV)/.dev ## Kill 1,000 runners at random points, and count what is lost (two minutes and more)
	$(BIN)/python -m benchmarks.kill_points --kills 1000 --sessions 24 --seed 1

bench-redaction: $(VENV)/.dev ## Measure what redaction finds, what it takes for a secret, and what it costs
	$(BIN)/python -m benchmarks.redaction

fuzz: $(VENV)/.dev ## A million odd bodies through the decoder, ten thousand messages through real workers
	$(BIN)/python -m benchmarks.fuzz --bodies 1000000 --worker 10000

build: $(VENV)/.dev ## Build the source distribution, and the wheel from it, into dist/ with the locked backend
	@rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist

audit: $(AUDIT)/.installed ## Look for known vulnerabilities in everything that is locked
	@for lock in requirements/*.txt; do \
		echo "$$lock"; \
		$(AUDIT)/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip -r $$lock || exit 1; \
	done

# In an environment of its own, with nothing but what is released: what the list names is what was installed from the lock.
sbom: build $(AUDIT)/.installed ## List what the lock installs beside the built wheel, as dist/testbus.cdx.json (CycloneDX)
	@rm -rf $(VENV)/released && $(BIN)/python -m venv --without-pip $(VENV)/released
	@$(PIP) --python $(VENV)/released/bin/python $(LOCKED) -r requirements/runtime.txt
	@$(PIP) --python $(VENV)/released/bin/python $(INSTALL) dist/*.whl
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/testbus.cdx.json \
		$(VENV)/released/bin/python

#: Where what is released is tried without the lock, and the tests that say whether versions fit it: two minutes.
TRIED := $(VENV)/tried
FIT := tests/tour tests/sandbox tests/schemas

# What `pip install testbus` chooses may be any version within the bounds of pyproject.toml; the wheel is tried with both ends.
# Oldest are testbus's own dependencies (lowest-direct), of those that they bring the newest, as everywhere else.
lowest: build ## Try the wheel with the oldest versions that pyproject.toml allows (Python 3.11)
	@$(BIN)/uv pip compile --quiet --resolution lowest-direct --extra all --python-version 3.11 --no-header -o dist/tried.txt pyproject.toml
	@$(MAKE) --no-print-directory tried TRIED_PYTHON=3.11

newest: build ## Try the wheel with the newest versions that pyproject.toml allows
	@: > dist/tried.txt
	@$(MAKE) --no-print-directory tried TRIED_PYTHON=$(BIN)/python

.PHONY: tried
tried:
	@$(BIN)/uv venv --quiet --clear --python $(TRIED_PYTHON) $(TRIED)
	@$(BIN)/uv pip install --quiet --python $(TRIED) -c dist/tried.txt "$$(echo dist/*.whl)[all]" --group test
	$(TRIED)/bin/testbus --help
	$(TRIED)/bin/testbus demo
	$(TRIED)/bin/python -m pytest -m 'not services and not nightly' $(FIT)

clean: ## Remove .venv, caches and what was built
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is locked is installed as it is (--no-deps), so that no pip, old or new, chooses a version by itself; the build of
# testbus uses the locked backend (--no-build-isolation). The stamps make a repeated make instant; a changed lock or
# pyproject.toml installs again.
INSTALL = install --quiet --disable-pip-version-check --no-deps
LOCKED = $(INSTALL) --require-hashes --only-binary :all:
PIP = $(BIN)/python -m pip

$(VENV)/.runtime: requirements/build.txt requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo 'Installing what testbus needs into $(VENV) …'
	@$(PIP) $(LOCKED) -r requirements/build.txt -r requirements/runtime.txt
	@$(PIP) $(INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo 'Installing what testbus and its tests need into $(VENV) …'
	@$(PIP) $(LOCKED) -r requirements/dev.txt
	@$(PIP) $(INSTALL) --no-build-isolation -e .
	@touch $@ $(VENV)/.runtime

$(AUDIT)/.installed: requirements/audit.txt | $(BIN)/python
	@echo 'Installing pip-audit and cyclonedx-bom into $(AUDIT) …'
	@$(BIN)/python -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip $(LOCKED) -r requirements/audit.txt
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo 'No Python 3.11 or newer with venv found: sudo apt install python3 python3-venv, or brew install python' >&2; \
	exit 1
