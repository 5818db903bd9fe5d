# Every target sets up what it needs: a fresh machine with Python 3.11 is enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo test test-all lint types docs dist bench evidence clean
help:            ## show this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p; s/^\([a-z-]*\):  *## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

setup: $(READY)  ## make .venv with everything in it

demo: $(READY)   ## a small study on bundled real data, and its report: five minutes on two idle cores
	$(BIN)/python -m nastransfer_nni.study run experiments/study_digits.yml --concurrency 2
	$(BIN)/python -m nastransfer_nni.report runs/study-digits --out report
	@echo "open report/index.html, or watch all runs: $(BIN)/tensorboard --logdir runs"

# One process for each core, with one thread each.
PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal

test: $(READY)   ## run all but the slow tests: five minutes on two idle cores
	$(PYTEST) -m "not slow"

test-all: $(READY)  ## run all tests, with kills, several processes and simulations: twenty minutes
	$(PYTEST)

lint: $(READY)   ## style and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

docs: $(READY)   ## build/site, the documentation; a link or anchor that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict

dist: $(READY)   ## wheel and sdist in dist/, checked
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[release]'
	rm -rf build/lib build/bdist.* dist
	$(BIN)/python -m build -q
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

bench: $(READY)  ## measure speed and memory side by side (an hour), write benchmarks/results
	$(BIN)/python -m benchmarks speed

evidence: $(READY)  ## make results/README.md, what is known, from the tables in NASTRANSFER_DATA
	$(BIN)/python -m benchmarks.evidence

clean:           ## remove the environment and caches (never runs/)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info
