# The front door. Each target sets up what it needs, without root, from Python 3.11 (with venv),
# make and git alone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# What it takes to run the exporter, to work on it, and to fuzz it.
RUNS := $(VENV)/.runs
INSTALLED := $(VENV)/.installed
FUZZES := $(VENV)/.fuzzes
AUDITS := $(VENV)/audit
PYTEST := -m pytest -n 2
RELEASE_SCRIPTS := $(filter-out %.py %__pycache__,$(wildcard deploy/release/*))
FUZZED := $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_SECONDS ?= 60

.PHONY: help demo test test-fast test-all test-busy test-tools coverage properties fuzz check audit format \
  bench soak chart pictures monitoring compatibility lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(RUNS) ## Run the exporter against the built-in simulator: no account, no configuration
	$(BIN)/flashback-exporter demo

test: $(INSTALLED) ## Run the tests: 5 minutes on two cores, with the real programs
	$(BIN)/python $(PYTEST)

test-fast: $(INSTALLED) ## Run what takes under a minute: no programs, no virtual time
	$(BIN)/python $(PYTEST) --fast

test-all: test ## Run the tests that take long, too
	$(BIN)/python $(PYTEST) -n 4 --long=only  # most of them wait for real programs

coverage: $(INSTALLED) ## Run all of them, those of the night too, with branch coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) --long=with --nightly
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-busy: $(INSTALLED) ## Run the tests three times while eight processes keep the machine busy
	$(BIN)/python -m tests.busy

properties: $(INSTALLED) ## Try forty times as many examples in the property tests
	$(BIN)/python $(PYTEST) -m hypothesis --long=with --hypothesis-profile=long

fuzz: $(FUZZES) ## Fuzz what reads foreign input, for FUZZ_SECONDS (60) each
	for target in $(FUZZED); do \
	  $(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

test-tools: ## Install the real programs that tests use (Debian, root); without them those tests skip
	tests/real/install-tools

check: $(INSTALLED) ## Format, lint, types, import rules, spelling, what PyPI would take
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

audit: ## Ask whether a locked library has a known hole; needs the network
	$(PYTHON) -m venv --clear $(AUDITS)
	$(AUDITS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.txt
	code=0; for locked in requirements*.txt deploy/image/requirements-build.txt; do \
	  $(AUDITS)/bin/pip-audit --disable-pip --require-hashes --requirement $$locked || code=1; \
	done; exit $$code

format: $(INSTALLED) ## Rewrite the code as `make check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Measure speed, as ratios against what runs beside it
	$(BIN)/python -m benchmarks

soak: $(INSTALLED) ## 100,000 polls with failures stay flat; days of trouble stay true
	$(BIN)/python -m tests.truth.soak
	$(BIN)/python -m tests.truth.soak --chaos --minutes 1

chart: $(INSTALLED) ## Renew what the chart makes from other files; needs Helm
	$(BIN)/python -m tests.chart

pictures: $(INSTALLED) ## Take the pictures anew, with a real browser; the boards' need npm and a quarter of an hour
	$(BIN)/python -m tests.real.pictures
	$(BIN)/python -m tests.real.boards_drawn

monitoring: $(INSTALLED) ## Render the rules and dashboards anew
	$(BIN)/python -m monitoring

compatibility: $(INSTALLED) ## Record which versions of the real programs the tests ran here
	$(BIN)/python -m tests.real.compatibility

lock: $(INSTALLED) ## Renew the hashed lock files from pyproject.toml
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

clean: ## Remove everything that these targets made
	rm -rf $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

$(RUNS): requirements.txt deploy/image/requirements-build.txt pyproject.toml
	$(if $(shell $(PYTHON) -c 'import sys; print("new" if sys.version_info >= (3, 11) else "")'),,\
	  $(error $(PYTHON) must be Python 3.11 or newer: make PYTHON=python3.13 …))
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
