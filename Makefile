# The project's commands. Everything but Python 3.11+ and make comes from the package registry.
#
#   make demo [PAGES=all]   Django's documentation through the whole system, three questions, figures
#   make up [DEMO=1]        the site, in the foreground (DEMO=1: with the demo's data and model)
#   make test [FAST=1]      the tests (FAST=1: without services, processes, a browser and what takes long; COVERAGE=1: a report;
#                           DATABASE=postgres: on Debian's PostgreSQL, which is started, or on the one at a URL;
#                           ROWS=1: those that use the database, a fifth of all)
#   make lint               format, lint, imports, types         make audit   known vulnerabilities
#   make sbom               sbom.json: every installed package with its version and licence (CycloneDX)
#   make setup              environment and pinned installs only

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAGES ?= 90
PIP_ARGS ?=
# Each has a Redis, a Milvus and a model of its own, 2 GB together; the tests wait as much as they compute, the fast ones
# hardly.
TEST_PROCESSES ?= $(if $(FAST),2,5)
TEST_ARGS := $(if $(FAST),--fast) $(if $(ROWS),--rows) $(if $(COVERAGE),--cov=ingestion --cov=search --cov=ragproject --cov-report=term:skip-covered)
DEMO_ENV := DATA_DIR=var/demo EMBED_MODEL=stand-in

.PHONY: setup demo up test lint audit sbom clean

setup: $(VENV)/.setup

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.setup: $(VENV)/.python requirements.txt
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.setup requirements-dev.txt
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements-dev.txt
	@touch $@

demo: setup
	@$(DEMO_ENV) $(BIN)/python manage.py demo --pages $(PAGES)

up: setup
	@$(if $(DEMO),$(DEMO_ENV)) $(BIN)/python manage.py up

test: $(VENV)/.dev
	$(if $(DATABASE),TEST_DATABASE=$(DATABASE)) $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(TEST_ARGS) $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/mypy

audit: $(VENV)/.dev
	$(BIN)/pip-audit --requirement requirements.txt --no-deps --disable-pip

sbom: $(VENV)/.dev
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json $(BIN)/python

clean:
	rm -rf sbom.json $(VENV) .mypy_cache .pytest_cache .ruff_cache
