.PHONY: monitor

monitor: venv  ## use: whether what arrives is like what the model was tested on: FILE=log folder; LABEL=200
	@$(ACTIVATED) python -m extras.monitor
