.PHONY: batch-predict

# Only workers need Dask, not a single process.
batch-predict: $(if $(WORKERS)$(SCHEDULER),.venv/batch_predict,venv)  ## use: predict a file of any size: FILE=texts.csv OUT=folder; TEXT_COLUMN=text WORKERS=2
	@$(ACTIVATED) python -m extras.batch_predict
