# Both `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format types docs reference build install clean

demo: .venv/ready
	$(BIN)/hintseg demo --out demo

test: .venv/ready
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/ready
	$(BIN)/mypy

# The site, in build/docs; a warning is an error. Neither this nor the pages ask for the network.
docs: .venv/docs
	$(BIN)/python docs/_site/reference.py --check
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

# The pages of all commands and settings, written anew from the code.
reference: .venv/ready
	$(BIN)/python docs/_site/reference.py

# Wheel and source archive in dist/.
build: .venv/ready
	rm -rf dist
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build

install: .venv/ready

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch .venv/ready

.venv/docs: .venv/ready
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch .venv/docs

clean:
	rm -rf .venv demo build dist
