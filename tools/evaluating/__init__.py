"""A registered model asked about labelled texts from elsewhere, logged as a run of its own."""
