"""A model judged on labelled texts from elsewhere."""
