# Everything stands on .venv, which is made on first use. Python >= 3.11 and make are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help run test faults lint bench fuzz demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/orch: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "orch needs Python 3.11 or newer; try: make PYTHON=python3.12 run")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/orch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

run: $(BIN)/orch ## measure Python's standard library: the main job, on real input
	@$(BIN)/orch run configs/census.yaml
	@echo "report: $(CURDIR)/census.md"

demo: $(BIN)/orch ## thread or process: see the GIL for yourself
	@$(BIN)/orch run configs/thread_or_process.yaml -q
	@$(BIN)/orch logs last table --stdout

test: $(VENV)/.dev ## the whole suite
	@$(BIN)/python -m pytest -n auto --dist worksteal -q

faults: $(VENV)/.dev ## what orch promises, tried with real processes, signals and disks
	@$(BIN)/python -m pytest --promises -n auto --dist worksteal -q

lint: $(VENV)/.dev ## ruff, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.dev ## ratios against what else does the same, side by side
	@$(BIN)/python -m tests.benchmarks

fuzz: $(VENV)/.dev ## 200,000 mutants of job files let no other exception out
	@$(BIN)/python -m tests.fuzz_reader 200000

clean: ## remove what was made
	@rm -rf $(VENV) .orch census.md dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
