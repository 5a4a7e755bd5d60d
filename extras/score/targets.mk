.PHONY: score

# Dask places parts on workers; a single process does without it
score: $(if $(WORKERS)$(SCHEDULER),.venv/score,venv)  ## use: label files of any size: FILE=texts.csv OUT=folder TEXT=text ID= WORKERS=2
	@$(ACTIVATED) python -m extras.score
