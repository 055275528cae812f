# Everything a developer does, each with one command. `make` alone explains.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --no-emit-find-links --no-emit-index-url
# Arguments for the program behind a target: make test ARGS='-k station', make demo ARGS=--help
ARGS ?=
# Fast tests compute most of the time: two workers a core. The others wait for real programs: five for two cores.
CORES = $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell expr $(if $(filter test-all,$@),5,4) \* $(CORES) / 2)
# The first Python that is new enough and can make a virtual environment; asked for only when one is made.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Where this is set, every worker and every process of a test would compile all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show this list
	@echo "clopos-exporter: make TARGET"; \
	sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	printf '%-16s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(VENV)/runtime ## Run the exporter against the built-in Clopos simulator
	@exec $(PY) -m exporter demo $(ARGS)

.PHONY: check test test-all test-lowest lint fmt docs messages rules dashboards lock screenshots bench torture soak fuzz audit
check: lint test ## Run lint and the fast tests: what every commit has to pass

test: $(VENV)/dev ## Run the fast tests
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

test-all: $(VENV)/dev ## Run every test, real programs and containers included
	$(PY) -m pytest -n $(WORKERS) --dist loadgroup --durations=30 --durations-min=10 $(ARGS)

lint: export MYPY_NUM_WORKERS = $(CORES)
lint: $(VENV)/dev ## Check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PY) -m tools.typed_tests
	$(BIN)/lint-imports

fmt: $(VENV)/dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

test-lowest: $(BIN)/uv ## Run the fast tests with the oldest dependencies that pyproject.toml allows
	@mkdir -p .cache
	@$(BIN)/uv venv --quiet --clear --python $(PY) .cache/lowest
	@$(BIN)/uv pip install --quiet --python .cache/lowest --require-hashes -r requirements-lowest.lock
	@$(BIN)/uv pip install --quiet --python .cache/lowest --no-deps --no-build-isolation --editable .
	.cache/lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

docs: $(VENV)/dev ## Write the generated tables of both READMEs and the configuration reference
	$(PY) -m tools.tables
	$(PY) -m tools.configuration
	$(PY) -m tools.chart_values

messages: $(VENV)/dev ## Bring the translation catalogues up to date with the code
	@mkdir -p .cache
	$(BIN)/pybabel -q extract -F pyproject.toml -k N_ --no-location -o .cache/messages.pot exporter
	$(BIN)/pybabel -q update -i .cache/messages.pot -d exporter/locale -D clopos-exporter --no-fuzzy-matching --ignore-pot-creation-date $(ARGS)

rules: $(VENV)/dev ## Write the alerting rules in all their forms
	$(PY) -m monitoring.rules

dashboards: $(VENV)/dev ## Write the dashboards
	$(PY) -m monitoring.dashboards

lock: $(BIN)/uv ## Renew the lock files from pyproject.toml
	$(LOCK) $(ARGS) pyproject.toml --group dev -o requirements-dev.lock
	$(LOCK) $(ARGS) -c requirements-dev.lock pyproject.toml --extra postgresql -o requirements.lock
	$(LOCK) $(ARGS) -c requirements-dev.lock --group build -o requirements-build.lock
	$(LOCK) $(ARGS) -c requirements-dev.lock --group release -o requirements-release.lock
	$(LOCK) $(ARGS) --group lock -o requirements-uv.lock
	$(LOCK) $(ARGS) --group fuzz -o requirements-fuzz.lock
	$(LOCK) $(ARGS) --no-deps --group ci -o requirements-ci.lock
	@mkdir -p .cache
	$(BIN)/uv pip compile --quiet --universal --resolution lowest-direct $(ARGS) pyproject.toml -o .cache/lowest.txt
	$(LOCK) $(ARGS) -c .cache/lowest.txt pyproject.toml --group dev -o requirements-lowest.lock

screenshots: $(VENV)/dev ## Take pictures of the page: the README's, and every state into .cache/states
	@mkdir -p .cache/states
	SCREENSHOTS="$(CURDIR)/docs/images" STATE_SCREENSHOTS="$(CURDIR)/.cache/states" \
		$(PY) -m pytest -n0 tests/e2e/test_page.py tests/e2e/test_page_states.py -k "pictures or state" $(ARGS)

bench: $(VENV)/dev $(BIN)/uv ## Measure polling, scraping and cost against their targets
	@mkdir -p .cache
	@$(BIN)/uv venv --quiet --clear --python $(PY) .cache/installed
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .cache/installed --require-hashes -r requirements.lock
	EXPORTER_PYTHON=.cache/installed/bin/python $(PY) -m benchmarks $(ARGS)

torture: $(VENV)/dev ## Attack the server and measure what a scrape notices
	$(PY) -m benchmarks.torture $(ARGS)

soak: $(VENV)/dev ## Run the real process through hours in minutes and watch what it keeps
	$(PY) tests/e2e/soak.py $(ARGS)

# A lock of its own, because atheris has no wheels for every Python that is supported.
fuzz: $(VENV)/dev ## Fuzz a target guided by coverage: wire, configuration or web
	@$(PIP) --upgrade --target .cache/atheris -r requirements-fuzz.lock
	@mkdir -p .cache/fuzz
	PYTHONPATH=.cache/atheris $(PY) tests/fuzz/guided.py $(or $(ARGS),wire -max_total_time=60) -artifact_prefix=.cache/fuzz/

audit: $(VENV)/release ## Ask the advisory databases about the locked dependencies
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements.lock $(ARGS)

.PHONY: image chart release
image: ## Build the container image with docker, podman or buildah
	tools/image

chart: ## Check the Helm chart and pack it into dist/
	helm lint --strict helm/clopos-exporter
	helm package helm/clopos-exporter --destination dist

release: $(VENV)/release ## Build wheel, sdist, chart, image, SBOM and checksums, and tag; DRY_RUN=1 changes nothing
	tools/release

# One environment; each stamp says which lock file is in it. The development lock holds the runtime lock's versions.
$(VENV)/runtime: requirements.lock | $(PY)
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(PIP) -r requirements.lock
	@touch $@

$(VENV)/dev: requirements-dev.lock pyproject.toml | $(PY)
	@echo "Installing the locked development dependencies into $(VENV) ..."
	@$(PIP) -r requirements-dev.lock
	@$(PY) -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/runtime

$(VENV)/release: requirements-release.lock requirements-build.lock | $(VENV)/runtime
	@echo "Installing the locked release tools into $(VENV) ..."
	@$(PIP) -r requirements-release.lock -r requirements-build.lock
	@touch $@

$(BIN)/uv: requirements-uv.lock | $(PY)
	@$(PIP) -r requirements-uv.lock
	@touch $@

# A link to an interpreter that is gone is made anew, for it counts as absent.
$(PY):
	@test -n "$(PYTHON)" || { \
	echo "clopos-exporter needs Python 3.11 or newer, able to make virtual environments (venv, ensurepip)."; \
	echo "Found: $$(python3 --version 2>&1 | head -n 1). On Debian and Ubuntu: apt install python3-venv"; \
	echo "Another interpreter: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; } >&2
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv --clear $(VENV)
