.PHONY: seeds

seeds: venv  ## decide: train the current params with N seeds, for mean and standard deviation: N=5
	@$(ACTIVATED) python -m extras.seeds
