.PHONY: migrate

migrate: .venv/team  ## team: copy this folder's runs and models to the team's server: TO=https://… DATABASE=postgresql://…
	@$(ACTIVATED) python -m extras.team.migrate

# for the tests: a server that stands in for an S3 store, and AWS's commands
.s3/complete: tests/extras/team/requirements.txt
	@"$$PYTHON" -m venv --clear .s3
	@.s3/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement $<
	@touch $@
