# `make` lists what there is to do. Everything runs in .venv, which is made when it is first needed.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
COVERAGE := --cov=sanstls --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types layers check bench fuzz docs interop clean need-openssl

help:
	@echo "make ..."
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name does; do \
		printf '  %-9s %s\n' "$$name" "$$does"; done
	@echo "PYTHON=python3.12 chooses the Python that .venv is made with; ARGS='...' goes to pytest or the benchmark."

demo: need-openssl .venv/.stamp  ## talk TLS with the openssl command, and show the handshake
	$(BIN)/python -m sanstls_io.demo $(ARGS)

test: .venv/.stamp  ## run all tests; coverage of the core, branches included, has to reach 95 % (with ARGS: a part, no coverage)
	$(PYTEST) -n auto $(if $(ARGS),$(ARGS),$(COVERAGE))

lint: .venv/.stamp  ## ruff: the rules and the format, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.stamp  ## ruff: write the format, and mend what can be mended by itself
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

types: .venv/.stamp  ## mypy --strict over core and bindings
	$(BIN)/mypy

layers: .venv/.stamp  ## import-linter: arrows only point down, and the core does no I/O
	$(BIN)/lint-imports

check: lint types layers test  ## all of the four: what has to pass before a change is merged

bench: .venv/.stamp  ## measure side by side with the ssl module: core, bindings, and the padding oracle (with ARGS: the core alone)
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)
	@$(if $(ARGS),,$(BIN)/python tests/benchmarks/bench_bindings.py && $(BIN)/python tests/benchmarks/padding_oracle.py)

fuzz: .venv/.stamp  ## run the tests marked `fuzz` with very many random examples (no coverage-guided harness yet)
	@echo "No coverage-guided harness yet: this runs the tests marked 'fuzz' with hypothesis' profile 'long'."
	@$(PYTEST) -n auto -m fuzz --hypothesis-profile=long $(ARGS) || $(call unless_none,fuzz)

docs: .venv/.stamp  ## run the code blocks of the documentation as tests (no site is built yet)
	@if [ -d tests/docs ]; then $(PYTEST) -n auto tests/docs $(ARGS); \
	else echo "There is no tests/docs yet: nothing was checked."; fi

interop: need-openssl .venv/.stamp  ## run only the tests against other TLS implementations
	@$(PYTEST) -n auto -m interop -rs $(ARGS) || $(call unless_none,interop)

clean:  ## remove .venv, caches and what was built
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov dist
	find core bindings tests fuzz docs examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# pytest ends with 5 when it found no test at all: that is said, and is no failure.
unless_none = { code=$$?; [ $$code -eq 5 ] && echo "No test is marked '$(1)' yet: nothing was run."; }

need-openssl:
	@command -v openssl >/dev/null || { \
		echo "This needs the openssl command. To install it: apt-get install openssl, dnf install openssl," >&2; \
		echo "or brew install openssl." >&2; exit 1; }

.venv/.stamp: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here. Name another Python, 3.11 or later: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "sanstls needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
		echo "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments: its venv module is missing." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) -V), and installing sanstls (editable), its extras and the tools into it ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
