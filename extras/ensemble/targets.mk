.PHONY: ensemble

ensemble: venv  ## search: combine evaluated models into one: RUNS="<run or group> …"
	@$(ACTIVATED) python -m extras.ensemble
