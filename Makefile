# One command per chore, the same here and in CI.
# `make test VENV=path` uses an existing environment and installs into it only if something is missing.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
USED = torch torchvision numpy yaml pydantic typer rich matplotlib pandas jinja2 platformdirs sklearn scipy psutil \
       threadpoolctl torchmetrics regex
NEEDED = $(USED) pytest xdist pytest_cov pre_commit hypothesis jsonschema ruff mypy playwright axe_playwright_python \
         prodigyopt schedulefree tensorboard mlflow wandb pyarrow accelerate ray submitit keras lightning peft skorch timm \
         transformers ipykernel jax nbclient material mkdocstrings_handlers
PARALLEL = -n logical --maxprocesses 8 --dist worksteal
# Slow tests wait for other processes nearly half of the time: one more than there are cores.
SLOW_PARALLEL = -n $(shell $(PYTHON) -c "import os; print(min((os.cpu_count() or 1) + 1, 4))") --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow coverage soak docs docs-figures release-check study-report bench bench-short check lint layout types vulnerabilities format user environment documented clean

demo: user  ## Compare twelve configs on embedded data: about two minutes.
	$(BIN)/python -m lrbench demo

test: environment  ## Run the ordinary tests, one process per core: no network, no GPU, about a quarter of an hour on two quiet cores.
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: environment  ## Train on real MNIST (if LRBENCH_DATA has it) and kill real processes: about twenty minutes on two cores.
	$(BIN)/python -m pytest -m slow $(SLOW_PARALLEL) --durations 12

coverage: environment  ## Run the ordinary tests and print the coverage of each file.
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term

soak: environment  ## Kill runs a thousand times, fail every write, try thousands of damaged files: hours. ONLY=run TRIES=20 does less.
	$(BIN)/python -m tests.soak $(foreach one,$(ONLY),--only $(one)) $(if $(TRIES),--tries $(TRIES))
	$(if $(ONLY),,LRBENCH_EXAMPLES=2000 $(BIN)/python -m pytest -m "slow or not slow" \
		tests/test_fuzz.py tests/test_damaged_logs.py tests/test_damaged_readers.py)

docs: documented  ## Build the documentation site into site/, strictly: broken links and anchors are errors. About two minutes.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-figures: documented  ## Renew the figures in docs/ that are drawn from runs/study.
	$(BIN)/python website/drawn.py

release-check: environment  ## Build sdist and wheel, and use the wheel from an empty folder in a fresh environment: ten minutes.
	@$(HAS) build twine || $(BIN)/python -m pip install --quiet --disable-pip-version-check build twine
	$(BIN)/python tests/release.py $(RELEASE)

study-report: user  ## Write the reports of docs/study.md from the results in runs/study, without training.
	$(BIN)/python -m lrbench report --runs runs/study --filter dataset=mnist --filter epochs=25 --baseline baseline \
	  --target val_accuracy=0.99 --out runs/study-report
	$(BIN)/python -m lrbench report --runs runs/study --filter 'mnist-rates*' --out runs/study-report/rates
	$(BIN)/python -m lrbench report --runs runs/study --filter dataset=digits --baseline baseline \
	  --target val_accuracy=0.98 --out runs/study-report/digits

BENCH = $(BIN)/python benchmarks/scoreboard.py $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json)

bench: environment .bench-keras/ready  ## Print the scoreboard: lrbench beside its peers. HISTORY=1 records it, ONLY=help,tiny ROUNDS=3 measures less.
	$(BENCH) --keras .bench-keras/bin/python $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(HISTORY),--record)

bench-short: environment  ## Compare a few cheap figures with benchmarks/reference.json, as CI does: about a minute.
	$(BENCH) --short

.bench-keras/ready:
	$(PYTHON) -m venv .bench-keras
	.bench-keras/bin/python -m pip install --quiet --disable-pip-version-check keras tensorflow && touch $@ \
	  || echo "Keras could not be installed, so it will not be measured."

check: lint layout types vulnerabilities  ## Run linter, layout and type checks, which are also hooks in .pre-commit-config.yaml, and look up known vulnerabilities.

lint: environment
	$(BIN)/python -m ruff check .

layout: environment
	$(BIN)/python -m ruff format --check .

types: environment
	$(BIN)/python -m mypy

vulnerabilities: environment
	@$(BIN)/python tests/vulnerabilities.py

format: environment
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# Most of what is installed is never imported; compiling all of it takes a minute.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable
HAS = $(BIN)/python -c "import sys, importlib.util as i; sys.exit(not all(map(i.find_spec, sys.argv[1:])))"

# `user` installs the package as users get it; `environment` adds what tests and checks need.
ifeq ($(VENV),.venv)
user: .venv/user
environment: .venv/ready

.venv/user: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

.venv/ready: .venv/user
	$(INSTALL) '.[dev]'
	touch $@
else
user:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(HAS) $(USED) || $(INSTALL) .

environment:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(HAS) $(NEEDED) || $(INSTALL) '.[dev]'
endif

documented: user
	@$(HAS) material mkdocstrings_handlers || $(INSTALL) '.[docs]'

clean:
	rm -rf .venv .bench-keras site .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
