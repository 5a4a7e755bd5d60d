.PHONY: monitor

monitor: venv  ## use: compare current texts with the test set of a model: FILE=log folder; LABEL_SAMPLE=200
	@$(ACTIVATED) python -m extras.monitor
