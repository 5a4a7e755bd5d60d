.PHONY: score

# Only workers need Dask, not a single process.
score: $(if $(WORKERS)$(SCHEDULER),.venv/score,venv)  ## use: predict files of any size: FILE=texts.csv OUT=folder TEXT=text ID= WORKERS=2
	@$(ACTIVATED) python -m extras.score
