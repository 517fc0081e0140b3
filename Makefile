# The front door. Each target sets up what it needs, without root, from Python 3.11 (with venv),
# make and git alone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# What it takes to run the exporter, and what it takes to work on it.
RUNS := $(VENV)/.runs
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-tools check format bench soak chart pictures monitoring lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(RUNS) ## Run the exporter against the built-in simulator: no account, no configuration
	$(BIN)/flashback-exporter demo

test: $(INSTALLED) ## Run all tests, with branch coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-tools: ## Install the real programs that tests use (Debian, root); without them those tests skip
	tests/real/install-tools

check: $(INSTALLED) ## Format, lint, types, import rules, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/yamllint --strict .
	$(BIN)/shellcheck .ci/run tests/real/install-tools tests/real/image/make-base deploy/release/check-tag
	$(BIN)/hadolint Dockerfile
	$(BIN)/codespell

format: $(INSTALLED) ## Rewrite the code as `make check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Measure speed, as ratios against what runs beside it
	$(BIN)/python -m benchmarks

soak: $(INSTALLED) ## 100,000 polls with failures: memory and file descriptors stay flat
	$(BIN)/python -m tests.truth.soak

chart: $(INSTALLED) ## Renew what the chart makes from other files; needs Helm
	$(BIN)/python -m tests.chart

pictures: $(INSTALLED) ## Take the README's pictures anew, with a real browser
	$(BIN)/python -m tests.real.pictures

monitoring: $(INSTALLED) ## Render the rules and dashboards anew
	$(BIN)/python -m monitoring

lock: $(INSTALLED) ## Renew the hashed lock files from pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --upgrade --no-annotate --custom-compile-command 'make lock' \
	  --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --upgrade --no-annotate --custom-compile-command 'make lock' \
	  --constraint requirements.txt --group dev --output-file requirements-dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --universal --no-annotate --custom-compile-command 'make lock' \
	  --constraint requirements-dev.txt --group build --output-file deploy/image/requirements-build.txt

clean: ## Remove everything that these targets made
	rm -rf $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

$(RUNS): requirements.txt deploy/image/requirements-build.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) --require-hashes -r requirements.txt -r deploy/image/requirements-build.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(INSTALLED): $(RUNS) requirements-dev.txt
	$(PIP) --require-hashes -r requirements-dev.txt
	touch $@
