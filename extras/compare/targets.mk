.PHONY: report compare

report: venv  ## look: write one page about the run in data/, and log it to that run
	@$(ACTIVATED) python -m extras.compare.report

compare: venv  ## decide: what changed between two runs, and its effect: A=champion B=workspace
	@$(ACTIVATED) python -m extras.compare
