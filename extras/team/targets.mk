.PHONY: server migrate

server: .venv/team  ## team: the team's MLflow server, with users
	@$(ACTIVATED) python -m extras.team.server

migrate: .venv/team  ## team: this folder's whole history in MLflow to the team's server: TO=https://…
	@$(ACTIVATED) python -m extras.team.migrate
