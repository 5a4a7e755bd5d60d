.PHONY: batch-predict

# Only workers need Dask, not a single process.
batch-predict: $(if $(WORKERS)$(SCHEDULER),.venv/batch_predict,venv)  ## use: predict files of any size: FILE=texts.csv OUT=folder TEXT_COLUMN=text ID_COLUMN= WORKERS=2
	@$(ACTIVATED) python -m extras.batch_predict
