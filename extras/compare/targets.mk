.PHONY: compare

compare: venv  ## decide: compare two runs, params and metrics: A=champion B=workspace
	@$(ACTIVATED) python -m extras.compare
