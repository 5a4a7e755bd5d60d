.PHONY: ensemble

ensemble: venv  ## search: several evaluated models as one, evaluated and served: RUNS="<run or group> …"
	@$(ACTIVATED) python -m extras.ensemble
