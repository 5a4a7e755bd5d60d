.PHONY: compare

compare: venv  ## decide: what changed between two runs, and its effect: A=champion B=workspace
	@$(ACTIVATED) python -m extras.compare
