# Everything stands on .venv, which is made on first use. Python >= 3.11 and make are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help run test faults lint bench bench-peers fuzz soak demo picture clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/orch: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "orch needs Python 3.11 or newer; try: make PYTHON=python3.12 run")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@$(BIN)/python -m compileall -q orchestrator # pip does it for what it copies
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

picture: $(VENV)/.dev ## docs/advise.svg: what orch advise says of the demo
	@$(BIN)/python -m tests.benchmarks.picture

test: $(VENV)/.dev ## the whole suite
	@$(BIN)/python -m pytest -n auto --dist worksteal -q

faults: $(VENV)/.dev ## what orch promises, tried with real processes, signals and disks
	@$(BIN)/python -m pytest --promises -n auto --dist worksteal -q

lint: $(VENV)/.dev ## ruff, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.dev ## ratios against what else does the same, side by side; bench.json
	@$(BIN)/python -m tests.benchmarks --json bench.json

bench-peers: $(VENV)/.dev ## install other tools for make bench to compare with
	@$(BIN)/python -m tests.benchmarks.others

fuzz: $(VENV)/.dev ## 200,000 mutants of job files let no other exception out
	@$(BIN)/python -m tests.fuzz_reader 200000

soak: $(VENV)/.dev ## 100,000 seeds of the simulation, 200 kills of a real run
	@seed=$$($(BIN)/python -c 'import random; print(random.randrange(10**9))'); \
	timeout 240 $(BIN)/python -m tests.simulation 50000 $$seed && \
	timeout 360 $(BIN)/python -m tests.simulation_pipelines 20000 $$seed && \
	timeout 480 $(BIN)/python -m tests.simulation_resume 30000 $$seed
	@ORCH_TEST_KILLS=200 timeout 900 $(BIN)/python -m pytest -q tests/faults/test_resume.py -k random_moments

clean: ## remove what was made
	@rm -rf $(VENV) .orch census.md dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
