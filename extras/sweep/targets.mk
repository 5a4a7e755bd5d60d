.PHONY: sweep

sweep: .venv/sweep  ## search: search for better params: TRIALS=20 WORKERS=2 APPLY=1
	@$(ACTIVATED) python -m extras.sweep
