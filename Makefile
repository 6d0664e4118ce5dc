# Both `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check install clean

demo: .venv/ready
	$(BIN)/hintseg demo --out demo

test: .venv/ready
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

install: .venv/ready

.venv/ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch .venv/ready

clean:
	rm -rf .venv demo build dist
