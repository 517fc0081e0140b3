# Targets install their libraries, without root. Required: Python 3.11 or newer with venv, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --disable-pip-version-check
# Marker files: the libraries to run the exporter, to develop it, and to fuzz it are installed.
RUNS := $(VENV)/.runs
INSTALLED := $(VENV)/.installed
FUZZES := $(VENV)/.fuzzes
AUDITS := $(VENV)/audit
PYTEST := -m pytest -n 2
RELEASE_SCRIPTS := $(filter-out %.py %__pycache__,$(wildcard deploy/release/*))
FUZZED := $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_SECONDS ?= 60

.PHONY: help demo test test-fast test-all test-busy test-tools coverage properties fuzz check audit format \
  bench soak chart configuration pictures monitoring compatibility lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

demo: $(RUNS) ## Run the exporter against the built-in simulator: no account or configuration needed
	$(BIN)/flashback-exporter demo

test: $(INSTALLED) ## Run the tests: 5 minutes on two cores with the real programs
	$(BIN)/python $(PYTEST)

test-fast: $(INSTALLED) ## Run the tests that need neither real programs nor virtual time: under a minute
	$(BIN)/python $(PYTEST) --fast

test-all: test ## Run all tests except the nightly ones
	$(BIN)/python $(PYTEST) -n 4 --long=only  # they mostly wait for real programs

coverage: $(INSTALLED) ## Run all tests, including the nightly ones, with branch coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) --long=with --nightly
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-busy: $(INSTALLED) ## Run the tests three times under CPU load from eight processes
	$(BIN)/python -m tests.busy

properties: $(INSTALLED) ## Run the property tests with forty times as many examples
	$(BIN)/python $(PYTEST) -m hypothesis --long=with --hypothesis-profile=long

fuzz: $(FUZZES) ## Fuzz the code that parses untrusted input, FUZZ_SECONDS (60) per target
	for target in $(FUZZED); do \
	  $(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

test-tools: ## Install the real programs that tests use (Debian, as root); tests without their program are skipped
	tests/real/install-tools

check: $(INSTALLED) ## Check format, lint, types, import rules, spelling and the package metadata
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/yamllint --strict .
	$(BIN)/shellcheck .ci/run tests/real/install-tools tests/real/image/make-base $(RELEASE_SCRIPTS)
	$(BIN)/hadolint Dockerfile
	$(BIN)/codespell
	rm -rf $(VENV)/dist
	$(BIN)/hatchling build -d $(VENV)/dist
	$(BIN)/twine check --strict $(VENV)/dist/*

audit: ## Check the locked libraries for known vulnerabilities; needs the network
	$(PYTHON) -m venv --clear $(AUDITS)
	$(AUDITS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt
	code=0; for locked in requirements*.txt deploy/image/requirements-build.txt; do \
	  $(AUDITS)/bin/pip-audit --disable-pip --require-hashes --requirement $$locked || code=1; \
	done; exit $$code

format: $(INSTALLED) ## Format the code and apply automatic lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Run the benchmarks; results are ratios to a baseline in the same run
	$(BIN)/python -m benchmarks

soak: $(INSTALLED) ## Run the soak tests: memory over 100,000 polls, and correct metrics over simulated days of failures
	$(BIN)/python -m tests.truth.soak
	$(BIN)/python -m tests.truth.soak --chaos --minutes 1

chart: $(INSTALLED) ## Regenerate the chart's tables and golden files; needs Helm
	$(BIN)/python -m tests.chart

pictures: $(INSTALLED) ## Regenerate the screenshots with a real browser; the dashboards' need npm and 15 minutes
	$(BIN)/python -m tests.real.pictures
	$(BIN)/python -m tests.real.boards_drawn

monitoring: $(INSTALLED) ## Regenerate the rules and dashboards
	$(BIN)/python -m monitoring

configuration: $(INSTALLED) ## Regenerate docs/configuration.md and config.schema.json from the configuration's models
	$(BIN)/python -m exporter.config.reference >docs/configuration.md
	$(BIN)/python -m exporter.config.json_schema >config.schema.json

compatibility: $(INSTALLED) ## Regenerate docs/compatibility.md from the programs that the tests use here
	$(BIN)/python -m tests.real.compatibility

lock: $(INSTALLED) ## Regenerate the lock files from pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --upgrade --no-annotate --custom-compile-command 'make lock' \
	  --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --upgrade --no-annotate --custom-compile-command 'make lock' \
	  --constraint requirements.txt --group dev --output-file requirements-dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --no-annotate --custom-compile-command 'make lock' \
	  --constraint requirements-dev.txt --group build --output-file deploy/image/requirements-build.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --upgrade --no-annotate --custom-compile-command 'make lock' \
	  --group fuzz --output-file requirements-fuzz.txt
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --upgrade --no-annotate --custom-compile-command 'make lock' \
	  --constraint requirements-dev.txt --group audit --output-file requirements-audit.txt

clean: ## Remove everything that these targets create
	rm -rf $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

$(RUNS): requirements.txt deploy/image/requirements-build.txt pyproject.toml
	$(if $(shell $(PYTHON) -c 'import sys; print("new" if sys.version_info >= (3, 11) else "")'),,\
	  $(error $(PYTHON) must be Python 3.11 or newer: make PYTHON=python3.13 …))
	@echo "Setting up $(VENV): this takes up to a minute, and happens once."
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) --require-hashes -r requirements.txt -r deploy/image/requirements-build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(INSTALLED): $(RUNS) requirements-dev.txt
	$(PIP) --require-hashes -r requirements-dev.txt
	touch $@

$(FUZZES): $(INSTALLED) requirements-fuzz.txt
	$(PIP) --require-hashes -r requirements-fuzz.txt
	touch $@
