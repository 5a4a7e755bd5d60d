.PHONY: evaluate

evaluate: venv  ## decide: ask the champion about labelled texts: FILE=reviews.csv, and MODEL=models:/… for another
	@$(ACTIVATED) python -m extras.evaluate_file
