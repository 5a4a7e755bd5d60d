# The first Python from 3.11 to 3.13, or the one that PYTHON= names, makes the environment.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$python" && exit; done; echo python3)
endif
# Recipes read PYTHON and the folder's name from the shell: make would expand a `$` in them.
export PYTHON
# pip trusts the system's certificates. uv does so only with this variable.
export UV_SYSTEM_CERTS ?= true
ACTIVE = PATH="$$PWD/.venv/bin:$$PATH" VIRTUAL_ENV="$$PWD/.venv"
PIP = .venv/bin/python -m pip --quiet --disable-pip-version-check
# Install the packages of a lock. uv is faster than pip and shows its progress, but does not read
# pip's settings. If these say where packages come from, or which ones, pip installs them.
INSTALL = install() { \
	settings="$$(.venv/bin/python -m pip config list | \
		grep -oE '[.](index-url|extra-index-url|no-index|proxy|constraint)=' | tr -d '.=' | sort -u | xargs)"; \
	if [ -n "$$settings" ]; then \
		echo "pip installs them, which takes minutes: its settings have $$settings, which uv does not read" >&2; \
		$(PIP) install --require-hashes --requirement "$$1"; \
	else \
		sed -n '/^uv==/,/\# via/p' requirements.txt > .venv/uv.txt; \
		$(PIP) install --require-hashes --requirement .venv/uv.txt && \
		.venv/bin/uv pip install --python .venv/bin/python --compile-bytecode --require-hashes \
			--requirement "$$1"; \
	fi; }; install

.DEFAULT_GOAL := help
.PHONY: help environment repro ui test check bench lock

help:
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' Makefile
	@echo "  sentiment --help	the other commands, after: source .venv/bin/activate"

environment: .venv/complete  ## install the packages into .venv

repro: .venv/complete  ## run the pipeline, and log the run to MLflow
	@exec env $(ACTIVE) dvc repro

ui: .venv/complete  ## serve MLflow's UI, at a port of your choice with MLFLOW_PORT=5050
	@exec env $(ACTIVE) python -m sentiment ui

# They come first, so that no process is left with one of them at the end. The first one does not
# wait for the project that those of `contract` make and share.
# Optional commands may be deleted with their tests.
LONG_TESTS = $(wildcard tests/test_team.py tests/contract tests/reproduce tests/sweep \
	tests/test_makefile.py tests/tracking)
test: .venv/dev-complete  ## run all tests, or those in some folders: PART="tests/data tests/model"
	@exec env $(ACTIVE) python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
		$${PART:-$(LONG_TESTS) tests}

check: .venv/dev-complete  ## check format, style, types and layers
	@env $(ACTIVE) ruff format --check .
	@env $(ACTIVE) ruff check .
	@env $(ACTIVE) mypy
	@env $(ACTIVE) lint-imports --no-logo

bench: .venv/complete .bench/complete  ## measure the speeds that docs/models.md shows
	@exec env $(ACTIVE) python -m benchmarks.bench

lock: .venv/dev-complete  ## lock the newest releases of all packages
	@env $(ACTIVE) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		requirements.in $(wildcard sentiment/*/requirements.in) --output-file requirements.txt
	@env $(ACTIVE) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		--constraint requirements.txt requirements-dev.in --output-file requirements-dev.txt

# Every account of the machine can write to DVC's own site cache, and DVC unpickles what it finds
# there (SECURITY.md).
.venv/complete: requirements.txt pyproject.toml
	@command -v "$$PYTHON" >/dev/null || { \
		echo "There is no Python at $$PYTHON. Name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@"$$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and \
		"Python 3.11, 3.12 or 3.13 is needed. Name one: make PYTHON=/path/to/python3.12 ...")'
	@echo "Installing the packages into .venv:" >&2
	@echo "up to 650 MB to download, 2.5 GB on the disk" >&2
	@test -x .venv/bin/pip || "$$PYTHON" -m venv --clear .venv
	@$(INSTALL) requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@test -n "$$(.venv/bin/python -m dvc config core.site_cache_dir)" || { \
		cache="$${XDG_CACHE_HOME:-$$HOME/.cache}/dvc-site"; mkdir -p "$$cache"; chmod 700 "$$cache"; \
		.venv/bin/python -m dvc config --local core.site_cache_dir "$$cache"; }
	@touch $@

# What checks and tests need in addition to the packages of the pipeline.
.venv/dev-complete: .venv/complete requirements-dev.txt
	@echo "Installing what checks and tests need: 50 MB to download, 200 MB on the disk" >&2
	@$(INSTALL) requirements-dev.txt
	@touch $@

.bench/complete: benchmarks/requirements.txt
	@"$$PYTHON" -m venv --clear .bench
	@.bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@
