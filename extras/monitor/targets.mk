.PHONY: monitor

monitor: venv  ## use: compare current texts with the test set of a model: FILE=log folder; LABEL=200
	@$(ACTIVATED) python -m extras.monitor
