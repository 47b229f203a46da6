# One command per chore, the same here and in CI. `make test VENV=path` uses an environment that is there already.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.lrbench-ready

.PHONY: demo test test-slow check format clean

demo: $(READY)  ## The side-by-side comparison on embedded data, about two minutes.
	$(BIN)/lrbench run configs/digits/*.yaml --seeds 3 --jobs 2 --runs runs/demo
	$(BIN)/lrbench report --runs runs/demo

test: $(READY)  ## The ordinary tests: no network, no GPU, about a minute.
	$(BIN)/python -m pytest

test-slow: $(READY)  ## Real MNIST (where LRBENCH_DATA has it), real processes really killed.
	$(BIN)/python -m pytest -m slow

check: $(READY)  ## Linters and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
