# `make demo` and `make test` are all that is needed on a machine with Python >= 3.11 and the package registry.
# Both create .venv/ in the project root, and both are safe to repeat.

PYTHON ?= python3
# cpu (small, the default) or cuda (PyTorch's CUDA build and its libraries: several gigabytes).
TORCH ?= cpu

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed-$(TORCH)
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

ifeq ($(TORCH)-$(shell uname -s),cpu-Linux)
# Linux wheels on the Python package index are CUDA builds; PyTorch's own index has the CPU ones.
TORCH_REQUIREMENT := --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu torch==$(TORCH_VERSION)+cpu
else
TORCH_REQUIREMENT := torch==$(TORCH_VERSION)
endif

.PHONY: install demo test test-quick test-slow test-nights test-real chaos lint format types imports check audit latest bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Marrow needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-deps $(TORCH_REQUIREMENT)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: install
	$(BIN)/marrow demo

test: test-quick test-slow

test-quick: install
	$(PYTEST) -m "not slow and not nights and not real_data and not chaos and not benchmark"

test-slow: install
	$(PYTEST) -m "slow and not nights and not real_data and not chaos and not benchmark"

# More whole nights, kills and servers than fit into `make test`; part of CI.
test-nights: install
	$(PYTEST) -m "nights and not real_data and not chaos and not benchmark"

test-real: install
	$(PYTEST) -m "real_data and not chaos and not benchmark"

# Hundreds of kills, minutes of damaged files: hours, not part of `make test`. The report lies in chaos/.
chaos: install
	$(BIN)/python -m tests.faults.chaos --kills 200 --minutes 120 --report chaos
	$(BIN)/python -m pytest tests -m "chaos and not real_data" --timeout 3600

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

check: lint types imports

# Bill of materials, and known holes of the locked versions where their list can be reached.
audit: install
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,audit]'
	PYTHON=$(BIN)/python AUDIT=$(BIN) deployments/supply-chain build

# The newest versions that pyproject.toml allows (PyTorch stays as it is), in an environment of its own: run by a weekly
# job, so that a release which breaks something is seen before a lock is renewed.
LATEST := .venv-latest
latest:
	$(PYTHON) -m venv --clear $(LATEST)
	$(LATEST)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps $(TORCH_REQUIREMENT)
	$(LATEST)/bin/python -m pip --disable-pip-version-check install --quiet --upgrade --upgrade-strategy eager \
		--editable '.[dev]' torch==$(TORCH_VERSION)
	$(LATEST)/bin/python -m pip --disable-pip-version-check list --outdated
	$(LATEST)/bin/python -m pytest --numprocesses 2 --dist loadfile -m "not slow and not nights and not real_data and not chaos and not benchmark"

# One after the other: two at a time would measure each other.
bench: install
	$(BIN)/python -m pytest tests/benchmarks -m benchmark -s

clean:
	rm -rf $(VENV) $(LATEST) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
