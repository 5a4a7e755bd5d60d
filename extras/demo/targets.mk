.PHONY: demo

demo: venv  ## use: a page to try the champion, on 127.0.0.1:8501
	@$(ACTIVATED) python -m extras.demo
