# What a person runs, by short names; CI runs the same.

PYTHON ?= $(shell for p in python3 python3.11 python3.12; do \
	$$p -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TEST_FLAGS ?=
TEST_WORKERS ?= 2

.PHONY: default setup setup-dev demo serve test lint types unit format bench cohort smoke clean

default: test

# The virtual environment with what the product needs.
setup: .venv/.setup

.venv/.setup: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "OneScan needs Python 3.11 or 3.12 with venv (Debian: apt-get install python3-venv)." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt pip
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

# The same and what tests and lint need (torch among it, CPU build).
setup-dev: .venv/.setup-dev

.venv/.setup-dev: .venv/.setup
	$(PIP) install --quiet --constraint constraints.txt --group dev
	@touch $@

# A synthetic study in, findings out, through the whole embedded server.
demo: setup
	$(BIN)/onescan demo

# The embedded server, until Ctrl-C.
serve: setup
	$(BIN)/onescan up

# Lint, types and the whole test suite.
test: setup-dev lint types unit

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev
	$(BIN)/mypy

unit: setup-dev
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile $(TEST_FLAGS) \
	|| { echo "What failed beside other tests is run again, alone."; \
	     $(BIN)/pytest --last-failed --last-failed-no-failures none $(TEST_FLAGS); }

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Ratios against named peers; see loadtests/README.md.
bench: setup-dev
	$(PIP) install --quiet --constraint constraints.txt --group loadtests
	$(BIN)/python -m loadtests.bench all --json

# 25 planted phantoms a check and 600 healthy ones through the whole server; hours, resumable.
cohort: setup-dev
	$(BIN)/python -m loadtests.cohort

# The same path with 16 and 16 small ones; minutes, and no measure of anything.
smoke: setup-dev
	$(BIN)/python -m loadtests.cohort --smoke

# PACS, partners and radiologists against a server of its own for two minutes; exits by
# loadtests/targets.toml, report in build/load/report.html.
.PHONY: load
load: setup-dev
	$(PIP) install --quiet --constraint constraints.txt --group loadtests
	$(BIN)/python -m loadtests.load small

# Fifty faults from a seed on a server under load; half an hour, resumable. See loadtests/README.md.
.PHONY: chaos
chaos: setup-dev
	$(BIN)/python -m loadtests.chaos --faults 50 --seed $(or $(SEED),1)

# Kills a server at every step of the write path, and replays power failures.
.PHONY: durable
durable: setup-dev
	$(BIN)/pytest --every-step tests/integration/test_stow_durable.py tests/integration/test_stow_power.py

# Damaged bodies, headers and pixels by the ten thousand; goes on where it was interrupted.
.PHONY: fuzz
fuzz: setup-dev
	$(BIN)/python -m tests.fuzz --inputs 50000

# The OpenAPI document against the api, thousands of requests with new seeds; minutes.
.PHONY: fuzz-api
fuzz-api: setup-dev
	$(BIN)/pytest tests/integration/test_api_fuzz.py --fuzz-examples 400 --timeout 0

# The Helm chart: lint, every profile rendered and held to the schemas, its queries on a database.
.PHONY: chart
chart: setup-dev
	$(BIN)/python helm/values_table.py
	@for values in "" values-edge.yaml values-national.yaml ci/minimal-values.yaml ci/all-values.yaml; do \
	  $(BIN)/helm lint --strict --quiet helm/onescan $${values:+--values helm/onescan/$$values} && \
	  $(BIN)/helm template onescan helm/onescan $${values:+--values helm/onescan/$$values} >/dev/null && \
	  echo "helm/onescan $${values:-values.yaml}: renders" || exit 1; \
	done
	$(BIN)/pytest tests/chart

clean:
	rm -rf .venv demo test-artefacts .mypy_cache .ruff_cache .pytest_cache

# The environment of the whole-study benchmark's peer, apart from ours (NumPy 2, torch).
.PHONY: peer
peer: .peer/.setup

.peer/.setup: loadtests/peers/requirements.txt
	$(PYTHON) -m venv .peer
	.peer/bin/python -m pip --disable-pip-version-check install --quiet torch==2.13.0
	.peer/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	@touch $@
