.PHONY: evaluate-file

evaluate-file: venv  ## decide: evaluate the champion on labeled texts: FILE=reviews.csv; MODEL=models:/… for another version
	@$(ACTIVATED) python -m extras.evaluate_file
