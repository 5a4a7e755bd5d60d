.PHONY: demo

demo: venv  ## use: try the champion on a page, on 127.0.0.1:8501
	@$(ACTIVATED) python -m extras.demo
