.PHONY: evaluate-file

evaluate-file: venv  ## decide: evaluate the champion on labeled texts: FILE=reviews.csv, and MODEL=models:/… for another
	@$(ACTIVATED) python -m extras.evaluate_file
