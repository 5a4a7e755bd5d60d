# A variable on make's command line (`make predict TEXT=…`) is in the environment of the command,
# which reads it as an option: `python -m tools.predict --help`. Make would expand its value first,
# and so run what a text such as `$(shell …)` contains. Each of these variables is therefore set again,
# to its own unexpanded value, before anything else is expanded. `override` and `export` are two
# statements for GNU make 3.81, which macOS has: modifiers can be combined only since 3.82. The
# tests ran with 4.4, none with 3.81.
set_verbatim = $(eval override $1 := $$(value $1))$(eval export $1)
$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(call set_verbatim,$(name))))

# Use the first Python from 3.11 to 3.13, or the one that PYTHON= names.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$python" && exit; done; echo python3)
endif
# Recipes read it from their environment, because a shell would run parts of a pasted value.
export PYTHON
# A command keeps running in this environment when .venv links to another one.
BUILT = $(realpath .venv)
# exec: signals to make reach the command itself, not a shell in between.
ACTIVATED = exec env PATH="$(BUILT)/bin:$$PATH" VIRTUAL_ENV="$(BUILT)"

.DEFAULT_GOAL := help
.PHONY: help repro sync verify predict serve promote demote preset test test-fast check ui docs \
	bench lock venv

# The text of a target starts with its group. `make` lists the groups in this order.
GROUPS := pipeline look use decide search team contribute

help:
	@for group in $(GROUPS); do echo "$$group"; \
		sed -nE "s/^([a-z-]+):.*## $$group: (.*)/\1 \2/p" $(MAKEFILE_LIST) | \
		while read -r name text; do printf '  make %-15s%s\n' "$$name" "$$text"; done; done

# Environments of extras that need more than requirements.txt.
EXTRAS := $(patsubst extras/%/requirements.txt,.venv/%,$(wildcard extras/*/requirements.txt))
.PHONY: $(EXTRAS)
$(EXTRAS): .venv/%: venv
	@"$$PYTHON" tools/venv.py $*

repro: venv  ## pipeline: run the pipeline: fetch, pad, train, evaluate
	@$(ACTIVATED) python -m tools.repro

sync: venv  ## pipeline: log everything in data/ that MLflow lacks, and print the run
	@$(ACTIVATED) python -m tools.sync

verify: venv  ## pipeline: run this commit's pipeline again in a clone, and compare every file
	@$(ACTIVATED) python -m tools.verify

test: venv $(EXTRAS)  ## contribute: run all tests, or those of an extra: PART=sweep
	@$(ACTIVATED) python -m pytest --numprocesses 4 --dist loadfile $${PART:+"tests/extras/$$PART"}

test-fast: venv $(EXTRAS)  ## contribute: run the tests that start no command and train nothing, within a minute
	@$(ACTIVATED) python -m pytest --numprocesses 2 --dist worksteal -m "not slow"

check: venv  ## contribute: check format, lint, types and layers
	@$(ACTIVATED) ruff format --check .
	@$(ACTIVATED) ruff check .
	@$(ACTIVATED) mypy
	@$(ACTIVATED) lint-imports --no-logo

ui: venv  ## look: open the MLflow UI at this project's runs
	@$(ACTIVATED) python -m tools.ui

venv:  ## contribute: build .venv from requirements.txt, if it is not built already
	@command -v "$$PYTHON" >/dev/null || \
		{ echo "make: there is no $$PYTHON: install Python 3.11, 3.12 or 3.13." >&2; exit 1; }
	@"$$PYTHON" tools/venv.py

predict: venv  ## use: predict the sentiment of a text: TEXT="…"; JSON=1
	@$(ACTIVATED) python -m tools.predict

serve: venv  ## use: serve the champion on 127.0.0.1:5001; LOG=folder logs its predictions
	@$(ACTIVATED) python -m tools.serve

promote: venv  ## decide: make a run's model the champion: RUN=<run id>
	@$(ACTIVATED) python -m tools.promote

demote: venv  ## decide: take the alias from the champion, and return it to the previous one
	@$(ACTIVATED) python -m tools.demote

preset: venv  ## pipeline: write a preset's params into params.yaml: NAME=best, or NAME=default to go back
	@$(ACTIVATED) python -m tools.preset

docs: venv  ## contribute: write docs/params.md from the params' classes and presets/default.yaml
	@$(ACTIVATED) python -m tools.params_page

bench: venv .bench/complete  ## contribute: measure the speeds that docs/performance.md shows
	@$(ACTIVATED) python -m benchmarks.run

.bench/complete: benchmarks/requirements.txt
	@"$$PYTHON" -m venv --clear .bench
	@.bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

lock: venv  ## contribute: lock the newest releases of every requirements.in
	@test -x "$(BUILT)/bin/uv" || \
		{ echo "make: .venv has no uv. Remove .venv and run make lock again." >&2; exit 1; }
	@set -e; for source in requirements.in $(wildcard extras/*/requirements.in tests/extras/*/requirements.in); do \
		env PATH="$(BUILT)/bin:$$PATH" uv pip compile --quiet --upgrade --universal --python-version 3.11 \
			--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
			$$source -o $${source%.in}.txt; done

include $(wildcard extras/*/targets.mk)
