"""The HTML pages that commands write or serve."""
