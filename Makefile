# Use the first Python from 3.11 to 3.13, or the one that PYTHON= names.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$python" && exit; done; echo python3)
endif
# Recipes read it, and the folder's name, from the shell: make would expand a `$` in them.
export PYTHON
# pip trusts the system's certificates. uv does so only with this variable.
export UV_SYSTEM_CERTS ?= true
ACTIVE = PATH="$$PWD/.venv/bin:$$PATH" VIRTUAL_ENV="$$PWD/.venv"

.DEFAULT_GOAL := help
.PHONY: help repro ui test test-all check bench lock venv build-venv packages dev build-dev

help:
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' Makefile
	@echo "  sentiment --help	the other commands, after: source .venv/bin/activate"

repro: venv  ## run the pipeline, and log it to MLflow
	@exec env $(ACTIVE) dvc repro

# One worker and no jobs, which are for language models: 0.5 GB of memory instead of 2 GB.
ui: venv  ## serve MLflow's UI of the runs
	@case "$$MLFLOW_TRACKING_URI" in http://*|https://*) \
		echo "The runs are on $$MLFLOW_TRACKING_URI" | sed 's#//[^/]*@#//#'; exit;; esac; \
	export MLFLOW_BACKEND_STORE_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"; \
	exec env $(ACTIVE) MLFLOW_WORKERS=1 MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		MLFLOW_DISABLE_TELEMETRY=true mlflow ui

test: dev  ## run the quicker tests, or some folders of them: PART="tests/sentiment"
	@exec env $(ACTIVE) python -m pytest --numprocesses 3 --dist loadfile -m "not pipeline" $$PART

# They come first, so that no process is left with one of them at the end.
LONG_TESTS = tests/contract tests/test_team.py tests/reproduce tests/sweep tests/test_makefile.py \
	tests/tracking/test_results.py
test-all: dev  ## run all tests, also those that run whole pipelines or build environments
	@exec env $(ACTIVE) python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder \
		$(LONG_TESTS) tests

check: dev  ## check format, lint, types and layers
	@env $(ACTIVE) ruff format --check .
	@env $(ACTIVE) ruff check .
	@env $(ACTIVE) mypy
	@env $(ACTIVE) lint-imports --no-logo

bench: venv .bench/complete  ## measure speeds, as docs/models.md shows them
	@exec env $(ACTIVE) python -m benchmarks.bench

.bench/complete: benchmarks/requirements.txt
	@"$$PYTHON" -m venv --clear .bench
	@.bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

lock: dev  ## lock the newest releases of what both requirements*.in and the extras need
	@env $(ACTIVE) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		requirements.in $(wildcard sentiment/*/requirements.in) --output-file requirements.txt
	@env $(ACTIVE) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		--constraint requirements.txt requirements-dev.in --output-file requirements-dev.txt

# What the packages in .venv come from, and the folder that the project is installed from.
LOCK = "$$(cksum < requirements.txt) $$("$$PYTHON" --version)"
BUILT_FROM = "$$(cksum < pyproject.toml) $$PWD "$(LOCK)
IS_BUILT = test "$$(cat .venv/built-from 2>/dev/null)" = $(BUILT_FROM)
# flock(1), which macOS lacks: run a command while no other make builds.
LOCKED = "$$PYTHON" -c 'import fcntl, os, sys; lock = os.open(".venv.lock", os.O_CREAT | os.O_RDWR); \
	os.set_inheritable(lock, True); fcntl.flock(lock, fcntl.LOCK_EX); os.execvp(sys.argv[1], sys.argv[1:])'

# DVC's own site cache can be written by every account of the machine, and DVC unpickles what is in
# it (SECURITY.md). A worktree has a configuration of its own, also if it shares the environment.
venv:
	@$(IS_BUILT) || $(LOCKED) $(MAKE) --no-print-directory build-venv
	@test -n "$$(.venv/bin/dvc config core.site_cache_dir)" || { \
		cache="$${XDG_CACHE_HOME:-$$HOME/.cache}/dvc-site"; mkdir -p "$$cache"; chmod 700 "$$cache"; \
		.venv/bin/dvc config --local core.site_cache_dir "$$cache"; }

build-venv:
	@! $(IS_BUILT) || exit 0; set -e; \
	test "$$(cat .venv/lock 2>/dev/null)" = $(LOCK) || $(MAKE) --no-print-directory packages; \
	.venv/bin/uv pip install --no-deps --no-build-isolation --python .venv/bin/python --editable .; \
	echo $(BUILT_FROM) > .venv/built-from

# --relocatable: scripts do not hold the folder's name, which may change, or have a blank or a `$`.
# --compile-bytecode: otherwise, the first import of TensorFlow takes 20 s instead of 7 s.
packages:
	@"$$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and \
		"Python 3.11, 3.12 or 3.13 is needed. Name one: make PYTHON=/path/to/python3.12 ...")'
	@echo "1/3 Making .venv, with pip: 15 MB" >&2
	@"$$PYTHON" -m venv --clear .venv
	@sed -n '/^uv==/,/[^\]$$/p' requirements.txt > .venv/uv.txt
	@echo "2/3 Installing uv, which installs all other packages: 40 MB" >&2
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--requirement .venv/uv.txt
	@.venv/bin/uv venv --quiet --relocatable --allow-existing --python "$$PYTHON" .venv
	@echo "3/3 Installing the packages in requirements.txt: 600 MB to download, 2.5 GB on the disk." \
		"Compiling their bytecode, at the end, takes one to two silent minutes" >&2
	@.venv/bin/uv pip sync --require-hashes --compile-bytecode --python .venv/bin/python \
		requirements.txt
	@echo $(LOCK) > .venv/lock

# What checks and tests need beside the packages of the pipeline.
DEV_LOCK = "$$(cksum < requirements-dev.txt) "$(LOCK)
DEV_IS_BUILT = test "$$(cat .venv/dev-lock 2>/dev/null)" = $(DEV_LOCK)

dev: venv
	@$(DEV_IS_BUILT) || $(LOCKED) $(MAKE) --no-print-directory build-dev

build-dev:
	@! $(DEV_IS_BUILT) || exit 0; set -e; \
	echo "Installing what checks and tests need: 50 MB to download, 200 MB on the disk" >&2; \
	.venv/bin/uv pip install --require-hashes --compile-bytecode --python .venv/bin/python \
		--requirement requirements-dev.txt; \
	echo $(DEV_LOCK) > .venv/dev-lock
