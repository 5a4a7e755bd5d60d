# A Python from 3.11 to 3.13: the first of these that is one, or the one named by PYTHON=.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo "$$python" && exit; done; echo python3)
endif
# what .venv links to: a command goes on in it when .venv links to another one
BUILT = $(realpath .venv)
# exec: a signal to make reaches the command itself, not a shell in between
ACTIVATED = exec env PATH="$(BUILT)/bin:$$PATH" VIRTUAL_ENV="$(BUILT)"

# A variable on make's command line (`make predict TEXT=…`) is in the environment of the command,
# which reads it as an option: `python -m tools.predict --help`.

.DEFAULT_GOAL := help
.PHONY: help repro sync verify report evaluate predict serve demo promote demote compare seeds ensemble preset sweep server migrate \
	test test-fast check ui docs bench faults lock venv .venv/sweep .venv/server

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s%s\n", $$1, $$2 }' Makefile

repro: venv  ## run the pipeline: fetch, pad, train, evaluate
	@$(ACTIVATED) python -m tools.repro

sync: venv  ## log to MLflow what it lacks of data/, and print the run
	@$(ACTIVATED) python -m tools.sync

verify: venv  ## run this commit's pipeline again, elsewhere, and compare every file
	@$(ACTIVATED) python -m tools.verify

report: venv  ## write one page about the run in data/, and log it to that run
	@$(ACTIVATED) python -m tools.report

test: .venv/sweep .venv/server  ## run all tests
	@$(ACTIVATED) python -m pytest --numprocesses 4 --dist worksteal

test-fast: .venv/sweep .venv/server  ## run the tests that start no command and train nothing, within a minute
	@$(ACTIVATED) python -m pytest --numprocesses 2 --dist worksteal -m "not slow"

check: venv  ## check format, lint, types and layers
	@$(ACTIVATED) ruff format --check .
	@$(ACTIVATED) ruff check .
	@$(ACTIVATED) mypy
	@$(ACTIVATED) lint-imports --no-logo

ui: venv  ## open the MLflow UI at this project's runs
	@$(ACTIVATED) python -m tools.ui

venv:  ## build .venv from requirements.txt, if it is not built already
	@command -v "$(PYTHON)" >/dev/null || \
		{ echo "make: there is no $(PYTHON): install Python 3.11, 3.12 or 3.13." >&2; exit 1; }
	@"$(PYTHON)" tools/venv.py

evaluate: venv  ## ask the champion about labelled texts: FILE=reviews.csv, and MODEL=models:/… for another
	@$(ACTIVATED) python -m tools.evaluate

predict: venv  ## ask the champion: TEXT="…", FILE=reviews.csv, or standard input; JSON=1
	@$(ACTIVATED) python -m tools.predict

serve: venv  ## serve the champion's raw-text model on 127.0.0.1:5001
	@$(ACTIVATED) python -m tools.serve

demo: venv  ## a page to try the champion, on 127.0.0.1:8501
	@$(ACTIVATED) python -m tools.demo

promote: venv  ## make a run's model the champion: RUN=<run id>
	@$(ACTIVATED) python -m tools.promote

demote: venv  ## take the alias from the champion, and give it back to the one before
	@$(ACTIVATED) python -m tools.demote

compare: venv  ## what changed between two runs, and its effect: A=champion B=workspace
	@$(ACTIVATED) python -m tools.compare

seeds: venv  ## train the current params under N seeds, for mean and spread: N=5
	@$(ACTIVATED) python -m tools.seeds

ensemble: venv  ## several evaluated models as one, evaluated and served: RUNS="<run or group> …"
	@$(ACTIVATED) python -m tools.ensemble

preset: venv  ## write a preset's values into params.yaml: NAME=best, or NAME=notebook to go back
	@$(ACTIVATED) python -m tools.preset

sweep: .venv/sweep  ## search params.yaml's space: TRIALS=20 WORKERS=2 SCHEDULER=tcp://… APPLY=1
	@$(ACTIVATED) python -m tools.sweep

.venv/sweep .venv/server: .venv/%: venv
	@"$(PYTHON)" tools/venv.py $*

server: .venv/server  ## the team's MLflow server, with users, by server.yaml: docs/team.md
	@$(ACTIVATED) python -m tools.server

migrate: .venv/server  ## this folder's whole history in MLflow to the team's server: TO=https://…
	@$(ACTIVATED) python -m tools.migrate

docs: venv  ## write docs/params.md from the comments of params.yaml and the limits of the code
	@$(ACTIVATED) python -m tools.docs

bench: venv .bench/complete  ## measure the speed against the goals; takes an hour
	@$(ACTIVATED) python -m benchmarks.run

faults: .venv/sweep .venv/server .swift/complete  ## break trainings in many ways and report what is lost; takes half an hour
	@$(ACTIVATED) python -m benchmarks.faults

.swift/complete: tests/swift/requirements.txt
	@"$(PYTHON)" -m venv --clear .swift
	@.swift/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@

.bench/complete: benchmarks/requirements.txt
	@"$(PYTHON)" -m venv --clear .bench
	@.bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

lock: venv  ## make requirements.txt from requirements.in, with the newest releases
	@$(ACTIVATED) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" requirements.in -o requirements.txt
	@$(ACTIVATED) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" requirements-sweep.in -o requirements-sweep.txt
	@$(ACTIVATED) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" requirements-server.in -o requirements-server.txt
	@$(ACTIVATED) uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" tests/swift/requirements.in -o tests/swift/requirements.txt
