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

.PHONY: install demo test test-quick test-slow test-real lint format types imports check bench clean

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
	$(PYTEST) -m "not slow and not real_data"

test-slow: install
	$(PYTEST) -m "slow and not real_data"

test-real: install
	$(PYTEST) -m real_data

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

bench: install
	$(PYTEST) tests/benchmarks -m benchmark

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
