"""What is optional: a folder each, which can be deleted. The core imports none of them."""
