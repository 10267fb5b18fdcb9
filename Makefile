# make: both analyses and the report, from nothing but Python 3.11+ and make.
# make test: the same set-up, then every check and test.
# make reproduce: two runs of the last commit, compared byte for byte.

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
LOCK := $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --no-header --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --annotation-style=line

.PHONY: all lint docs test tests test-processors reproduce audit lock clean

all: $(READY)
	$(BIN)/snakemake --cores $(CORES)

# The locked packages, then the project itself, which the lock leaves out.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mixedflow needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --require-hashes --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check --compact-diff Snakefile workflow
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mixedflow.config.reference --check docs/config.md
	$(BIN)/python docs/draw_architecture.py --check

docs: $(READY)
	$(BIN)/python -m mixedflow.config.reference docs/config.md
	$(BIN)/python docs/draw_architecture.py

# The checks beside the tests: mypy alone would leave the other cores idle.
test: $(READY)
	$(MAKE) --jobs=2 lint tests

# A worker more than there are cores: the one that tests Slurm waits most of its time.
tests: $(READY)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder \
		--numprocesses $$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)')

# The numerical tests with the linear algebra of older processors.
test-processors: $(READY)
	.ci/processors $(BIN)/python

# The last commit, run twice under different circumstances: every file must be the same.
reproduce: $(READY)
	$(BIN)/python benchmarks/reproduce.py

# Pins that still fit stay; to move them all, delete requirements.lock first.
lock: $(READY)
	$(LOCK) --all-extras --generate-hashes --output-file requirements.lock pyproject.toml
	$(LOCK) --no-annotate --constraint requirements.lock --output-file envs/pins.txt pyproject.toml
	{ sed '/- pip:/q' envs/environment.yaml; sed 's/^/      - /' envs/pins.txt; } > envs/new.yaml
	mv envs/new.yaml envs/environment.yaml
	rm envs/pins.txt

# Known vulnerabilities of the locked packages; asks a public service.
audit: $(READY)
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip --disable-pip-version-check install --quiet pip-audit
	.venv/audit/bin/pip-audit --require-hashes --disable-pip --requirement requirements.lock

clean:
	rm -rf .venv .snakemake logs dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
