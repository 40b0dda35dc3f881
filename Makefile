# The front door. Every target is one line of shell; what it does lives in Python.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
IMAGE := protos/gen/api.binpb
RELEASED := protos/released/v1.binpb
# Tests that cross processes mostly wait: two files at a time halve the time of the whole. With ARGS one.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help install run test test-unit test-integration simulate check check-format check-lint check-types \
	check-architecture check-rules check-contracts format protos release-protos bench chaos import-real jars lock \
	check-instructions record-instructions \
	clean clean-data clean-all

help: ## Show every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Set up .venv with the pinned packages (needs python3 >= 3.11 only)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer with venv is needed (需要 Python 3.11 及以上，含 venv)；set PYTHON=..."; exit 1; }
	@echo "Setting up $(VENV), once; this takes a minute or two (首次安装依赖，约一两分钟) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt -e '.[dev]'
	@touch $@

run: install ## Start everything with a synthetic city and watch alerts fire (Ctrl-C ends it)
	@exec $(BIN)/python -m services.demo $(ARGS)

test: install ## Run all tests, on a real Apache Kafka and a real Redis
	$(BIN)/python -m pytest $(or $(ARGS),$(PARALLEL))

test-unit: install ## Run the tests that need no server
	$(BIN)/python -m pytest services $(ARGS)

test-integration: install ## Run the tests that cross processes
	$(BIN)/python -m pytest integration_tests $(or $(ARGS),$(PARALLEL))

simulate: install ## Run SEEDS=2000 simulated worlds of stream and readers, without servers
	$(BIN)/python -m integration_tests.simulation --seeds $(or $(SEEDS),2000) $(ARGS)

check: check-format check-lint check-types check-architecture check-rules check-contracts ## Run every static check

check-format: install ## Check the format of the code
	$(BIN)/ruff format --check .

check-lint: install ## Check the code for known mistakes
	$(BIN)/ruff check .

check-types: install ## Check the types
	$(BIN)/mypy

check-rules: install ## Check every rule, run its examples, and check its reference page
	$(BIN)/python -m services.control check > /dev/null && $(BIN)/python -m services.control reference --check

check-architecture: install ## Check who may import whom
	$(BIN)/lint-imports --no-logo

check-contracts: install ## Check contracts: generated code, lint, compatibility with the release
	$(BIN)/python protos/generate.py --check
	$(BIN)/buf lint $(IMAGE) --config buf.yaml
	$(BIN)/buf breaking $(IMAGE) --against $(RELEASED) --config buf.yaml

format: install ## Format the code and mend what can be mended safely
	$(BIN)/ruff check --fix --exit-zero --quiet . && $(BIN)/ruff format .

protos: install ## Generate the Python code of the contracts
	$(BIN)/python protos/generate.py

release-protos: install ## Freeze the contracts as the released ones; refused when they break the last
	@[ ! -f $(RELEASED) ] || $(BIN)/buf breaking $(IMAGE) --against $(RELEASED) --config buf.yaml
	@mkdir -p $(dir $(RELEASED)) && cp $(IMAGE) $(RELEASED)

chaos: install ## Strike the whole system with every fault of the catalogue, and judge it (up to 40 min)
	@exec $(BIN)/python -m integration_tests.nemesis $(ARGS)

bench: install ## Measure against other engines and bare baselines: ROW=name for one row (docs/benchmarks)
	$(BIN)/python -m integration_tests.performance.bench $(if $(ROW),--row $(ROW)) $(ARGS)

check-instructions: install ## Count the instructions of the pure step: at most 1.05 of the record (needs valgrind)
	$(BIN)/python -m integration_tests.performance.step_instructions

record-instructions: install ## Renew that record, on purpose
	$(BIN)/python -m integration_tests.performance.step_instructions --record

import-real: install ## Import the two real public data sets whole (fails when they are not there)
	$(BIN)/python -m pytest -m real_data -s $(ARGS)

jars: install ## Fetch the broker's jars now (else the first start does)
	@$(BIN)/python -m services.local.jars > /dev/null

lock: install ## Pin what is installed now, direct and transitive
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable | grep -v '^pip=='; } > constraints.txt.new && mv constraints.txt.new constraints.txt

clean: ## Remove caches
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

clean-data: ## Remove the data of earlier runs (refused while one is running)
	@for lock in $$(find .run -name .lock 2>/dev/null); do flock --nonblock "$$lock" true || { echo "A run is using $$(dirname $$lock): stop it first (仍在运行，请先停止)"; exit 1; }; done
	rm -rf .run

clean-all: clean clean-data ## Remove everything that is not in the repository, .venv too
	rm -rf $(VENV)
